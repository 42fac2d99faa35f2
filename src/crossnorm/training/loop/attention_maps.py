"""Attention map, values, their softmax and both products, for every head of one attention layer on one input."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from crossnorm.errors import BadInput
from crossnorm.functional import Mixing, Visibility, mix, observed
from crossnorm.functional.weights import Explicit, Weights
from crossnorm.models.variant_sites import own_sites

__all__ = ["Heads", "attention_maps"]

_CONVEX = Mixing(name="convex", gain=1.0, temperature=1.0)


@dataclass(frozen=True, kw_only=True, eq=False)
class Heads:
    """One layer on one input, float64.

    Args:
        weights: Attention A (heads, queries, tokens).
        value: V (heads, tokens, channels).
        mixed: S(V), the softmax of V over all tokens, also under a causal mask.
        plain: A·V (heads, queries, channels).
        crossed: A·S(V), where S is taken over the tokens that each query sees.
    """

    weights: Tensor
    value: Tensor
    mixed: Tensor
    plain: Tensor
    crossed: Tensor


@torch.inference_mode()
def attention_maps(model: nn.Module, forward: Callable[[], object], layer: int) -> Heads:
    """The heads of one attention layer during one forward pass on a batch of one.

    Args:
        model: In evaluation mode.
        forward: Runs the model once.
        layer: Index of the attention layer, from 0; negative: from the end.

    Raises:
        BadInput: No such layer.
    """
    sites = own_sites(model)
    attention = [index for index, site in enumerate(sites) if site.kind == "attention"]
    if not -len(attention) <= layer < len(attention):
        raise BadInput("layer", f"the index of an attention layer, 0 to {len(attention) - 1}", layer)
    wanted, calls, found = attention[layer], iter(range(len(sites))), []

    def observe(weights: Weights, value: Tensor, visible: Visibility, mixing: Mixing | None, alpha: object) -> None:
        if next(calls) == wanted:
            found.append((weights.dense().double().cpu(), value.double().cpu(), visible))

    with observed(observe):
        forward()
    ((weights, value, visible),) = found
    visible = Visibility(
        keys=None if visible.keys is None else visible.keys.cpu(),
        pairs=None if visible.pairs is None else visible.pairs.cpu(),
        causal=visible.causal,
    )
    crossed = mix(Explicit(weights), value, visible, _CONVEX, 1.0)
    parts = (weights, value, value.softmax(-2), weights @ value, crossed)
    weights, value, mixed, plain, crossed = (part[0] for part in parts)
    return Heads(weights=weights, value=value, mixed=mixed, plain=plain, crossed=crossed)

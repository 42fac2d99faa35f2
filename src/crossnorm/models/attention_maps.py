"""What the heads of one attention layer do with one input: attention map, values, their softmax, both outcomes.

Looks and changes nothing. Knows nothing of pictures.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from crossnorm.errors import BadInput
from crossnorm.functional import Variant, Visibility, mix, observed
from crossnorm.models import places

__all__ = ["Heads", "look_at_heads"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Heads:
    """One layer on one input, float64.

    Args:
        weights: Attention A (heads, queries, tokens).
        value: V (heads, tokens, channels).
        mixed: S(V), the softmax of V over the tokens (under a causal mask over all of them, for the eye only).
        plain: A·V (heads, queries, channels).
        crossed: A·S(V), over what each query sees.
    """

    weights: Tensor
    value: Tensor
    mixed: Tensor
    plain: Tensor
    crossed: Tensor


@torch.inference_mode()
def look_at_heads(model: nn.Module, forward: Callable[[], object], layer: int) -> Heads:
    """The heads of one attention layer during one forward pass on a batch of one.

    Args:
        model: In evaluation mode.
        forward: Runs the model once.
        layer: Index of the attention layer, from 0; negative: from the end.

    Raises:
        BadInput: No such layer.
    """
    paths = [path for path, _ in places(model)]
    attention = [k for k, path in enumerate(paths) if "pool" not in path]
    if not -len(attention) <= layer < len(attention):
        raise BadInput("layer", f"the index of an attention layer, 0 to {len(attention) - 1}", layer)
    wanted, seen, found = attention[layer], iter(range(len(paths))), []

    def observe(weights: Tensor, value: Tensor, visible: Visibility, variant: Variant | None, alpha: object) -> None:
        if next(seen) == wanted:
            found.append((weights.double().cpu(), value.double().cpu(), visible))

    with observed(observe):
        forward()
    ((weights, value, visible),) = found
    visible = Visibility(
        keys=None if visible.keys is None else visible.keys.cpu(),
        pairs=None if visible.pairs is None else visible.pairs.cpu(),
    )
    crossed = mix(weights, value, visible, Variant(name="convex", alpha=1.0))
    parts = (weights, value, value.softmax(-2), weights @ value, crossed)
    weights, value, mixed, plain, crossed = (part[0] for part in parts)
    return Heads(weights=weights, value=value, mixed=mixed, plain=plain, crossed=crossed)

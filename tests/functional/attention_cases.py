"""Inputs and masks that the attention tests share.

Knows nothing of expected outputs. Axes: B examples, H heads, Q queries, K keys, E query width, D value width; a
different prime on each wherever the heads of grouped queries leave the choice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from crossnorm import Variant, attention
from crossnorm.functional import attend, pool
from tests.oracle import NAMES


def attend_at(*tensors, variant: Variant | None = None, **keywords):
    """`attend` with the mixing and the α of a variant."""
    return attend(*tensors, **keywords, **in_parts(variant))


def pool_at(*tensors, variant: Variant | None = None, **keywords):
    """`pool` with the mixing and the α of a variant."""
    return pool(*tensors, **keywords, **in_parts(variant))


def in_parts(variant: Variant | None):
    return {} if variant is None else {"mixing": variant.mixing, "alpha": variant.alpha}


FUNCTIONS = {"attention": attention, "attend": attend_at}

MIXED = [name for name in NAMES if name != "attenuated"]  # those whose mixed part takes a gain and a temperature

UNMASKED = ("none",)
PADDING = ("padding", "padding-rows", "padding-float", "hidden-example")
PER_QUERY = (
    "per-query", "per-head", "shared-rows", "causal", "causal-mask",
    "float-inf", "float-min", "bias-inf", "hidden-rows", "float-hidden-rows",
)  # fmt: skip
BIAS = ("bias",)
MASKS = (*UNMASKED, *PADDING, *PER_QUERY, *BIAS)


@dataclass(frozen=True)
class Shape:
    """The axes of one call; ``groups`` query heads share a head of keys and values; heads 0: no head axis."""

    batch: int
    heads: int
    queries: int
    keys: int
    width: int
    dim: int
    groups: int = 1

    @property
    def lead(self) -> tuple[int, ...]:
        """Leading axes of the query."""
        return (self.batch, self.heads * self.groups) if self.heads else (self.batch,)

    @property
    def kv_lead(self) -> tuple[int, ...]:
        """Leading axes of key and value."""
        return (self.batch, self.heads) if self.heads else (self.batch,)

    @property
    def scores(self) -> tuple[int, ...]:
        """(…, queries, keys)."""
        return (*self.lead, self.queries, self.keys)


SHAPES = {
    "4d": Shape(batch=2, heads=3, queries=5, keys=7, width=11, dim=13),
    "3d": Shape(batch=3, heads=0, queries=7, keys=5, width=2, dim=11),
    "grouped": Shape(batch=5, heads=2, queries=3, keys=7, width=11, dim=13, groups=3),
}
SELF = Shape(batch=2, heads=3, queries=7, keys=7, width=11, dim=5)  # self-attention: queries and keys are one axis


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def draw(*shape: int, seed: int, dtype: torch.dtype = torch.float64, spread: float = 1.0) -> Tensor:
    """Gaussian numbers, rounded to the type that will carry them."""
    return (spread * torch.randn(*shape, generator=generator(seed), dtype=torch.float64)).to(dtype)


def tensors(
    shape: Shape, dtype: torch.dtype = torch.float64, *, seed: int = 0, spread: float = 1.0
) -> tuple[Tensor, Tensor, Tensor]:
    """Query, key and value; ``spread`` is the standard deviation of the values alone."""
    return (
        draw(*shape.lead, shape.queries, shape.width, seed=3 * seed, dtype=dtype),
        draw(*shape.kv_lead, shape.keys, shape.width, seed=3 * seed + 1, dtype=dtype),
        draw(*shape.kv_lead, shape.keys, shape.dim, seed=3 * seed + 2, dtype=dtype, spread=spread),
    )


def lengths(shape: Shape) -> Tensor:
    """How many tokens of every example are real: keys, keys - 1, …, at least one."""
    return torch.tensor([max(1, shape.keys - 2 * b) for b in range(shape.batch)])


def padding(shape: Shape) -> Tensor:
    """A key-padding mask, (batch, 1, keys) or (batch, 1, 1, keys), True where real."""
    real = torch.arange(shape.keys) < lengths(shape)[:, None]
    return real.reshape(shape.batch, *(1,) * len(shape.scores[1:-1]), shape.keys)


def patchwork(*shape: int, seed: int = 97) -> Tensor:
    """A random boolean mask that hides no row entirely."""
    mask = torch.rand(*shape, generator=generator(seed)) < 0.6
    keep = torch.randint(shape[-1], shape[:-1], generator=generator(seed + 1))
    return mask | (torch.arange(shape[-1]) == keep[..., None])


def additive(mask: Tensor, dtype: torch.dtype, hidden: float) -> Tensor:
    """The float form of a boolean mask."""
    return torch.zeros(mask.shape, dtype=dtype).masked_fill(~mask, hidden)


def masked(kind: str, shape: Shape, dtype: torch.dtype = torch.float64) -> dict[str, Any]:
    """The keywords ``attn_mask`` and ``is_causal`` of one kind of mask."""
    if kind == "none":
        return {}
    if kind == "causal":
        return {"is_causal": True}
    return {"attn_mask": mask_of(kind, shape, dtype)}


def mask_of(kind: str, shape: Shape, dtype: torch.dtype) -> Tensor:
    rows = (shape.queries, shape.keys)
    lowest = torch.finfo(dtype).min
    if kind == "padding":
        return padding(shape)
    if kind == "padding-rows":
        return padding(shape).expand(shape.batch, *(1,) * (len(shape.lead) - 1), *rows)
    if kind == "padding-float":
        return additive(padding(shape), dtype, lowest)
    if kind == "hidden-example":
        mask = padding(shape).clone()
        mask[-1] = False
        return mask
    if kind == "per-query":
        return patchwork(shape.batch, *(1,) * (len(shape.lead) - 1), *rows)
    if kind == "per-head":
        return patchwork(*shape.scores)
    if kind == "shared-rows":
        return patchwork(*rows)
    if kind == "causal-mask":
        return torch.ones(rows, dtype=torch.bool).tril()
    if kind == "float-inf":
        return additive(patchwork(*shape.scores), dtype, -torch.inf)
    if kind == "float-min":
        return additive(patchwork(*rows), dtype, lowest)
    if kind == "bias":
        return draw(*shape.scores[1:], seed=89, dtype=dtype)
    if kind == "bias-inf":
        return draw(*shape.scores, seed=89, dtype=dtype).masked_fill(~patchwork(*rows), -torch.inf)
    hidden = patchwork(*shape.scores)
    hidden[0, ..., 1, :] = False
    hidden[1, ..., 0, :] = False
    if kind == "hidden-rows":
        return hidden
    if kind == "float-hidden-rows":
        return additive(hidden, dtype, -torch.inf)
    raise KeyError(kind)


def grouped(shape: Shape) -> dict[str, Any]:
    """The keyword that a shape with shared key heads needs."""
    return {"enable_gqa": True} if shape.groups > 1 else {}


def own(name: str, alpha: float, **settings: float) -> Variant:
    return Variant(name=name, alpha=alpha, **settings)

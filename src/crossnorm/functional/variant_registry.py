"""The list of all variants. To add one, add an entry here and its term to `crossnorm.functional.mixed_terms`.

Importing this module does not import torch, so that listing the variants stays instant.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias, Union

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["VARIANTS", "Alpha", "Entry"]

Alpha: TypeAlias = Union[float, "Tensor"]
"""A number, or a tensor that broadcasts against (…, tokens, dim)."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One variant: output = A · (keep(α) V + α F), with F computed from τV and multiplied by the gain.

    Attributes:
        summary: One line: the formula and its purpose.
        control: The variant that shares its linear part but not its idea; None: the baseline.
        keep: α ↦ the coefficient of V.
        form: Name of F in `crossnorm.functional.mixed_terms.FORMS`; None: F = 0, and gain and temperature have no
            effect.
    """

    summary: str
    control: str | None
    keep: Callable[[Alpha], Alpha]
    form: str | None


def _shrink(alpha: Alpha) -> Alpha:
    return 1 - alpha


def _all(alpha: Alpha) -> Alpha:
    return 1.0


VARIANTS: dict[str, Entry] = {
    "convex": Entry(
        summary="(1−α) V + α S(V): cross-normalization",
        control="attenuated",
        keep=_shrink,
        form="softmax",
    ),
    "additive": Entry(
        summary="V + α S(V), α of any sign: V keeps its full weight",
        control=None,
        keep=_all,
        form="softmax",
    ),
    "matched": Entry(
        summary="(1−α) V + α N S(V): S(V) at the scale of V",
        control=None,
        keep=_shrink,
        form="matched",
    ),
    "centred": Entry(
        summary="(1−α) V + α (N S(V) − 1): matched without its constant part",
        control=None,
        keep=_shrink,
        form="centred",
    ),
    "attenuated": Entry(
        summary="(1−α) V: only shrinks V; the control of convex", control=None, keep=_shrink, form=None
    ),
    "signed": Entry(
        summary="(1−α) V + α (min-max of V to [−1, 1] per head): Bukatin's signed normalization",
        control=None,
        keep=_shrink,
        form="signed",
    ),
    "laser": Entry(
        summary="(1−α) A V + α log(A exp V): the closest published relative, arXiv 2411.03493",
        control=None,
        keep=_shrink,
        form="laser",
    ),
    "batch": Entry(
        summary="(1−α) V + α softmax of V over the batch axis: one example depends on the others",
        control="attenuated",
        keep=_shrink,
        form="batch",
    ),
}
"""Every variant by its name."""

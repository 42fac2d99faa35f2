"""Reading attention masks: a boolean mask, a float mask or causality becomes a `Visibility` and perhaps a bias."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from crossnorm.errors import BadInput

__all__ = ["EVERYTHING", "Visibility", "read_mask"]


@dataclass(frozen=True, kw_only=True)
class Visibility:
    """Which tokens each query sees.

    At most one of `keys` and `pairs` is set; with neither, every query sees every token.

    Attributes:
        keys: (…, k) boolean, the tokens that every query sees (a padding mask).
        pairs: (…, q, k) boolean, the tokens that each query sees (causal and other masks that differ by query).
        causal: Whether `pairs` is the triangle in which query i sees tokens 0 … i.
    """

    keys: Tensor | None = None
    pairs: Tensor | None = None
    causal: bool = False

    def mask(self) -> Tensor | None:
        """The boolean mask, broadcastable to the scores (…, q, k)."""
        return self.pairs if self.keys is None else self.keys.unsqueeze(-2)

    def to_any(self) -> Tensor | None:
        """(…, k): the tokens that at least one query sees; None if it is certain that this is every token."""
        if self.causal and self.pairs is not None and self.pairs.shape[-2] >= self.pairs.shape[-1]:
            return None
        return self.keys if self.pairs is None else self.pairs.any(-2)

    def count(self, tokens: int) -> Tensor | int:
        """N, the number of visible tokens: an int, (…, 1, 1) for `keys`, or (…, q, 1) for `pairs`."""
        mask = self.mask()
        return tokens if mask is None else mask.sum(-1, keepdim=True)


EVERYTHING = Visibility()


def read_mask(
    attn_mask: Tensor | None, is_causal: bool, scores: tuple[int, ...], device: torch.device
) -> tuple[Visibility, Tensor | None]:
    """Read torch's mask arguments into (visibility, additive bias or None).

    A boolean mask is True where a token is visible. A float mask hides a token where it is ≤ finfo(dtype).min / 2
    (−inf included) and is added to the scores otherwise. A mask with equal rows is read as a padding mask, one that
    hides nothing as no mask. `is_causal` is torch's top-left triangle.

    Args:
        attn_mask: Broadcastable to (…, q, k), or None.
        is_causal: Whether query i sees tokens 0 … i only.
        scores: The shape (…, q, k) of the scores.
        device: Device of a causal mask.

    Raises:
        BadInput: Both a mask and `is_causal`, a mask of another type, or one that does not broadcast.
    """
    if is_causal:
        if attn_mask is not None:
            raise BadInput.because(
                "attn_mask", "cannot be combined with is_causal=True", "Include the causal mask in attn_mask."
            )
        triangle = torch.ones(scores[-2:], dtype=torch.bool, device=device).tril()
        return Visibility(pairs=triangle, causal=True), None
    if attn_mask is None:
        return EVERYTHING, None
    _check_shape(attn_mask, scores)
    if attn_mask.shape[-1] != scores[-1]:  # one entry for all tokens
        attn_mask = attn_mask.expand(*attn_mask.shape[:-1], scores[-1])
    if attn_mask.dtype == torch.bool:
        return _simplest(attn_mask), None
    if not attn_mask.is_floating_point():
        raise BadInput("attn_mask", "a boolean or floating-point tensor", str(attn_mask.dtype))
    visible = attn_mask > torch.finfo(attn_mask.dtype).min / 2
    return _simplest(visible), attn_mask


def _check_shape(mask: Tensor, scores: tuple[int, ...]) -> None:
    try:
        fits = mask.ndim > 0 and torch.broadcast_shapes(mask.shape, scores) == scores  # type: ignore[no-untyped-call]
    except RuntimeError:
        fits = False
    if not fits:
        expected = f"a shape that broadcasts to (…, queries, tokens) = {scores}"
        raise BadInput("attn_mask", expected, f"shape {tuple(mask.shape)}")


def _simplest(visible: Tensor) -> Visibility:
    """No mask if nothing is hidden, a padding mask if all rows are equal, otherwise a mask by query."""
    if bool(visible.all()):
        return EVERYTHING
    if visible.ndim == 1:
        return Visibility(keys=visible)
    if visible.shape[-2] == 1 or bool((visible == visible[..., :1, :]).all()):
        return Visibility(keys=visible[..., 0, :])
    return Visibility(pairs=visible)

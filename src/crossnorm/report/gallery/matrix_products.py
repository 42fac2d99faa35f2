"""Products of two matrices with normalized factors: the idea behind cross-normalization."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["PRODUCTS", "Product", "products", "signed", "softmax_columns", "softmax_rows"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Product:
    """A kind of product: its title, formula, a sentence about it, and whether 0 is the middle of its color scale."""

    title: str
    formula: str
    text: str
    signed: bool = False


PRODUCTS: dict[str, Product] = {
    "plain": Product(
        title="plain",
        formula="A · B",
        text="The product of the two images: each of its rows is a sum of rows of B, weighted by a row of A.",
    ),
    "rows": Product(
        title="left rows normalized",
        formula="softmax(τ A) · B",
        text="Each row of A becomes weights that sum to 1, so each row of the product is a weighted mean of rows of B. "
        "Attention does this to its values.",
    ),
    "cross": Product(
        title="cross-normalized",
        formula="softmax(τ A) · softmaxᵀ(τ B)",
        text="Each column of B becomes weights that sum to 1 as well, so both factors are normalized along the axis "
        "that the product sums over. Cross-normalization does this to attention.",
    ),
    "signed": Product(
        title="signed",
        formula="±A · ±B",
        text="Both images are first scaled to [−1, 1], so that two dark pixels count as much as two bright ones. Blue "
        "is below 0, red is above.",
        signed=True,
    ),
}
"""All products, in the order of the gallery."""


def softmax_rows(x: Floats) -> Floats:
    """exp(x_ij) / Σ_k exp(x_ik), (rows, columns)."""
    weights = np.exp(x - x.max(axis=1, keepdims=True))
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


def softmax_columns(x: Floats) -> Floats:
    """exp(x_ij) / Σ_k exp(x_kj), (rows, columns)."""
    return np.asarray(softmax_rows(x.T).T)


def signed(x: Floats) -> Floats:
    """2 (x - min) / (max - min) - 1 over the whole matrix; 0 if it is constant."""
    low, high = float(x.min()), float(x.max())
    return 2 * (x - low) / (high - low) - 1 if high > low else np.zeros_like(x)


def products(left: Floats, right: Floats, temperature: float) -> dict[str, Floats]:
    """All products, by name in `PRODUCTS`.

    Args:
        left: A, (rows, inner), values 0 to 1.
        right: B, (inner, columns), values 0 to 1.
        temperature: τ; larger values concentrate the softmax on single pixels.
    """
    weights = softmax_rows(temperature * left)
    return {
        "plain": left @ right,
        "rows": weights @ right,
        "cross": weights @ softmax_columns(temperature * right),
        "signed": signed(left) @ signed(right),
    }

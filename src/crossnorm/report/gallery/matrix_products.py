"""Products of two matrices whose factors are normalised first: the idea that cross-normalisation came from.

Knows arrays of numbers; knows nothing of pictures, attention or models.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["PRODUCTS", "Product", "products", "signed", "softmax_columns", "softmax_rows"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Product:
    """A way to multiply: its name, what is done, in one sentence, and whether 0 is its middle."""

    title: str
    formula: str
    said: str
    signed: bool = False


PRODUCTS: dict[str, Product] = {
    "plain": Product(
        title="plain",
        formula="A · B",
        said="The product of the two pictures as they are: each of its rows is a sum of rows of B, weighted by a row "
        "of A.",
    ),
    "rows": Product(
        title="rows of the left normalised",
        formula="softmax(τ A) · B",
        said="Each row of A is turned into weights that sum to 1, so each row of the product is a mean of rows of B: "
        "this is what attention does to its values.",
    ),
    "cross": Product(
        title="cross-normalised",
        formula="softmax(τ A) · softmaxᵀ(τ B)",
        said="Each column of B is turned into weights that sum to 1 as well: now both factors are normalised along the "
        "axis that the product sums over. This is the request's change of attention.",
    ),
    "signed": Product(
        title="signed",
        formula="±A · ±B",
        said="Both pictures are stretched to run from −1 to 1 first, so that dark meets dark as bright meets bright; "
        "blue is below 0, red above.",
        signed=True,
    ),
}
"""Every way, in the order of the gallery."""


def softmax_rows(x: Floats) -> Floats:
    """exp(x_ij) / Σ_k exp(x_ik), (rows, columns)."""
    weights = np.exp(x - x.max(axis=1, keepdims=True))
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


def softmax_columns(x: Floats) -> Floats:
    """exp(x_ij) / Σ_k exp(x_kj), (rows, columns)."""
    return np.asarray(softmax_rows(x.T).T)


def signed(x: Floats) -> Floats:
    """2 (x - min) / (max - min) - 1 over the whole matrix; 0 where it is constant."""
    low, high = float(x.min()), float(x.max())
    return 2 * (x - low) / (high - low) - 1 if high > low else np.zeros_like(x)


def products(left: Floats, right: Floats, temperature: float) -> dict[str, Floats]:
    """The product of every way, by its name in `PRODUCTS`.

    Args:
        left: A, (rows, inner), values 0 to 1.
        right: B, (inner, columns), values 0 to 1.
        temperature: τ; the larger, the more a softmax picks single pixels.
    """
    weights = softmax_rows(temperature * left)
    return {
        "plain": left @ right,
        "rows": weights @ right,
        "cross": weights @ softmax_columns(temperature * right),
        "signed": signed(left) @ signed(right),
    }

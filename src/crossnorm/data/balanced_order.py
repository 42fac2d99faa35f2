"""The fixed order of a training set whose every prefix is balanced over the classes.

Knows nothing of seeds: which examples are the first N is a property of the data.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["balanced_order"]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)  # 2^64 / golden ratio: successive multiples fill the circle evenly


def balanced_order(targets: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The permutation that deals the classes in turn, so that the first N counts differ by at most one.

    Within a class of n examples the order is that of frac(i / φ), i = 0 … n-1 the position in the source, φ the
    golden ratio: every prefix is spread evenly over the source, whatever order its files have. A class
    that runs out leaves the round. No random number is drawn.

    Args:
        targets: int64 (n,), the classes in the order of the source.

    Returns:
        int64 (n,): the positions in the source, in the new order.
    """
    turn = np.empty(len(targets), dtype=np.int64)
    for label in np.unique(targets):
        members = np.flatnonzero(targets == label)
        key = np.arange(len(members), dtype=np.uint64) * _GOLDEN  # wraps around: the fraction
        turn[members[np.argsort(key)]] = np.arange(len(members))
    return np.lexsort((targets, turn))

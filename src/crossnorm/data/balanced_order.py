"""A fixed order of the training set in which every prefix is balanced over the classes.

The order is a property of the data: it does not depend on a seed.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["balanced_order"]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)  # 2^64 / golden ratio: successive multiples mod 2^64 are evenly spread


def balanced_order(targets: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The permutation that cycles through the classes, so that class counts of a prefix differ by at most one.

    Within a class, examples are sorted by frac(i / φ), where i is the position within the class and φ the golden
    ratio: every prefix is spread evenly over the source. A class without examples left is skipped. Nothing is random.

    Args:
        targets: int64 (n,), the classes in the order of the source.

    Returns:
        int64 (n,), positions in the source, in the new order.
    """
    turn = np.empty(len(targets), dtype=np.int64)
    for label in np.unique(targets):
        members = np.flatnonzero(targets == label)
        key = np.arange(len(members), dtype=np.uint64) * _GOLDEN  # modulo 2^64
        turn[members[np.argsort(key)]] = np.arange(len(members))
    return np.lexsort((targets, turn))

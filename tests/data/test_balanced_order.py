from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from crossnorm.data.balanced_order import balanced_order


def as_balanced_as_possible(counts: list[int], n: int) -> list[int]:
    """Hand out one example after the other to the class that has fewest and has some left."""
    given_out = [0] * len(counts)
    for _ in range(n):
        open_classes = [i for i, count in enumerate(counts) if given_out[i] < count]
        given_out[min(open_classes, key=lambda i: (given_out[i], i))] += 1
    return given_out


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(1, 23), min_size=2, max_size=7), st.randoms(use_true_random=False))
def test_every_prefix_is_as_balanced_as_the_classes_allow(counts, random):
    targets = [label for label, count in enumerate(counts) for _ in range(count)]
    random.shuffle(targets)
    order = balanced_order(np.array(targets))
    assert sorted(order) == list(range(len(targets)))
    for n in range(len(targets) + 1):
        taken = np.bincount(np.array(targets)[order[:n]], minlength=len(counts))
        assert taken.tolist() == as_balanced_as_possible(counts, n)


def test_a_prefix_is_spread_over_the_source():
    """Sorted sources (one writer, one camera after the other) must not give a one-sided subset."""
    targets = np.repeat(np.arange(3), 1009)
    order = balanced_order(targets)
    for n in (10, 30, 100, 500):
        places = np.sort(order[: 3 * n][targets[order[: 3 * n]] == 1]) - 1009
        gaps = np.diff(np.concatenate([[0], places, [1009]]))
        assert gaps.max() < 3 * 1009 / n

import itertools
from math import comb

import numpy as np
import pytest
from statsmodels.stats.contingency_tables import mcnemar

from crossnorm.stats import mcnemar_e_value, mcnemar_exact
from crossnorm.stats.inference.divergence import divergence


@pytest.mark.parametrize(("b", "c"), list(itertools.product([0, 1, 2, 5, 11], repeat=2)))
def test_exact_test_agrees_with_statsmodels(b, c):
    if b + c == 0:
        assert mcnemar_exact(b, c) == 1
    else:
        assert mcnemar_exact(b, c) == pytest.approx(mcnemar([[3, b], [c, 7]], exact=True).pvalue)


def test_evidence_is_a_martingale_under_a_fair_coin():
    for n in (1, 4, 9):
        expected = sum(comb(n, b) / 2**n * mcnemar_e_value(b, n - b) for b in range(n + 1))
        assert expected == pytest.approx(1)
        assert mcnemar_e_value(n, 0) == pytest.approx((mcnemar_e_value(n + 1, 0) + mcnemar_e_value(n, 1)) / 2)


def test_pairs_without_outcome_say_nothing():
    arm = np.array(["diverged", "diverged", "diverged", "complete", "crashed", "complete"])
    reference = np.array(["complete", "crashed", "complete", "diverged", "complete", "complete"])
    found = divergence(arm, reference)
    assert (found.arm, found.reference, found.excess) == (3, 1, True)
    assert found.p_value == pytest.approx(mcnemar_exact(2, 1))


@pytest.mark.parametrize("kind", ["bonferroni-t", "sequential"])
def test_fewer_divergences_are_no_excess(kind):
    found = divergence(np.array(["complete"] * 5), np.array(["diverged"] * 5), kind)
    assert (found.excess, found.p_value) == (False, 1.0)

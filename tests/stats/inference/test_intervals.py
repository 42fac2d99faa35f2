import math

import numpy as np
import pytest
from scipy import stats

from crossnorm.stats.inference.intervals import bounds, critical_value, interval_of_mean, moments


@pytest.mark.parametrize("n", [3, 5, 11])
@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.995])
def test_student_t_agrees_with_scipy(n, confidence):
    d = np.random.default_rng(n).normal(0.4, 1.3, n)
    reference = stats.ttest_1samp(d, 0.0)
    low, high = reference.confidence_interval(confidence)
    found = interval_of_mean(d, 1 - confidence)
    np.testing.assert_allclose([found.low, found.high, found.p_value], [low, high, reference.pvalue], rtol=1e-10)
    assert (found.n, found.identical) == (n, False)


def test_bounds_work_on_stacks():
    d = np.random.default_rng(1).normal(size=(2, 3, 7))
    low, high = bounds(d, 0.05)
    one = interval_of_mean(d[1, 2], 0.05)
    assert low.shape == (2, 3)
    np.testing.assert_allclose([low[1, 2], high[1, 2]], [one.low, one.high], rtol=1e-12)


@pytest.mark.parametrize(("n", "mean"), [(0, None), (1, 4.0), (2, 4.5)])
def test_below_three_pairs_there_is_no_interval(n, mean):
    found = interval_of_mean(np.array([4.0, 5.0])[:n], 0.05)
    assert found.mean == mean
    assert (found.low, found.high, found.p_value, found.sd) == (None,) * 4


@pytest.mark.parametrize("kind", ["bonferroni-t", "sequential"])
def test_identical_pairs_have_an_interval_of_zero(kind):
    found = interval_of_mean(np.zeros(3), 0.05, kind)
    assert (found.low, found.high, found.p_value, found.sd, found.identical) == (0, 0, 1, 0, True)


def test_one_shift_in_all_pairs_has_no_width_and_divides_by_nothing():
    found = interval_of_mean(np.full(3, 0.1), 0.05)
    assert (found.mean, found.low, found.high, found.p_value, found.identical) == (0.1, 0.1, 0.1, 0.0, False)
    early = interval_of_mean(np.full(3, 0.1), 0.05, "sequential")
    late = interval_of_mean(np.full(9, 0.1), 0.05, "sequential")
    assert (early.low, early.high) == (None, None)
    assert (late.low, late.high) == (0.1, 0.1)
    assert late.p_value == pytest.approx((9 + 1) ** -4)


@pytest.mark.parametrize("size", [1e-300, 1e-160, 1.0, 1e160, 1e300])
def test_no_size_of_numbers_overflows(size):
    d = np.array([1.0, 2.0, 4.0, 3.0, 5.0, 2.0])
    small, big = interval_of_mean(d, 0.05), interval_of_mean(d * size, 0.05)
    np.testing.assert_allclose([big.low / size, big.high / size, big.p_value], [small.low, small.high, small.p_value])
    looked = interval_of_mean(d * size, 0.05, "sequential")
    assert looked.p_value == pytest.approx(interval_of_mean(d, 0.05, "sequential").p_value)


def test_moments_match_numpy():
    d = np.random.default_rng(2).normal(3, 2, (5, 11))
    mean, sd = moments(d)
    np.testing.assert_allclose(mean, d.mean(axis=1), rtol=1e-13)
    np.testing.assert_allclose(sd, d.std(axis=1, ddof=1), rtol=1e-13)


def test_critical_values_known_from_tables():
    assert critical_value(5, 0.05) == pytest.approx(2.776, abs=5e-4)
    assert critical_value(5, 0.05 / 9) == pytest.approx(5.44, abs=5e-3)
    assert math.isinf(critical_value(3, 0.05, "sequential"))

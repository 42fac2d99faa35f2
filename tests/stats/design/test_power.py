import numpy as np
import pytest
from scipy import integrate, stats
from statsmodels.stats.power import TTestPower

from crossnorm.errors import BadInput
from crossnorm.stats import (
    achieved_power,
    detectable_difference,
    pairs_for_difference,
    pairs_for_difference_range,
    pairs_needed,
    sd_interval,
)


def integrated_power(effect, n, m):
    """P(mean √n > critical s), by integrating the normal tail over the distribution of s."""
    critical, df = stats.t.isf(0.025 / m, n - 1), n - 1

    def tail(probability):
        s = np.sqrt(stats.chi2.ppf(probability, df) / df)
        return stats.norm.sf(critical * s - effect * np.sqrt(n))

    return integrate.quad(tail, 0, 1, epsabs=1e-10, limit=200)[0]


@pytest.mark.parametrize("n", [3, 5, 8, 20, 300])
@pytest.mark.parametrize("m", [1, 9, 45])
def test_the_detectable_difference_is_detected_as_often_as_promised(n, m):
    effect = detectable_difference(2.0, n, comparisons=m)
    assert integrated_power(effect / 2.0, n, m) == pytest.approx(0.8, abs=1e-5)
    assert achieved_power(-effect, 2.0, n, comparisons=m) == pytest.approx(0.8)


@pytest.mark.parametrize("n", [5, 8, 20])
@pytest.mark.parametrize("m", [1, 4, 9])
def test_power_agrees_with_statsmodels(n, m):
    """statsmodels counts detections on the wrong side too: at 80 % power there are none to speak of."""
    effect = detectable_difference(2.0, n, comparisons=m)
    assert TTestPower().power(effect / 2.0, n, 0.05 / m) == pytest.approx(0.8, abs=1e-6)


@pytest.mark.parametrize("effect", [0.3, 0.5, 1.0, 2.0])
def test_pairs_for_a_difference_agree_with_statsmodels(effect):
    expected = TTestPower().solve_power(effect_size=effect, alpha=0.05, power=0.8)
    assert pairs_for_difference(1.0, effect) == max(3, int(np.ceil(expected)))


def test_pairs_and_difference_are_each_others_inverse():
    for n in (4, 7, 31):
        for kind in ("bonferroni-t", "sequential"):
            if (effect := detectable_difference(1.0, n, comparisons=2, interval=kind)) is not None:
                assert pairs_for_difference(1.0, effect * 1.0001, comparisons=2, interval=kind) == n
                assert pairs_for_difference(1.0, effect * 0.999, comparisons=2, interval=kind) == n + 1


def test_too_few_pairs_detect_nothing():
    assert detectable_difference(1.0, 2) is None
    assert detectable_difference(1.0, 4, interval="sequential") is None
    assert achieved_power(9.0, 1.0, 4, interval="sequential") == 0
    assert detectable_difference(0.0, 5) == 0
    assert (achieved_power(1.0, 0.0, 5), achieved_power(0.0, 0.0, 5)) == (1, 0)


def test_no_number_of_pairs_detects_nothing_at_all():
    assert pairs_for_difference(1.0, 0.0) is None
    assert pairs_for_difference(0.0, 1.0) == 3
    assert pairs_for_difference(1.0, 1e-3) == pytest.approx((1.96 + 0.8416) ** 2 * 1e6, rel=1e-3)


def test_power_by_simulation():
    rng = np.random.default_rng(0)
    d = rng.normal(detectable_difference(1.0, 5, comparisons=4), 1, (20000, 5))
    p_value = stats.ttest_1samp(d, 0, axis=1, alternative="greater").pvalue
    assert (p_value <= 0.05 / 8).mean() == pytest.approx(0.8, abs=0.01)


def test_pairs_needed_is_the_first_number_whose_half_width_fits():
    likely, low, high = pairs_needed(0.7, 6, 0.3, comparisons=4)
    bounds = sd_interval(0.7, 6)
    for found, sd in ((likely, 0.7), (low, bounds[0]), (high, bounds[1])):
        half = [stats.t.isf(0.05 / 8, n - 1) * sd / np.sqrt(n) for n in (found - 1, found)]
        assert half[1] <= 0.3 < half[0]


def test_pairs_needed_for_looking_are_more():
    fixed, looking = pairs_needed(0.7, 6, 0.3), pairs_needed(0.7, 6, 0.3, interval="sequential")
    assert all(a < b for a, b in zip(fixed, looking, strict=True))
    assert pairs_needed(0.0, 6, 0.3) == (3, 3, 3)
    assert pairs_needed(0.0, 6, 0.3, interval="sequential") == (5, 5, 5)
    assert pairs_needed(0.7, 6, 0.0) is None


def test_the_range_of_an_estimated_sd_holds_the_truth():
    rng = np.random.default_rng(1)
    low, high = sd_interval(1.0, 5)
    sd = rng.normal(size=(20000, 5)).std(axis=1, ddof=1)
    assert ((sd * low <= 1) & (sd * high >= 1)).mean() == pytest.approx(0.95, abs=0.006)
    likely, fewest, most = pairs_for_difference_range(1.0, 5, 0.8)
    assert (fewest, likely, most) == tuple(pairs_for_difference(sd, 0.8) for sd in (low, 1.0, high))
    assert pairs_for_difference_range(1.0, 5, 0.0) is None


@pytest.mark.parametrize("bad", [{"sd": -1.0}, {"power": 1.0}, {"confidence": 95}, {"sd": np.nan}])
def test_bad_plans(bad):
    with pytest.raises(BadInput):
        detectable_difference(**({"sd": 1.0, "n": 5} | bad))
    with pytest.raises(BadInput):
        pairs_for_difference(**({"sd": 1.0, "difference": 1.0} | bad))

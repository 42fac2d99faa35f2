"""False rates of A/A pools against loops and exact answers, and whether verdicts stand elsewhere."""

from __future__ import annotations

import math
from itertools import combinations, permutations

import numpy as np
import pytest
from scipy import stats

from crossnorm.errors import BadInput
from crossnorm.stats import ArmInfo, estimate, paired_scatter, rate_of_paired, rate_of_unpaired, robustness_checks
from crossnorm.stats.design.aa_false_positives import rate_bounds
from tests.stats.stats_tables import LOSS, table_of

CRITICAL = {0.7: stats.t.ppf(0.85, 2)}


def rejects(differences, confidence):
    """Whether Student's t of three differences is significant, term by term."""
    mean = sum(differences) / 3
    sd = math.sqrt(sum((d - mean) ** 2 for d in differences) / 2)
    return abs(mean) > CRITICAL[confidence] * sd / math.sqrt(3)


def every_paired_study(values, pairs, confidence):
    """Each choice of seeds, and in each seed each ordered pair of arms."""
    arms, seeds = values.shape
    out = []
    ordered = list(permutations(range(arms), 2))
    for chosen in combinations(range(seeds), pairs):
        for index in np.ndindex(*(len(ordered),) * pairs):
            rows = [ordered[i] for i in index]
            out.append(
                rejects([values[a, s] - values[b, s] for (a, b), s in zip(rows, chosen, strict=True)], confidence)
            )
    return float(np.mean(out))


def every_unpaired_study(values, pairs, confidence):
    out = []
    for order in permutations(range(len(values)), 2 * pairs):
        out.append(
            rejects([values[a] - values[b] for a, b in zip(order[:pairs], order[pairs:], strict=True)], confidence)
        )
    return float(np.mean(out))


def test_paired_rate_is_the_share_of_all_studies():
    values = np.random.default_rng(3).normal(size=(3, 5))
    found = rate_of_paired(values, confidence=0.7)
    assert found.rate == pytest.approx(every_paired_study(values, 3, 0.7), abs=0.03)
    assert (found.runs, found.pairs, found.disjoint) == (15, 3, 1)


def test_unpaired_rate_is_the_share_of_all_studies():
    values = np.random.default_rng(5).normal(size=7) ** 3
    found = rate_of_unpaired(values, confidence=0.7)
    assert found.rate == pytest.approx(every_unpaired_study(values, 3, 0.7), abs=0.03)
    assert (found.runs, found.pairs, found.disjoint) == (7, 3, 1)


def test_a_seed_effect_is_no_false_verdict_where_it_is_paired():
    rng = np.random.default_rng(1)
    values = 100 * rng.normal(size=11) + rng.normal(size=(5, 11))
    assert rate_of_paired(values) == rate_of_paired(values - values.mean(axis=0))


def test_seeds_with_a_failed_run_are_left_out():
    values = np.random.default_rng(2).normal(size=(5, 7))
    failed = np.insert(values, 3, np.nan, axis=1)
    failed[0, 3] = 1.0
    assert rate_of_paired(failed) == rate_of_paired(values)
    assert rate_of_unpaired(failed[0]) == rate_of_unpaired(np.append(values[0, :3], [1.0, *values[0, 3:]]))


def test_identical_runs_never_differ():
    assert rate_of_paired(np.ones((3, 5))).rate == 0
    assert rate_of_unpaired(np.ones(7)).rate == 0


def test_a_small_pool_says_nothing():
    for found in (rate_of_paired(np.ones((5, 2))), rate_of_unpaired(np.ones(5))):
        assert (found.rate, found.low, found.high, found.disjoint) == (None, 0, 1, 0)


@pytest.mark.parametrize(("rate", "disjoint"), [(0.0, 7), (1.0, 3), (0.3, 11), (0.05, 23)])
def test_bounds_end_where_the_divergence_is_used_up(rate, disjoint):
    low, high = rate_bounds(rate, disjoint, 0.9)
    for theta in {low, high} - {0.0, 1.0}:
        kl = sum(p * math.log(p / q) for p, q in ((rate, theta), (1 - rate, 1 - theta)) if p)
        assert disjoint * kl == pytest.approx(math.log(20), rel=1e-6)
    assert low <= rate <= high
    assert (low == 0, high == 1) == (rate == 0, rate == 1)


def test_bounds_without_a_false_study_are_those_of_the_binomial():
    """With no outcome in K both are 1 - (δ/2)^(1/K)."""
    exact = stats.binomtest(0, 7).proportion_ci(0.95, "exact")
    assert rate_bounds(0.0, 7, 0.95) == pytest.approx((exact.low, exact.high), rel=1e-6)


def test_bounds_cover_the_true_rate():
    """Pools of 13 runs, K = 2: the bounds hardly ever miss, where the binomial error of 4000 draws would."""
    rng = np.random.default_rng(0)
    found = [rate_of_unpaired(rng.normal(size=13), confidence=0.8) for _ in range(100)]
    assert np.mean([f.low <= 0.2 <= f.high for f in found]) >= 0.95
    narrow = [abs(f.rate - 0.2) > 3 * math.sqrt(0.2 * 0.8 / 4000) for f in found]
    assert np.mean(narrow) > 0.1


def test_scatter_is_of_paired_differences():
    values = np.random.default_rng(4).normal(size=(3, 7))
    found = paired_scatter(values)
    variances = [np.var([values[i, s] - values[0, s] for s in range(7)], ddof=1) for i in (1, 2)]
    assert found.sd == pytest.approx(math.sqrt(sum(variances) / 2))
    correlations = [stats.pearsonr(values[i], values[0]).statistic for i in (1, 2)]
    assert found.correlation == pytest.approx(np.mean(correlations))
    assert paired_scatter(values[:, :2]).sd is None


@pytest.mark.parametrize("bad", [{"pairs": 2}, {"confidence": 1.0}])
def test_what_does_not_fit_is_refused(bad):
    for rate, pool in ((rate_of_paired, np.ones((3, 5))), (rate_of_unpaired, np.ones(7))):
        with pytest.raises(BadInput, match=next(iter(bad))):
            rate(pool, **bad)


RATES = (
    ArmInfo(name="baseline"),
    ArmInfo(name="slow"),
    ArmInfo(name="x", variant="convex", alpha=1.0),
    ArmInfo(name="x slow", variant="convex", alpha=1.0, control="slow"),
)


def judged(effect, slow_effect):
    """A variant that does `effect` beside the baseline and `slow_effect` beside the arm `slow`, which is far away."""
    noise = np.random.default_rng(0).normal(0, 0.01, (4, 5))
    values = np.array([1.0, 2.0, 1.0 + effect, 2.0 + slow_effect])[:, None] + noise
    return estimate(table_of(values, arms=RATES), study="s", metric=LOSS, margin=0.1)


@pytest.mark.parametrize(
    ("effects", "words", "stands", "said"),
    [
        ((0.5, 0.3), ("worse", "worse"), True, "is the same in all 2 settings: worse, against each of baseline, slow"),
        ((0.0, 0.0), ("same", "same"), True, "is the same in all 2 settings: same"),
        ((-0.5, 0.3), ("better", "worse"), False, "changes sign"),
        ((0.5, 0.0), ("worse", "same"), False, "worse against baseline, same against slow"),
    ],
)
def test_a_verdict_stands_if_it_is_the_same_against_each_control(effects, words, stands, said):
    (found,) = robustness_checks(judged(*effects))
    assert (found.variant, found.alpha, found.against) == ("convex", 1.0, ("baseline", "slow"))
    assert (found.verdicts, found.holds) == (words, stands)
    assert said in found.sentence


def test_undecided_everywhere_does_not_stand():
    values = np.random.default_rng(0).normal(size=(4, 3))
    verdict = estimate(table_of(values, arms=RATES), study="s", metric=LOSS)
    (found,) = robustness_checks(verdict)
    assert not found.holds
    assert "undecided in all 2 settings" in found.sentence


def test_an_ordinary_study_has_nothing_that_could_stand():
    arms = (ArmInfo(name="baseline"), ArmInfo(name="c", variant="c", alpha=1.0), *RATES[2:3])
    verdict = estimate(table_of(np.eye(3), arms=arms), study="s", metric=LOSS)
    assert robustness_checks(verdict) == ()

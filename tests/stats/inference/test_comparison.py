import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.weightstats import ttost_paired

from crossnorm.errors import BadInput
from crossnorm.stats import ArmInfo
from crossnorm.stats.inference.comparison import Rule, compare_arms, resolve_margin
from crossnorm.stats.inference.family import family_size
from tests.stats.stats_tables import LOSS, dosed, table_of


def compare(values, status=None, **rule):
    table = table_of(values, status=status)
    return compare_arms(table, LOSS, table.final("test_loss"), 1, 0, Rule(**({"direction": "lower"} | rule)))


@pytest.mark.parametrize("seed", range(12))
def test_same_is_two_one_sided_tests(seed):
    """Inside ± margin at confidence 1 - δ is TOST at level δ/2; beside 0 is the paired t-test at level δ."""
    rng = np.random.default_rng(seed)
    baseline = rng.normal(0, 1, 7)
    arm = baseline + rng.normal(0, 0.1, 7) + rng.choice([0, 0.1])
    found = compare([baseline, arm], margin=0.12, confidence=0.9)
    tost = ttost_paired(arm, baseline, -0.12, 0.12)[0]
    p_value = stats.ttest_rel(arm, baseline).pvalue
    assert found.interval.p_value == pytest.approx(p_value)
    if tost <= 0.05:
        expected = "same"
    elif p_value <= 0.1:
        expected = "worse" if arm.mean() > baseline.mean() else "better"
    else:
        expected = "undecided"
    assert found.verdict == expected


noise = np.array([-0.02, 0.01, 0.0, 0.02, -0.01])


@pytest.mark.parametrize(
    ("shift", "margin", "direction", "verdict"),
    [
        (-1, None, "lower", "better"),
        (1, None, "lower", "worse"),
        (-1, None, "higher", "worse"),
        (1, None, "higher", "better"),
        (1, 0.5, "lower", "worse"),
        (-1, 0.5, "lower", "better"),
        (1, 2.0, "lower", "same"),
        (0, None, "lower", "undecided"),
        (0, 0.001, "lower", "undecided"),
        (0, 0.1, "lower", "same"),
    ],
)
def test_the_order_of_decisions(shift, margin, direction, verdict):
    assert compare([noise * 0, noise + shift], margin=margin, direction=direction).verdict == verdict


def test_identical_pairs_are_the_same_without_a_margin_but_not_below_three():
    assert compare([[1, 2, 3], [1, 2, 3]]).verdict == "same"
    assert compare([[1, 2], [1, 2]]).verdict == "undecided"


def test_one_shift_in_all_pairs_is_decided_by_its_sign_and_the_margin():
    assert compare([[1, 2, 3], [2, 3, 4]]).verdict == "worse"
    assert compare([[1, 2, 3], [2, 3, 4]], margin=1).verdict == "same"
    assert compare([[1, 2, 3], [2, 3, 4]], kind="sequential").verdict == "undecided"


def statuses(arm_diverged, baseline_diverged, n):
    rows = np.full((2, n), "complete", dtype="U9")
    rows[1, :arm_diverged] = "diverged"
    rows[0, n - baseline_diverged :] = "diverged"
    return rows


@pytest.mark.parametrize(
    ("arm", "baseline", "n", "verdict"),
    [
        (0, 0, 12, "better"),
        (1, 0, 12, "undecided"),
        (5, 0, 12, "undecided"),
        (6, 0, 12, "worse"),
        (12, 0, 12, "worse"),
        (2, 2, 12, "better"),
        (1, 4, 12, "better"),
        (0, 12, 12, "undecided"),
    ],
)
def test_diverged_runs_forbid_better_and_same(arm, baseline, n, verdict):
    """McNemar at 5 %: 5 of 5 is p = 0.0625, 6 of 6 is 0.031."""
    values = np.random.default_rng(0).normal(0, 0.01, (2, n)) - np.array([[0], [1]])
    assert compare(values, statuses(arm, baseline, n)).verdict == verdict
    inside = "same" if verdict == "better" else verdict
    assert compare(values, statuses(arm, baseline, n), margin=2).verdict == inside


def test_divergence_is_judged_at_the_level_of_the_family_and_of_looking():
    values = np.zeros((2, 12))
    assert compare(values, statuses(6, 0, 12), comparisons=2).verdict == "undecided"
    assert compare(values, statuses(7, 0, 12), comparisons=2).verdict == "worse"
    assert compare(values, statuses(7, 0, 12), kind="sequential").verdict == "undecided"
    assert compare(values, statuses(8, 0, 12), kind="sequential").verdict == "worse"


def test_crashed_runs_are_left_out_and_forbid_nothing():
    status = statuses(0, 0, 7)
    status[1, 2] = "crashed"
    found = compare(np.stack([np.zeros(7), np.arange(7) / 100 - 1]), status)
    assert (found.interval.n, found.verdict) == (6, "better")


def test_runs_that_never_reach_a_target_forbid_better():
    values = np.array([[9.0, 8, 9, 8, 9], [1, 2, 1, 2, np.nan]])
    assert compare(values[:, :4]).verdict == "better"
    assert compare(values).verdict == "undecided"
    assert compare(values[::-1]).verdict == "worse"


def test_family_counts_arms_and_contrasts():
    arms = (ArmInfo(name="b"), dosed("v", 1, control="c-1"), dosed("v", 2, control="b"), dosed("c", 1))
    assert family_size(table_of(np.zeros((4, 3)), arms=arms)) == 4
    assert family_size(table_of(np.zeros((1, 3)))) == 1


@pytest.mark.parametrize(
    ("margin", "expected"), [(None, None), (0.5, 0.5), ("0.5", 0.5), ("1 %", 0.03), ("10%", 0.3), (0, 0)]
)
def test_margin_is_a_number_or_a_share_of_the_baseline(margin, expected):
    assert resolve_margin(margin, np.array([-2.0, -4.0, np.nan])) == (expected and pytest.approx(expected))


def test_a_share_of_nothing_is_no_margin():
    assert resolve_margin("1 %", np.array([np.nan])) is None


@pytest.mark.parametrize("margin", ["-1", -0.1, "one", "1 % %", np.nan, np.inf, "1e", "%"])
def test_bad_margin(margin):
    with pytest.raises(BadInput, match="margin: expected a number ≥ 0"):
        resolve_margin(margin, np.ones(3))


@pytest.mark.parametrize(
    "bad", [{"direction": "up"}, {"kind": "bootstrap"}, {"confidence": 95}, {"prior": 0}, {"confidence": 0}]
)
def test_bad_rule(bad):
    with pytest.raises(BadInput):
        Rule(**({"direction": "lower"} | bad))

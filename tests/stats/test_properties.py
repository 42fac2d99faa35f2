"""What shifting, scaling, reordering, swapping and doubling must and must not change."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from crossnorm.metric import Metric
from crossnorm.stats import ArmInfo, estimate
from tests.stats.stats_tables import LOSS, convex_table, dosed, table_of

KINDS = st.sampled_from(["bonferroni-t", "sequential"])
ARMS = (
    ArmInfo(name="baseline"),
    dosed("convex", 0.5, control="attenuated-0.5"),
    dosed("convex", 1, control="attenuated-1"),
    dosed("attenuated", 0.5),
    dosed("attenuated", 1),
)
values_of = arrays.arrays(
    np.float64, st.tuples(st.just(5), st.integers(0, 11)), elements=st.integers(-1000, 1000).map(lambda k: k / 64)
)
quick = settings(max_examples=40, deadline=None, derandomize=True)


def judged(values, arms=ARMS, **options):
    return estimate(table_of(values, arms=arms), **({"study": "s", "metric": LOSS} | options))


def numbers(verdict):
    """Everything that must scale with the metric: differences and bounds of arms, contrasts, trends, answer."""
    found = [(row.difference, row.low, row.high) for row in (*verdict.arms[1:], *verdict.contrasts)]
    found += [(trend.slope, trend.low, trend.high) for trend in (verdict.trend, *verdict.trends)]
    found.append((verdict.answer.estimate, verdict.answer.low, verdict.answer.high))
    return np.array(found, dtype=float)


def verdicts(verdict):
    return [row.verdict for row in (*verdict.arms, *verdict.contrasts)]


@quick
@given(values=values_of, shift=st.integers(-50, 50), kind=KINDS)
def test_a_shift_of_everything_changes_no_difference(values, shift, kind):
    before, after = judged(values, interval=kind), judged(values + shift, interval=kind)
    np.testing.assert_array_equal(numbers(before), numbers(after))
    assert verdicts(before) == verdicts(after)


@quick
@given(values=values_of, power=st.integers(-40, 40), kind=KINDS, margin=st.none() | st.floats(0, 4))
def test_a_change_of_unit_changes_only_the_unit(values, power, kind, margin):
    factor = 2.0**power
    before = judged(values, interval=kind, margin=margin)
    after = judged(values * factor, interval=kind, margin=None if margin is None else margin * factor)
    np.testing.assert_allclose(numbers(after), numbers(before) * factor, rtol=1e-12, atol=0)
    assert verdicts(before) == verdicts(after)
    assert [row.pairs_needed for row in before.arms] == [row.pairs_needed for row in after.arms]
    assert before.answer.p_value == (after.answer.p_value and pytest.approx(after.answer.p_value))


@quick
@given(values=values_of, seed=st.integers(0, 999), kind=KINDS)
def test_the_order_of_seeds_is_no_matter_at_one_look(values, seed, kind):
    order = np.random.default_rng(seed).permutation(values.shape[1])
    before, after = judged(values, interval=kind), judged(values[:, order], interval=kind)
    np.testing.assert_allclose(numbers(after), numbers(before), rtol=1e-9, atol=1e-9)


@quick
@given(values=values_of, seed=st.integers(0, 999), kind=KINDS)
def test_the_order_of_arms_is_no_matter(values, seed, kind):
    order = [0, *(np.random.default_rng(seed).permutation(4) + 1)]
    before = judged(values, interval=kind)
    after = judged(values[order], arms=tuple(ARMS[i] for i in order), interval=kind)
    assert {row.arm: row for row in before.arms} == {row.arm: row for row in after.arms}
    assert {row.arm: row for row in before.contrasts} == {row.arm: row for row in after.contrasts}
    assert (before.answer, before.trend, before.pairing) == (after.answer, after.trend, after.pairing)


@quick
@given(values=values_of, kind=KINDS, margin=st.none() | st.floats(0, 4))
def test_swapping_arm_and_baseline_flips_the_sign(values, kind, margin):
    pair = (ArmInfo(name="a"), ArmInfo(name="b"))
    one = judged(values[:2], arms=pair, interval=kind, margin=margin).arms[1]
    other = judged(values[1::-1], arms=pair[::-1], interval=kind, margin=margin).arms[1]
    flipped = [None if x is None else -x for x in (other.difference, other.high, other.low)]
    assert [one.difference, one.low, one.high] == flipped
    opposite = {"better": "worse", "worse": "better"}
    assert one.verdict == opposite.get(other.verdict, other.verdict)


@quick
@given(values=values_of, kind=KINDS)
def test_a_doubled_arm_gets_identical_intervals(values, kind):
    arms = (*ARMS, replace(ARMS[2], name="again"))
    found = judged(np.concatenate([values, values[2:3]]), arms=arms, interval=kind)
    assert replace(found.arms[-1], arm=found.arms[2].arm) == found.arms[2]
    assert replace(found.contrasts[-1], arm=found.contrasts[1].arm) == found.contrasts[1]


@quick
@given(values=values_of, kind=KINDS)
def test_turning_metric_and_direction_over_keeps_the_verdicts(values, kind):
    before = judged(values, interval=kind)
    after = judged(-values, interval=kind, metric=Metric("test_loss", direction="higher"))
    assert verdicts(before) == verdicts(after)


@quick
@given(
    statuses=arrays.arrays(
        np.dtype("U9"), (5, 7), elements=st.sampled_from(["complete", "diverged", "crashed", "missing"])
    ),
    kind=KINDS,
    margin=st.sampled_from([None, 0.1, "1 %"]),
)
def test_values_of_runs_that_are_not_complete_never_matter(statuses, kind, margin):
    values = np.random.default_rng(0).normal(3, 1, (5, 7))
    spoiled = np.where(statuses == "complete", values, np.nan)
    options = {"study": "s", "metric": LOSS, "interval": kind, "margin": margin}
    one = estimate(table_of(values, arms=ARMS, status=statuses), **options)
    other = estimate(table_of(spoiled, arms=ARMS, status=statuses), **options)
    assert one.to_json() == other.to_json()
    for row in one.arms[1:]:
        diverged = (statuses[[0, int(np.flatnonzero([arm.name == row.arm for arm in ARMS])[0])]] == "diverged").sum(
            axis=1
        )
        assert row.verdict in ("undecided", "worse") or diverged[1] <= diverged[0]


def test_more_pairs_narrow_the_interval():
    widths = [np.ptp(numbers(judged(convex_table(n=n).final("test_loss")[:5]))[0, 1:]) for n in (5, 11, 41)]
    assert widths == sorted(widths, reverse=True)

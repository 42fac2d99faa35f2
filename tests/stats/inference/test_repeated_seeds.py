"""Seeds whose runs are copies of one another are no pairs; values that agree by chance are."""

from __future__ import annotations

import numpy as np
import pytest

from crossnorm.metric import Metric
from crossnorm.stats import Table, caveats, estimate
from crossnorm.stats.inference.repeated_seeds import repeated_seeds
from tests.stats.stats_tables import LOSS, convex_table, table_of

DRAWS = np.random.default_rng(0).normal(size=(2, 6))
COPIES = [0, 1, 0, 1, 2, 0]


def verdict_of(table: Table):
    return estimate(table, study="s", metric=LOSS, margin=10.0)


def test_copied_seeds_have_no_interval():
    table = table_of(DRAWS[:, COPIES] + [[0], [-9]])
    assert repeated_seeds(table, LOSS, (1, 0)) == (2, 3, 5)
    found = verdict_of(table)
    row = found.arms[1]
    assert (row.verdict, row.low, row.high, row.pairs_needed) == ("undecided", None, None, None)
    assert row.difference == pytest.approx(np.mean(DRAWS[1, COPIES] - DRAWS[0, COPIES]) - 9)
    assert (found.answer.verdict, found.answer.low, found.answer.p_value) == ("undecided", None, None)
    reason = "undecided, because the runs of seeds 2, 3, 5 are identical to the bit to those of another seed"
    assert reason in found.answer.sentence
    assert caveats(table, found)[0].startswith("Runs of seeds 2, 3, 5 (baseline, arm1) are identical to the bit")


def test_a_reference_alone_may_be_the_same_in_all_seeds():
    table = table_of([np.full(6, 0.123456), DRAWS[1] - 9])
    assert repeated_seeds(table, LOSS, (1, 0)) == ()
    assert verdict_of(table).arms[1].low is not None


def test_a_trend_over_copied_seeds_has_no_interval():
    table = convex_table(n=3)
    values = table.final("test_loss")[:, [0, 1, 2, 2]]
    found = verdict_of(table_of(values, arms=table.arms))
    assert (found.answer.verdict, found.trend.low, found.trend.p_value) == ("undecided", None, None)
    assert {row.verdict for row in (*found.arms[1:], *found.contrasts)} == {"undecided"}


def test_training_that_ignores_its_seed():
    """All seeds agree, which no chance explains, even if the values are round."""
    found = verdict_of(table_of([np.ones(3), np.full(3, 0.5)]))
    assert (found.answer.verdict, found.answer.low) == ("undecided", None)


def test_identical_arms_stay_the_same_by_definition():
    assert verdict_of(table_of(np.ones((2, 3)))).answer.verdict == "same"


@pytest.mark.parametrize("number", [np.float64, np.float32])
def test_accuracies_may_agree_by_chance(number):
    right = np.array([[300, 310, 300, 320, 305, 310], [340, 341, 340, 344, 350, 341]])
    table = table_of((right / number(360)).astype(number))
    assert repeated_seeds(table, LOSS, (1, 0)) == ()
    assert repeated_seeds(table_of(right / 360 + 1e-5), LOSS, (1, 0)) == (2, 5)
    curves = np.stack([right - 200, right - 100, right], axis=-1) / 360  # six numbers that agree are no chance
    assert repeated_seeds(table_of(curves, steps=(1, 2, 3)), LOSS, (1, 0)) == (2, 5)


def test_whole_curves_are_compared_and_failed_runs_too():
    curves = np.stack([DRAWS, np.zeros_like(DRAWS)], axis=-1)
    assert repeated_seeds(table_of(curves, steps=(1, 2)), LOSS, (0, 1)) == ()  # the same end, other beginnings
    curves[:, 3:] = curves[:, :3]
    curves[1, :, 1] = np.inf
    status = [["complete"] * 6, ["diverged"] * 6]
    table = table_of(curves, steps=(1, 2), status=status)
    assert repeated_seeds(table, LOSS, (0, 1)) == (3, 4, 5)
    assert verdict_of(table).answer.verdict == "undecided"
    status[1][4] = "crashed"
    assert repeated_seeds(table_of(curves, steps=(1, 2), status=status), LOSS, (0, 1)) == (3, 5)


def test_steps_to_a_target_are_judged_by_the_curve_behind_them():
    table = table_of(DRAWS, steps_to=np.ones((2, 6)))
    assert repeated_seeds(table, Metric("test_loss", "steps_to", 0.5, direction="lower"), (0, 1)) == ()

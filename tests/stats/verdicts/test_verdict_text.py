import numpy as np
import pytest

from crossnorm.metric import Metric
from crossnorm.stats import ArmInfo, estimate
from crossnorm.stats.verdicts.verdict_text import number
from tests.stats.stats_tables import convex_table, dosed, table_of

SCOPE = "for this training and test set"
WOBBLE = np.array([-0.01, 0.0, 0.01, 0.004, -0.004])


def sentence(table, metric="test_loss", direction="lower", **options):
    return estimate(table, study="s", metric=Metric(metric, direction=direction), **options).answer.sentence


def dose_table(slope, doses=(0.5, 1.0), wobble=1.0, **further):
    arms = (ArmInfo(name="baseline"), *(dosed("matched", dose) for dose in doses))
    rows = [np.zeros(5), *(slope * dose + wobble * WOBBLE for dose in doses)]
    return table_of(np.stack(rows) + 1, arms=arms, **further)


def test_an_effect_names_size_direction_interval_pairs_metric_and_scope():
    text = sentence(convex_table(effect=0.5, control_effect=0.1, n=7))
    assert text.startswith("Raising α from 0 to 1 makes the test loss of convex 0.395 ")
    assert "higher (worse) than that of its control attenuated (95 % interval: 0.363 to 0.427, " in text
    assert text.endswith(f"7 pairs), over these 7 seeds, {SCOPE}.")


@pytest.mark.parametrize(
    ("slope", "direction", "words"),
    [
        (-0.5, "lower", "0.5000 lower (better)"),
        (0.5, "lower", "0.5000 higher (worse)"),
        (-0.5, "higher", "0.5000 lower (worse)"),
        (0.5, "higher", "0.5000 higher (better)"),
    ],
)
def test_direction(slope, direction, words):
    assert words in sentence(dose_table(slope), direction=direction)


def test_the_dose_studied_is_named():
    assert "Raising α by 1 (studied from 0 to 4)" in sentence(dose_table(0.5, (1, 4)))
    assert "Raising α by 1 (studied from -2 to 1)" in sentence(dose_table(0.5, (-2, 1)))


def test_undecided():
    text = sentence(dose_table(0.001))
    reason = "Undecided: the interval contains 0, so either direction is possible; "
    assert text.startswith(f"{reason}on raising α from 0 to 1, the test loss of matched is estimated 0.0010 higher")
    assert text.endswith("5 pairs), over these 5 seeds, for this training and test set.")


def test_a_slope_of_zero_is_no_identity():
    """With doses 0, ½, 1 the slope is the last difference: 0 here, although the arm in the middle is off."""
    arms = (ArmInfo(name="baseline"), dosed("matched", 0.5), dosed("matched", 1))
    text = sentence(table_of(np.stack([np.zeros(5), np.ones(5) + WOBBLE, np.zeros(5)]), arms=arms))
    assert text.startswith("Undecided: ")
    assert "estimated no different from" in text


def test_same_holds_for_the_largest_dose():
    assert "leaves the test loss of matched the same as that of baseline to within the margin of 0.1" in sentence(
        dose_table(0.001), margin=0.1
    )
    assert sentence(dose_table(0.04, (2, 4)), margin=0.1).startswith("Raising α by 1 (studied from 0 to 4) makes")


@pytest.mark.parametrize(
    ("n", "words"),
    [
        (0, "there is no complete pair for the test loss"),
        (1, "there is only 1 complete pair for"),
        (2, "there are only 2 complete pairs for"),
    ],
)
def test_too_few_pairs(n, words):
    text = sentence(table_of(np.ones((2, n))))
    assert words in text
    assert "an interval needs at least 3" in text
    assert SCOPE in text


def test_sequential_intervals_say_that_looking_was_allowed_for():
    text = sentence(dose_table(0.5), interval="sequential")
    assert "95 % sequential interval" in text
    few = sentence(table_of([[1, 2, 3], [2, 3.5, 4]]), interval="sequential")
    assert "still infinite, 3 pairs" in few
    assert "3 pairs are too few for a finite sequential interval" in few


def test_free_arms_are_named_as_they_are():
    text = sentence(table_of([np.zeros(5), WOBBLE - 0.2]))
    assert text.startswith("The test loss of arm1 is 0.2000 lower (better) than that of baseline (95 % interval: -0.2")


def test_loss_and_accuracy_that_disagree():
    rise = np.stack([np.zeros(5), 0.5 + WOBBLE, 1 + WOBBLE])[..., None]
    both = dose_table(0.5, test_accuracy=0.5 + rise)
    assert "loss and accuracy disagree in direction: test_accuracy is 1.01 higher (better)" not in sentence(both)
    assert "loss and accuracy disagree in direction: test_accuracy is 1 higher (better)" in sentence(both)
    on_accuracy = sentence(both, metric="test_accuracy", direction="higher")
    assert "loss and accuracy disagree in direction: test_loss is 0.5 higher (worse)" in on_accuracy
    assert "disagree" not in sentence(dose_table(0.5, test_accuracy=0.5 - rise))


def test_runs_without_a_value_take_the_claim_away():
    values = np.stack([np.zeros(5), -0.25 + WOBBLE, -0.5 + WOBBLE]) + 1
    values[2, 3:] = np.nan
    table = table_of(values, arms=(ArmInfo(name="baseline"), dosed("matched", 0.5), dosed("matched", 1)))
    text = sentence(table)
    assert text.startswith("Undecided: 2 complete runs of matched never reached a value, against 0 of baseline")
    values[0, 3:] = np.nan
    table = table_of(values, arms=(ArmInfo(name="baseline"), dosed("matched", 0.5), dosed("matched", 1)))
    assert sentence(table).startswith("Raising α from 0 to 1 makes the test loss of matched 0.50")


def test_a_level_trend_names_the_doses_that_differ():
    arms = (ArmInfo(name="baseline"), dosed("matched", 0.5), dosed("matched", 1))
    rows = np.stack([np.zeros(5), 1 + WOBBLE, WOBBLE])
    text = sentence(table_of(rows, arms=arms), margin=0.1)
    assert "leaves the test loss of matched the same as that of baseline to within the margin of 0.1" in text
    assert "pairs), but individually matched-0.5 is worse, which a linear trend over α cannot show, over" in text
    assert "individually" not in sentence(dose_table(0.001), margin=0.1)
    assert "individually" not in sentence(dose_table(0.5), margin=0.1)


def test_diverged_runs_take_the_claim_away():
    status = np.full((3, 5), "complete", dtype="U9")
    status[2, 1] = "diverged"
    text = sentence(dose_table(-0.5, status=status))
    assert text.startswith("Undecided: ")
    assert "1 run of matched diverged against 0 of baseline, and the remaining runs are not representative" in text
    assert text.endswith("; of all 15 runs 1 diverged.")
    status[1:] = "diverged"
    assert "10 runs of matched diverged against 0 of baseline" in sentence(dose_table(-0.5, status=status))


def test_a_significant_excess_of_diverged_runs_is_worse():
    status = np.full((2, 6), "complete", dtype="U9")
    status[1] = "diverged"
    text = sentence(table_of(np.ones((2, 6)), status=status))
    assert text.startswith(f"arm1 is worse than baseline, over these seeds, {SCOPE}: 6 runs of arm1 diverged")


@pytest.mark.parametrize(
    ("value", "scale", "text"),
    [
        (0, None, "0"),
        (0.031234, 0.019, "0.031"),
        (0.031234, None, "0.0312"),
        (12.3456, 1.2, "12.3"),
        (1234.5, 300, "1230"),
        (-0.0001, 0.5, "0.00"),
        (1e-9, 1e-10, "1e-09"),
        (5e9, 3e8, "5e+09"),
        (0.5, 0.0, "0.5"),
        (0.5, np.inf, "0.5"),
    ],
)
def test_numbers_have_the_digits_their_interval_warrants(value, scale, text):
    assert number(value, scale) == text

import json
import re
from dataclasses import replace

import numpy as np
import pytest

from crossnorm.metric import Metric
from crossnorm.stats import ArmInfo, estimate
from crossnorm.stats.verdicts.number_text import brief, dose_words, number
from crossnorm.stats.verdicts.verdict_text import metric_words
from tests.stats.stats_tables import convex_table, dosed, table_of

SCOPE = "and this training and test set"
WOBBLE = np.array([-0.01, 0.0, 0.01, 0.004, -0.004])


def sentence(table, metric="test_loss", direction="lower", **options):
    return estimate(table, study="s", metric=Metric(metric, direction=direction), **options).answer.sentence


def dose_table(slope, doses=(0.5, 1.0), wobble=1.0, **further):
    arms = (ArmInfo(name="baseline"), *(dosed("matched", dose) for dose in doses))
    rows = [np.zeros(5), *(slope * dose + wobble * WOBBLE for dose in doses)]
    return table_of(np.stack(rows) + 1, arms=arms, **further)


def test_an_effect_names_size_direction_interval_pairs_metric_and_scope():
    text = sentence(convex_table(effect=0.5, control_effect=0.1, n=7), scope="a model on a task")
    assert text == (
        "convex against its control attenuated, trend from α = 0 to 1: test loss 0.395 higher (worse); "
        "95 % interval +0.363 to +0.427 from 7 same-seed pairs. "
        f"Scope: a model on a task, these 7 seeds {SCOPE}."
    )


def test_minus_signs_are_minus_signs():
    text = sentence(convex_table(effect=0.1, control_effect=0.5, n=7))
    assert "0.405 lower (better); 95 % interval −0.437 to −0.373 from" in text
    assert not re.search(r"-\d", text)


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
    start = "matched against the baseline, trend from "
    assert sentence(dose_table(0.5)).startswith(f"{start}α = 0 to 1: ")
    assert sentence(dose_table(0.5, (1, 4))).startswith(f"{start}α = 0 to 4, per unit of α: ")
    assert sentence(dose_table(0.5, (-2, 1))).startswith(f"{start}α = −2 to 1, per unit of α: ")
    assert sentence(dose_table(0.5, (-2,))).startswith(f"{start}α = 0 to −2, per unit of −α: ")
    assert sentence(dose_table(0.5, (-0.5, -1))).startswith(f"{start}α = 0 to −1, per unit of −α: ")
    other = replace(dose_table(0.5, (1, 4)), dose_name="dose")
    assert sentence(other).startswith(f"{start}dose 0 to 4, per unit of dose: ")


def test_undecided():
    text = sentence(dose_table(0.001))
    start = "matched against the baseline, trend from α = 0 to 1: undecided, because the interval contains 0"
    assert text.startswith(f"{start}; test loss estimated 0.0010 higher, 95 % interval −0.0")
    assert text.endswith(f" from 5 same-seed pairs. Scope: these 5 seeds {SCOPE}.")
    assert f"{start} and reaches beyond the margin of 0.001; " in sentence(dose_table(0.001), margin=0.001)
    beyond = f"{start} and reaches beyond the margin of 0.001 at α = 4; ".replace("to 1", "to 4, per unit of α")
    assert beyond in sentence(dose_table(0.001, (2, 4)), margin=0.001)


def test_a_slope_of_zero_is_no_identity():
    """With doses 0, ½, 1 the slope is the last difference: 0 here, although the arm in the middle is off."""
    arms = (ArmInfo(name="baseline"), dosed("matched", 0.5), dosed("matched", 1))
    text = sentence(table_of(np.stack([np.zeros(5), np.ones(5) + WOBBLE, np.zeros(5)]), arms=arms))
    assert ": undecided, because " in text
    assert "test loss estimated no different, 95 % interval " in text


def test_same_holds_for_the_largest_dose():
    found = sentence(dose_table(0.001), margin=0.1)
    assert "test loss the same to within the margin of 0.1; estimated 0.0010 higher, 95 % interval " in found
    assert "0.0400 higher (worse); " in sentence(dose_table(0.04, (2, 4)), margin=0.1)
    assert "the margin of 0.1 at α = 4; " in sentence(dose_table(0.001, (2, 4)), margin=0.1)


@pytest.mark.parametrize(
    ("slope", "margin", "word"),
    [(0.5, None, "worse"), (-0.5, None, "better"), (0.001, 0.1, "same"), (0.001, None, "undecided")],
)
def test_the_word_is_in_the_answer(slope, margin, word):
    found = estimate(dose_table(slope), study="s", metric=Metric("test_loss", direction="lower"), margin=margin)
    assert found.answer.verdict == word
    assert json.loads(found.to_json())["answer"]["verdict"] == word


@pytest.mark.parametrize("doses", [(-1,), (-0.5, -2)])
def test_the_answer_and_the_arms_of_negative_doses_have_the_same_word(doses):
    found = estimate(dose_table(-0.5, doses), study="s", metric=Metric("test_loss", direction="lower"))
    assert found.answer.verdict == "worse"
    assert {row.verdict for row in found.arms[1:]} == {"worse"}
    assert found.answer.estimate == found.trend.slope == pytest.approx(0.5, abs=0.05)
    assert (found.answer.unit, found.trend.unit) == ("−α", "−α")


def test_the_margin_applies_at_the_largest_dose():
    """A slope of 0.04 per unit is 0.16 at dose 4: not within 0.1, although each unit is."""
    found = estimate(dose_table(0.04, (2, 4)), study="s", metric=Metric("test_loss", direction="lower"), margin=0.1)
    assert (found.answer.high < 0.1, found.answer.verdict) == (True, "worse")


@pytest.mark.parametrize(
    ("n", "words"),
    [
        (0, "there is no complete pair for test loss"),
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
    assert "3 pairs are too few for a sequential interval, which is finite from 5 pairs; " in few


def test_free_arms_are_named_as_they_are():
    text = sentence(table_of([np.zeros(5), WOBBLE - 0.2]))
    assert text.startswith("arm1 against the baseline: test loss 0.2000 lower (better); 95 % interval −0.2")


def test_loss_and_accuracy_that_disagree():
    rise = np.stack([np.zeros(5), 0.5 + WOBBLE, 1 + WOBBLE])[..., None]
    both = dose_table(0.5, test_accuracy=0.5 + rise)
    assert " Loss and accuracy disagree in direction: test accuracy is 1.00 higher (better). " in sentence(both)
    on_accuracy = sentence(both, metric="test_accuracy", direction="higher")
    assert " Loss and accuracy disagree in direction: test loss is 0.500 higher (worse). " in on_accuracy
    assert "disagree" not in sentence(dose_table(0.5, test_accuracy=0.5 - rise))


def test_runs_without_a_value_take_the_claim_away():
    values = np.stack([np.zeros(5), -0.25 + WOBBLE, -0.5 + WOBBLE]) + 1
    values[2, 3:] = np.nan
    table = table_of(values, arms=(ArmInfo(name="baseline"), dosed("matched", 0.5), dosed("matched", 1)))
    text = sentence(table)
    reason = "2 complete runs of matched never reached a value, against 0 of baseline"
    assert f": undecided, because {reason}, and the remaining pairs are not representative; test loss est" in text
    values[0, 3:] = np.nan
    table = table_of(values, arms=(ArmInfo(name="baseline"), dosed("matched", 0.5), dosed("matched", 1)))
    assert ": test loss 0.50" in sentence(table)


def test_a_level_trend_names_the_doses_that_differ():
    arms = (ArmInfo(name="baseline"), dosed("matched", 0.5), dosed("matched", 1))
    rows = np.stack([np.zeros(5), 1 + WOBBLE, WOBBLE])
    text = sentence(table_of(rows, arms=arms), margin=0.1)
    assert "test loss the same to within the margin of 0.1; " in text
    assert " pairs; but individually matched-0.5 is worse, which a linear trend over α cannot show. Scope: " in text
    assert "individually" not in sentence(dose_table(0.001), margin=0.1)
    assert "individually" not in sentence(dose_table(0.5), margin=0.1)


def test_diverged_runs_take_the_claim_away():
    status = np.full((3, 5), "complete", dtype="U9")
    status[2, 1] = "diverged"
    text = sentence(dose_table(-0.5, status=status))
    reason = "1 run of matched diverged against 0 of baseline, and the remaining runs are not representative"
    assert f": undecided, because {reason}; " in text
    assert " pairs. Of all 15 runs 1 diverged. Scope: " in text
    status[1:] = "diverged"
    assert "10 runs of matched diverged against 0 of baseline" in sentence(dose_table(-0.5, status=status))


def test_a_significant_excess_of_diverged_runs_is_worse():
    status = np.full((2, 6), "complete", dtype="U9")
    status[1] = "diverged"
    found = estimate(
        table_of([np.arange(6)] * 2, status=status), study="s", metric=Metric("test_loss", direction="lower")
    ).answer
    assert found.verdict == "worse"
    assert found.sentence.startswith("arm1 against the baseline: worse, because 6 runs of arm1 diverged against 0 ")
    assert found.sentence.endswith(f"Scope: these seeds {SCOPE}.")


def test_a_baseline_of_another_name_is_named():
    arms = (ArmInfo(name="plain"), ArmInfo(name="mine"))
    assert sentence(table_of([np.zeros(5), WOBBLE - 0.2], arms=arms)).startswith("mine against the baseline plain: ")


def test_a_remark_stands_before_the_scope():
    text = sentence(dose_table(0.5), remark="Chosen after the runs")
    assert " pairs. Chosen after the runs. Scope: " in text
    several = table_of(np.random.default_rng(0).normal(size=(3, 5)))
    assert ". Chosen after the runs. Scope: here, these 5 seeds " in sentence(
        several, remark="Chosen after the runs", scope="here"
    )


@pytest.mark.parametrize(
    ("metric", "words"),
    [
        (Metric("test_loss"), "test loss"),
        (Metric("val_auc"), "val auc"),
        (Metric("test_loss", "auc"), "mean test loss over training"),
        (Metric("acc", "steps_to", 0.5), "steps to target (acc 0.5)"),
    ],
)
def test_a_metric_in_words(metric, words):
    assert metric_words(metric) == words


@pytest.mark.parametrize(
    ("value", "scale", "text"),
    [
        (0, None, "0"),
        (0.031234, 0.019, "0.031"),
        (0.031234, None, "0.0312"),
        (12.3456, 1.2, "12.3"),
        (1234.5, 300, "1230"),
        (-0.0001, 0.5, "0.00"),
        (-1e-9, 1e-10, "−1.00e−09"),
        (5e9, 3e8, "5.00e+09"),
        (0.5, 0.0, "0.500"),
        (-0.5, np.inf, "−0.500"),
    ],
)
def test_numbers_have_the_digits_their_interval_warrants(value, scale, text):
    assert number(value, scale=scale) == text


def test_signed_numbers():
    assert [number(value, sign=True, scale=0.1) for value in (-0.5, 0.5, 0.001, 0)] == ["−0.50", "+0.50", "0.00", "0"]
    assert (brief(-1e-7), brief(0.02), brief(1 / 3, 3)) == ("−1e−07", "0.02", "0.333")
    assert (dose_words("α", -0.5), dose_words("dose", -0.5)) == ("α = −0.5", "dose −0.5")

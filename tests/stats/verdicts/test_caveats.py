"""Notes beside an answer: each condition alone, and silence where nothing is wrong."""

from __future__ import annotations

import math

import numpy as np
import pytest

from crossnorm.metric import Metric
from crossnorm.stats import ArmInfo, Table, caveats, estimate, table_from_records, with_endpoint
from tests.stats.stats_tables import convex_table, dosed, table_of

WOBBLE = np.array([-0.01, 0.0, 0.01, 0.004, -0.004])


def notes(table: Table, metric: str = "test_loss", direction: str = "lower", *, classes: int | None = None, **options):
    table, endpoint = with_endpoint(table, metric, direction)
    return caveats(table, estimate(table, study="s", metric=endpoint, **options), classes=classes)


def curves(*arms: np.ndarray, **options) -> Table:
    """A table of arms from their final values, with an evaluation before, at which all are 9."""
    return table_of(np.stack([np.stack([np.full(5, 9.0), arm], axis=-1) for arm in arms]), steps=(1, 7), **options)


def test_nothing_to_note():
    assert notes(curves(1 + WOBBLE, 2 * WOBBLE), classes=10) == ()


def test_one_evaluation():
    (note,) = notes(convex_table())
    assert note == "Every run has a single evaluation of test loss: there is no learning curve."


@pytest.mark.parametrize(
    ("loss", "note"),
    [
        (math.log(10), 'what guessing among 10 classes gives (2.30). "better" compares with guessing.'),
        (1.02 * math.log(10), '(2.30). "better" compares'),
        (1.05 * math.log(10), None),
        (0.9 * math.log(10), None),
    ],
)
def test_a_baseline_at_chance(loss, note):
    table = curves(loss + WOBBLE, loss - 0.5 + 2 * WOBBLE)
    found = notes(table, classes=10)
    assert found == () if note is None else note in found[0]
    assert notes(table) == ()


def test_an_accuracy_at_chance():
    values = np.stack([0.25 + WOBBLE / 10, 0.6 + WOBBLE])
    table = table_of(np.stack([values, values], axis=-1), metric="test_accuracy", steps=(1, 7))
    (note,) = notes(table, "test_accuracy", "higher", classes=4)
    assert note.startswith("The baseline is at chance: its test accuracy of 0.250 at the end is what guessing among 4 ")
    assert notes(table, "test_accuracy", "higher", classes=3) == ()


def test_arms_that_are_identical_to_their_reference():
    arms = (ArmInfo(name="baseline"), dosed("convex", 0.5), dosed("convex", 1, control="sham"), ArmInfo(name="sham"))
    base = 1 + WOBBLE
    (note,) = notes(curves(base, base, 1.5 * base, base, arms=arms))
    assert note == (
        "convex-0.5, sham have exactly the values of baseline in every pair, so they are the same by definition. "
        "Did the arms ignore their variant or settings?"
    )
    (note,) = notes(curves(base, base - 1, 1.5 * base, 1.5 * base, arms=arms))
    assert note.startswith("convex-1 has exactly the values of sham in every pair, so it is the same by definition. ")


def test_equal_ends_of_different_curves_are_not_identical():
    table = table_of(np.stack([np.stack([np.full(5, k + 1.0), WOBBLE], axis=-1) for k in range(2)]), steps=(1, 7))
    assert notes(table) == ()


def test_arms_that_end_at_different_steps():
    lengths = {"plain": (100, 200), "mine": (100, 150), "other": (100, 200)}
    rows = [
        {"arm": arm, "seed": seed, "step": step, "loss": 1000 / step + 0.1 * seed * (seed + ord(arm[0]))}
        for arm, steps in lengths.items()
        for seed in range(3)
        for step in steps
    ]
    (note,) = notes(table_from_records(rows), "loss")
    assert note == (
        "Runs end at different steps: plain, other at 200; mine at 150. "
        "Differences then include the length of training."
    )
    assert notes(table_from_records([row for row in rows if row["arm"] != "mine"]), "loss") == ()


def test_steps_to_a_target_that_differ_by_an_evaluation():
    losses = np.array([[[9.0, 3, 1, 1]] * 5, [[9.0, 3, 1.2, 1]] * 5]) - WOBBLE[:, None]
    table = table_of(losses, steps=(1, 2, 3, 4))
    (note,) = notes(table, "test_loss_steps_to_1.1")
    assert note.startswith("All runs reach the target (test loss 1.1) within one evaluation of each other; ")
    losses[1, :, 1] = 0.5
    losses[0, :, 2] = 2.0
    assert notes(table_of(losses, steps=(1, 2, 3, 4)), "test_loss_steps_to_1.1") == ()


def test_intervals_that_are_still_infinite():
    table = curves(1 + WOBBLE, 1 + 2 * WOBBLE, WOBBLE)
    found = table_of(table.metrics["test_loss"][:2, :4], steps=(1, 7))
    (note,) = notes(found, interval="sequential")
    assert "and 4 pairs are too few for some: the interval of the answer is finite from 5 pairs" in note
    assert "those of the table from 5 pairs." in note
    (note,) = notes(table, interval="sequential")  # two arms: no single answer, and two comparisons
    assert note.endswith("5 pairs are too few for some: those of the table from 6 pairs.")
    assert notes(table) == ()


def test_an_extension_says_from_how_many_pairs_its_answer_is_finite():
    table = curves(1 + WOBBLE, 2 * WOBBLE)
    few = table_of(table.metrics["test_loss"][:, :4], steps=(1, 7))
    metric = Metric("test_loss", direction="lower")
    found = estimate(few, study="s", metric=metric, interval="sequential").answer
    assert (found.low, found.verdict) == (None, "undecided")
    assert "4 pairs are too few for a sequential interval, which is finite from 5 pairs; " in found.sentence
    assert estimate(table, study="s", metric=metric, interval="sequential").answer.low is not None

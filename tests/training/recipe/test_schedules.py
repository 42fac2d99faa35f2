"""Learning rate and dose over training, against formulas written out step by step."""

from __future__ import annotations

import math

import pytest

from crossnorm.errors import BadInput
from crossnorm.training.recipe.recipes import RECIPES, make_recipe
from crossnorm.training.recipe.schedules import AlphaSchedule, learning_rate


def test_warmup_is_a_line_and_the_rest_half_a_cosine():
    recipe = make_recipe("quick", lr=0.7, min_lr=0.1, warmup_lr=0.05, warmup_epochs=2.0, epochs=7)
    rates = [learning_rate(step, 77, 11, recipe) for step in range(77)]
    line = [0.05 + 0.65 * k / 23 for k in range(1, 23)]
    wave = [0.1 + 0.6 * (1 + math.cos(math.pi * k / 54)) / 2 for k in range(55)]
    assert rates == pytest.approx(line + wave, abs=1e-12)


def test_after_the_warmup_the_rate_may_fall_along_a_line():
    recipe = make_recipe("quick", lr=0.7, min_lr=0.1, warmup_epochs=0.5, lr_schedule="linear", epochs=7)
    rates = [learning_rate(step, 91, 13, recipe) for step in range(91)]
    rise = [0.7 * k / 7 for k in range(1, 7)]
    fall = [0.7 - 0.6 * k / 84 for k in range(85)]
    assert rates == pytest.approx(rise + fall, abs=1e-12)


def test_without_warmup_it_starts_at_the_peak_and_ends_at_the_floor():
    recipe = make_recipe("quick", lr=0.7, min_lr=0.1, warmup_epochs=0.0)
    assert learning_rate(0, 13, 13, recipe) == pytest.approx(0.7)
    assert learning_rate(12, 13, 13, recipe) == pytest.approx(0.1)


def test_a_single_step_is_made_at_the_peak():
    assert learning_rate(0, 1, 1, make_recipe("quick", warmup_epochs=5.0, lr=0.3)) == pytest.approx(0.3)


@pytest.mark.parametrize(
    ("kind", "fraction", "dose"),
    [
        ("constant", 0.0, 3.0),
        ("linear", 0.1, 1.0),
        ("linear", 0.45, 2.0),
        ("linear", 0.9, 3.0),
        ("cosine", 0.325, 1 + 2 * (1 - math.cos(math.pi / 4)) / 2),
        ("steps", 0.44, 1.0 + 2 * 2 / 5),
        ("steps", 0.46, 1.0 + 2 * 2 / 5),
        ("steps", 0.7, 3.0),
    ],
)
def test_dose_over_training(kind, fraction, dose):
    schedule = AlphaSchedule(kind=kind, initial=1.0, final=3.0, start=0.2, end=0.7, steps=5)
    assert schedule.at(fraction) == pytest.approx(dose)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"kind": "quadratic"}, "AlphaSchedule.kind: expected one of"),
        ({"final": math.inf}, "finite initial and final"),
        ({"start": 0.5, "end": 0.5}, "0 ≤ start < end ≤ 1"),
        ({"steps": 0}, "AlphaSchedule.steps: expected an integer of at least 1"),
        ({"steps": 2.5}, "AlphaSchedule.steps: expected an integer of at least 1, got 2.5"),
        ({"steps": "3"}, "AlphaSchedule.steps: expected an integer of at least 1"),
    ],
)
def test_bad_schedules_are_named(settings, words):
    with pytest.raises(BadInput, match=words):
        AlphaSchedule(**settings)


def test_paper_recipe_is_the_published_one():
    paper = RECIPES["paper"]
    published = {"lr": 5e-4, "weight_decay": 3e-2, "batch_size": 128, "warmup_epochs": 5, "label_smoothing": 0.1}
    assert {key: getattr(paper, key) for key in published} == published
    assert (paper.augmentation, paper.epochs) == ("autoaugment", 200)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"lr": -1.0}, "recipe.lr: expected .*greater than 0"),
        ({"epochs": 0}, "recipe.epochs"),
        ({"epochs": 1.5}, "recipe.epochs"),
        ({"label_smoothing": 1.0}, "recipe.label_smoothing"),
        ({"lr_schedule": "step"}, "recipe.lr_schedule: expected one of cosine, linear, got"),
        ({"optimizer": "sgd"}, "recipe.optimizer: expected one of adamw, muon, muon-filters, got 'sgd'"),
        ({"optimizer": "mouon"}, "Did you mean 'muon'"),
        ({"batchsize": 3}, "Did you mean 'batch_size'"),
    ],
)
def test_bad_recipes_are_named(changes, words):
    with pytest.raises(BadInput, match=words):
        make_recipe("quick", **changes)


def test_unknown_recipe_is_named():
    with pytest.raises(BadInput, match="Did you mean 'paper'"):
        make_recipe("papr")


@pytest.mark.parametrize(("steps", "start", "end"), [(100, 0.0, 1.0), (4, 0.2, 0.6), (7, 0.3, 0.9)])
def test_rises_are_in_time(steps, start, end):
    """At k/steps of the way, computed as training computes it, the k-th rise has been made."""
    schedule = AlphaSchedule(kind="steps", final=1.0, start=start, end=end, steps=steps)
    for k in range(steps + 1):
        assert schedule.at(start + (end - start) * k / steps) == pytest.approx(k / steps), k

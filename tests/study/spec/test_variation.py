"""The names of studies that differ from a stored one: short, readable, and the same for the same changes."""

from __future__ import annotations

import pytest

from crossnorm.study.spec.schema import parse_spec
from crossnorm.study.spec.variation import variation

QUICK = {"task": "mnist1d", "recipe": {"name": "quick"}, "epochs": 10, "margin": 0.02, "name": "quick"}
FUNCTION = {"function": "m:train", "metric": "loss", "direction": "lower", "settings": {"lr": 0.1, "depth": 3}}


def between(before, **changes):
    return variation(parse_spec(before, "x"), parse_spec(before | changes, "x"))


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({}, ""),
        ({"seeds": 9, "alphas": [0, 3], "variants": ["matched"], "name": "other", "data": "elsewhere"}, ""),
        ({"recipe": {"name": "quick", "epochs": 10}, "epochs": None}, ""),
        ({"epochs": 3}, "epochs-3"),
        ({"recipe": {"name": "quick", "epochs": 3}, "epochs": None}, "epochs-3"),
        ({"recipe": {"name": "quick", "lr": 0.5}}, "lr-0.5"),
        ({"recipe": {"name": "paper"}}, "recipe-paper"),
        ({"recipe": {"name": "paper"}, "epochs": None}, "recipe-paper-epochs-200"),
        ({"model": {"num_layers": 4}}, "num-layers-4"),
        ({"model": {"from": "some/where/base"}}, "from-base"),
        ({"margin": "1 %"}, "margin-1pct"),
        ({"margin": None}, "margin-None"),
        ({"metric": "test_accuracy"}, "metric-test_accuracy"),
        ({"epochs": 3, "margin": 0.5, "train_examples": 7}, "epochs-3-margin-0.5-train-examples-7"),
    ],
)
def test_the_name_says_what_differs(changes, name):
    assert between(QUICK, **changes) == name


def test_settings_of_a_function_are_named():
    assert between(FUNCTION, settings={"lr": 0.1, "depth": 5}) == "depth-5"
    assert between(FUNCTION, metric="acc", direction="higher") == "metric-acc"


@pytest.mark.parametrize("value", ["a/b", "ü", "two words", "x" * 99])
def test_what_is_no_short_file_name_becomes_a_digest(value):
    found = between(FUNCTION, settings={"lr": value, "depth": 3})
    assert len(found) == 8
    assert found == between(FUNCTION, settings={"lr": value, "depth": 3})
    assert found != between(FUNCTION, settings={"lr": value + "y", "depth": 3})

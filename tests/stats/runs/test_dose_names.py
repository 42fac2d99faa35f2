"""Trends of arms that have a dose and no variant: how they are called, and where there is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from crossnorm.api import compare
from crossnorm.stats import ArmInfo, name_trends
from crossnorm.study.spec.plan import make_plan
from crossnorm.study.spec.schema import parse_spec
from crossnorm.study.storage.results_table import arm_infos

NOISE = (0.01, -0.02, 0.013, 0.002, -0.004)


def named(*arms: tuple[str, float] | tuple[str, float, str]) -> dict[str, str | None]:
    infos = [ArmInfo(name=arm[0], alpha=arm[1], control=arm[2] if len(arm) > 2 else None) for arm in arms]
    found = name_trends([ArmInfo(name="baseline", alpha=0.0), *infos], {arm.name for arm in infos})
    assert [arm.alpha for arm in found[1:]] == [arm.alpha for arm in infos]
    return {arm.name: arm.variant for arm in found[1:]}


def test_arms_of_different_doses_share_a_trend():
    assert named(("b", 2), ("a", 1)) == {"b": "a, b", "a": "a, b"}
    assert named(("w-1", 1), ("w-2", 2), ("x", 1)) == {"w-1": "w", "w-2": "w", "x": "x"}


def test_arms_that_share_a_dose_have_no_trend():
    assert named(("mine", 1), ("theirs", 1)) == {"mine": None, "theirs": None}
    assert named(("a", 0.5), ("b", 1), ("c", 1)) == {"a": None, "b": None, "c": None}
    assert named(("w-1", 1), ("w_1", 1), ("x", 1)) == {"w-1": None, "w_1": None, "x": "x"}


def test_neither_have_their_controls():
    found = named(("mine", 1, "c"), ("theirs", 1, "c"), ("c", 1), ("w-2", 2, "v-2"), ("v-2", 2))
    assert found == {"mine": None, "theirs": None, "c": None, "w-2": "w", "v-2": "v"}


@pytest.mark.parametrize("names", [("mine", "theirs"), ("theirs", "mine")])
def test_two_arms_of_one_dose_are_two_questions(tmp_path: Path, names: tuple[str, str]) -> None:
    shift = {"baseline": 0.0, "mine": -0.2, "theirs": 0.9}
    rows = [
        {"arm": arm, "seed": seed, "step": 1, "dose": float(k > 0), "loss": 1 + shift[arm] + noise * (1 + k)}
        for k, arm in enumerate(("baseline", *names))
        for seed, noise in enumerate(NOISE)
    ]
    result = compare(rows, metric="loss", direction="lower")
    found = result.verdict
    assert (found.answer.verdict, found.trend.variant) == (None, None)
    assert {row.arm: row.verdict for row in found.arms[1:]} == {"mine": "better", "theirs": "worse"}
    assert found.answer.sentence.startswith(
        "No single comparison was declared and arms that share a dose differ in something else, so there is no trend. "
        "Of 2 arms against the baseline in loss: 1 better, 1 worse."
    )
    result.save(tmp_path)


def test_two_arms_of_one_dose_in_a_study():
    fields = {"function": "m:train", "metric": "loss", "direction": "lower", "seeds": 3}
    arms = [{"name": "mine", "dose": 1, "gain": -0.2}, {"name": "theirs", "dose": 1, "gain": 0.9}]
    plan = make_plan(parse_spec(fields | {"arms": arms}, "s"))
    assert [arm.variant for arm in arm_infos(plan)] == [None, None, None]

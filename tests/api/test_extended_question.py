"""An extension after results were seen does not change the declared question, or the answer says that it did."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from crossnorm.api import load
from crossnorm.study.spec.plan import Run
from tests.api.stored_studies import OF_A_FUNCTION, begun, logged

EFFECTS = {"convex": 0.2, "matched": -0.2, "mine": 0.2, "theirs": -0.2}
REMARK = "This question was chosen after results had been seen; the study began with "
GRID = {**OF_A_FUNCTION, "alphas": [0, 1], "control": False}


def _values(run: Run, step: int) -> dict[str, float]:
    effect = next((size for name, size in EFFECTS.items() if run.arm.startswith(name)), 0.0)
    return {"loss": 1 + effect + 0.001 * ((7 * run.seed + 3 * len(run.arm)) % 11)}


def _answered(folder: Path, **fields: Any) -> Any:
    """The answer of the study after all its runs, which is then stored."""
    logged(folder, begun(folder, **{**GRID, **fields}), _values)
    result = load(folder)
    result.save(folder)
    return result.verdict


ARM = {"name": "mine", "note": 1}
OTHER = {"name": "theirs", "note": 2}


@pytest.mark.parametrize("variants", [["matched", "convex"], ["convex", "matched"]])
def test_another_variant_put_first(tmp_path: Path, variants: list[str]) -> None:
    declared = _answered(tmp_path, variants=["convex"])
    assert (declared.answer.contrast, declared.answer.verdict) == ("convex - baseline", "worse")
    found = _answered(tmp_path, variants=variants)
    assert (found.answer.contrast, found.interval) == ("convex - baseline", "sequential")
    assert [row.arm for row in found.arms] == ["baseline", "convex-1", "matched-1"]
    assert REMARK not in found.answer.sentence
    again = _answered(tmp_path, variants=["matched", "convex"])
    assert again == found


def test_another_arm_put_first(tmp_path: Path) -> None:
    dosed = [arm | {"dose": dose} for arm, dose in ((ARM, 1), (OTHER, 1))]
    _answered(tmp_path, arms=dosed[:1])
    found = _answered(tmp_path, arms=[dosed[1], {"name": "w-1", "dose": 1}, dosed[0]])
    assert [row.arm for row in found.arms] == ["baseline", "mine", "theirs", "w-1"]


@pytest.mark.parametrize(
    ("before", "after", "began"),
    [
        ({"arms": [ARM]}, {"variants": ["matched"], "arms": [ARM]}, "mine - baseline"),
        ({"arms": [ARM, OTHER]}, {"variants": ["matched"], "arms": [ARM, OTHER]}, "no single one"),
        ({"arms": [{**ARM, "dose": 1}]}, {"arms": [{**ARM, "dose": 1}, {**OTHER, "dose": 2}]}, "mine - baseline"),
    ],
)
def test_another_question_is_named(tmp_path: Path, before: Any, after: Any, began: str) -> None:
    assert REMARK not in _answered(tmp_path, **before).answer.sentence
    assert f"{REMARK}{began}." in _answered(tmp_path, **after).answer.sentence


def test_before_results_were_seen_any_question_may_be_declared(tmp_path: Path) -> None:
    begun(tmp_path, **{**GRID, "arms": [ARM]})
    found = _answered(tmp_path, variants=["matched"], arms=[ARM])
    assert (found.answer.contrast, found.interval) == ("matched - baseline", "bonferroni-t")
    assert REMARK not in found.answer.sentence


def test_an_arm_without_a_dose_keeps_the_question_of_a_variant(tmp_path: Path) -> None:
    _answered(tmp_path, variants=["convex"])
    found = _answered(tmp_path, variants=["convex"], arms=[ARM], seeds=6)
    assert found.answer.contrast == "convex - baseline"
    assert REMARK not in found.answer.sentence

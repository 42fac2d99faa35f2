"""Exports of Weights & Biases as tables of runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import crossnorm
from crossnorm.errors import BadInput
from crossnorm.stats.runs.tracker_exports import rows_of_export

PANEL = Path(__file__).with_name("wandb_panel.csv")


def test_the_export_of_a_panel_is_a_table_of_runs():
    result = crossnorm.compare(PANEL, metric="eval/loss", direction="lower")
    assert [arm.arm for arm in result.verdict.arms] == ["baseline", "convex-1"]
    assert result.table.seeds == (0, 1, 2)
    assert result.table.steps == (0, 50, 100)
    assert list(result.table.metrics) == ["eval/loss"]
    assert result.verdict.arms[1].difference == pytest.approx((-0.25 + 0 - 0.25) / 3)


@pytest.mark.parametrize(
    ("name", "arm", "seed"),
    [
        ("convex-0.5, seed 3", "convex-0.5", 3),
        ("convex-0.5/3", "convex-0.5", 3),
        ("convex_seed3", "convex", 3),
        ("big model-Seed=12", "big model", 12),
        ("wide 7", "wide", 7),
        ("a - b, seed 1", "a - b", 1),
    ],
)
def test_arm_and_seed_stand_in_the_name_of_the_run(name, arm, seed):
    assert rows_of_export([{"Step": "5", f"{name} - loss": "0.5"}]) == [
        {"arm": arm, "seed": seed, "step": "5", "loss": "0.5"}
    ]
    assert rows_of_export([{"_step": 5, "run": name, "loss": 0.5}]) == [
        {"arm": arm, "seed": seed, "step": 5, "loss": 0.5}
    ]


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([{"Step": 1, "charmed-sun-7x - loss": 2}], "run: expected a name with arm and seed, .*, got charmed-sun-7x"),
        ([{"Step": 1, "convex-0.5 - loss": 2}], "got convex-0.5. Export ungrouped runs"),
        ([{"Step": 1, "Group: convex, seed 1 - loss": 2}], "Export ungrouped runs"),
        ([{"epoch": 1, "convex-1, seed 0 - loss": 2}], "expected Step, .*, got epoch. Set the panel's x-axis to Step"),
        ([{"_step": 1, "loss": 2}], "columns: expected arm and seed, or run with the run's name, got _step, loss"),
    ],
)
def test_exports_that_say_too_little_are_refused(rows, words):
    with pytest.raises(BadInput, match=words):
        rows_of_export(rows)


def history(arm, seed, loss):
    """A run's history as the client of Weights & Biases gives it, with arm and seed from the run's configuration."""
    common = {
        "arm": arm,
        "seed": seed,
        "_timestamp": 1.5e9,
        "_runtime": 2.5,
    }
    last = {**common, "_step": 9, "loss": loss, "hist": {"bins": [1, 2]}, "note": "text", "tags": ["a"]}
    return [{**common, "_step": 4, "loss": 9.0, "train_loss": None}, last]


def test_histories_are_a_table_of_runs(tmp_path):
    rows = [
        row
        for arm, gain in (("baseline", 0.0), ("mine", 0.5))
        for seed in range(3)
        for row in history(arm, seed, seed + gain)
    ]
    rows[-1]["loss"] = "NaN"  # as the client writes it: diverged
    file = tmp_path / "runs.jsonl"
    file.write_text("\n".join(map(json.dumps, rows)))
    result = crossnorm.compare(file, metric="loss", direction="lower")
    assert list(result.table.metrics) == ["loss"]
    assert result.table.steps == (4, 9)
    assert result.verdict.arms[1].difference == pytest.approx(0.5)
    assert result.verdict.arms[1].diverged == 1


def test_a_data_frame_of_histories_is_a_table_of_runs():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame([row for seed in range(2) for row in history("a", seed, 2.0) + history("b", seed, 3.0)])
    result = crossnorm.compare(frame, metric="loss", direction="lower", baseline="a")
    assert result.verdict.arms[1].difference == pytest.approx(1.0)


def test_what_a_history_says_about_its_arm_is_kept():
    row = {"arm": "a", "seed": 1, "_step": 2, "loss": 0.5, "control": "b", "dose": 1}
    assert rows_of_export([row]) == [{"arm": "a", "seed": 1, "step": 2, "loss": 0.5, "control": "b", "dose": 1}]


def test_other_tables_are_left_alone():
    rows = [{"arm": "a", "seed": 0, "step": 1, "a - b": 2.0, "_step": 7}]
    assert rows_of_export(rows) == rows
    assert rows_of_export([{"arm": "a", "loss": 2}]) == [{"arm": "a", "loss": 2}]

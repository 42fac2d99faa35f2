"""Tables of runs in files: read by path, joined, and never mistaken for a study."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import pytest
from typer.testing import CliRunner

import crossnorm
from crossnorm.cli import app
from crossnorm.errors import BadInput
from tests.api.stored_studies import begun

LOSSES = {"plain": (2.0, 3.0, 5.0), "mine": (1.5, 2.75, 4.5), "shrunk": (2.5, 3.5, 5.25)}


def rows(*arms: str) -> list[dict[str, object]]:
    return [
        {"arm": arm, "seed": seed, "step": step, "loss": loss * (3 - step)}
        for arm in arms
        for seed, loss in enumerate(LOSSES[arm])
        for step in (1, 2)
    ]


def written(path: Path, *arms: str) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ["arm", "seed", "step", "loss"])
        writer.writeheader()
        writer.writerows(rows(*arms))
    return path


def compared(table: object) -> crossnorm.Result:
    return crossnorm.compare(table, metric="loss", direction="lower")  # type: ignore[arg-type]


def reported(*arguments: object):
    return CliRunner().invoke(app, ["report", *map(str, arguments), "--metric", "loss", "--direction", "lower"])


def test_a_path_is_a_file_to_read(tmp_path: Path) -> None:
    file = written(tmp_path / "runs.csv", *LOSSES)
    lines = tmp_path / "runs.jsonl"
    lines.write_text("\n".join(json.dumps(row) for row in rows(*LOSSES)), encoding="utf-8")
    for given in (file, str(file), str(lines)):
        found = compared(given)
        assert [arm.name for arm in found.table.arms] == list(LOSSES)
        assert found.verdict.study == "runs"
        assert found.verdict.arms[1].difference == pytest.approx(-1.25 / 3)
    assert compared(rows(*LOSSES)).verdict.study == "comparison"
    with pytest.raises(BadInput, match=r"absent\.csv: no such file"):
        compared(str(tmp_path / "absent.csv"))


def test_rows_of_several_files_are_joined(tmp_path: Path) -> None:
    files = [written(tmp_path / f"{arm}.csv", arm) for arm in LOSSES]
    whole = compared(written(tmp_path / "all.csv", *LOSSES)).verdict
    joined = compared(files).verdict
    assert joined.arms == whole.arms
    options = [part for file in files for part in ("--from", file)]
    done = reported(*options, "--out", tmp_path / "answer")
    assert done.exit_code == 0, done.output
    stored = json.loads((tmp_path / "answer" / "verdict.json").read_text(encoding="utf-8"))
    assert [row["arm"] for row in stored["arms"]] == list(LOSSES)


def test_files_that_contradict_each_other_are_refused_by_name(tmp_path: Path) -> None:
    first, second = written(tmp_path / "a.csv", "plain", "mine"), tmp_path / "b.csv"
    second.write_text("arm,seed,step,loss\nmine,1,1,7\n", encoding="utf-8")
    done = reported("--from", first, "--from", second, "--out", tmp_path / "answer")
    assert (done.exit_code, done.stdout) == (2, "")
    assert "b.csv: row 1: loss: expected one value for arm mine, seed 1, step 1, got 5.5 and 7.0" in done.stderr
    assert not (tmp_path / "answer").exists()


@pytest.mark.parametrize("table", [["runs.csv", {"arm": "a"}], [3, 4]])
def test_what_is_neither_rows_nor_files_is_refused(table: list[object]) -> None:
    with pytest.raises(BadInput, match="table: expected rows"):
        compared(table)


@pytest.mark.parametrize("more", [["--metric", "loss", "--direction", "lower", "--out", "x"], []])
def test_the_folder_of_a_study_is_no_table(tmp_path: Path, more: list[str]) -> None:
    begun(tmp_path / "stored")
    done = CliRunner().invoke(app, ["report", "--from", str(tmp_path / "stored"), *more])
    assert (done.exit_code, done.stdout) == (2, "")
    assert "stored: the folder of a study, not a table of runs. Its report is: crossnorm report " in done.stderr


@pytest.mark.parametrize("absent", [math.nan, None, ""])
@pytest.mark.parametrize("column", ["control", "dose", "variant", "site", "status"])
def test_absent_cells_of_optional_columns_are_alike_in_rows(absent: object, column: str) -> None:
    table = [row | {column: absent} for row in rows("plain", "mine")]
    assert compared(table).verdict.to_json() == compared(rows("plain", "mine")).verdict.to_json()


def test_an_answer_names_the_arms_of_a_control_beside_nan() -> None:
    table = [
        row | {"control": "shrunk" if row["arm"] == "mine" else math.nan, "dose": math.nan} for row in rows(*LOSSES)
    ]
    assert compared(table).verdict.answer.contrast == "mine - shrunk"

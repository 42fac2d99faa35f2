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


@pytest.mark.parametrize("place", ["runs", "runs/mine/0/events.csv", "."])
def test_results_read_from_the_runs_of_a_study_are_seen(tmp_path: Path, monkeypatch, place: str) -> None:
    from crossnorm.api import _table_files

    monkeypatch.setattr(_table_files, "read_event_log", lambda path: rows(*LOSSES))
    begun(tmp_path / "study")
    own = tmp_path / "study" / "runs" / "mine" / "0"
    own.mkdir(parents=True)
    (own / "events.out.tfevents.1").touch()
    written(own / "events.csv", *LOSSES)
    (tmp_path / "other" / "runs").mkdir(parents=True)
    (tmp_path / "other" / "study.yaml").write_text("task: digits\n")  # a study file of the user's own beside logs
    compared(tmp_path / "other" / "runs")
    assert not list(tmp_path.rglob(".watched"))
    compared(tmp_path if place == "." else tmp_path / "study" / place)
    assert list(tmp_path.rglob(".watched")) == [tmp_path / "study" / ".watched"]


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


HOSTILE = ["=1+1", "+x", "-0.5", "@sum", "'=quoted", "''-2", "'plain", "[/red]", "\\input{x}", "<b>"]


def test_names_are_no_formulas_and_come_back_as_they_are(tmp_path: Path) -> None:
    """A spreadsheet takes a cell for a formula that begins with one of = + - @; numbers stay numbers."""
    records = [
        {"arm": arm, "variant": f"={arm}", "dose": k - 1, "seed": seed, "step": 1, "loss": -0.5 * seed - k, "=m": k}
        for k, arm in enumerate(HOSTILE)
        for seed in range(3)
    ]
    first = crossnorm.compare(records, metric="loss", direction="lower", baseline="+x")
    first.save(tmp_path / "one")
    with (tmp_path / "one" / "table.csv").open(newline="", encoding="utf-8") as file:
        head, *body = csv.reader(file)
    dose, loss = head.index("dose"), head.index("loss")
    assert {row[loss] for row in body} >= {"-0.5", "-10.0"}
    texts = head + [cell for row in body for k, cell in enumerate(row) if k not in (dose, loss)]
    assert [text for text in texts if text.startswith(tuple("=+-@\t\r"))] == []
    again = crossnorm.compare(tmp_path / "one" / "table.csv", metric="loss", direction="lower", baseline="+x")
    assert {arm.name for arm in again.table.arms} == set(HOSTILE)
    assert again.table.arms == first.table.arms
    assert again.table.metrics.keys() == first.table.metrics.keys()
    again.save(tmp_path / "two")
    assert (tmp_path / "two" / "table.csv").read_bytes() == (tmp_path / "one" / "table.csv").read_bytes()


@pytest.mark.parametrize("column", ["arm", "site", "control"])
def test_names_with_control_characters_are_refused_and_not_obeyed(tmp_path: Path, column: str) -> None:
    lines = [f"arm,seed,step,loss{'' if column == 'arm' else ',' + column}"]
    lines += [f"\x1b[31mred,{k},1,2" if column == "arm" else f"x,{k},1,2,\x1b[31mred" for k in range(3)]
    (tmp_path / "runs.csv").write_text("\n".join(lines), encoding="utf-8")
    done = reported("--from", tmp_path / "runs.csv", "--out", tmp_path / "out")
    assert (done.exit_code, done.stdout) == (2, "")
    assert (
        f"row 1: {column}: expected a name of at most 500 characters, none of them a control character" in done.stderr
    )
    assert "\x1b" not in done.stderr


def test_a_message_writes_control_characters_out(tmp_path: Path) -> None:
    (tmp_path / "runs.csv").write_text("arm,seed,step,loss\nx,\x1b]0;title\x07,1,2\n", encoding="utf-8")
    done = reported("--from", tmp_path / "runs.csv", "--out", tmp_path / "out")
    assert done.exit_code == 2
    assert "\\x1b]0;title\\x07" in done.stderr
    assert "\x1b" not in done.stderr


def test_names_are_no_styles_of_the_terminal_and_no_commands_of_latex(tmp_path: Path) -> None:
    lines = ["arm,seed,step,loss"]
    lines += [
        f"{arm},{k},1,{k}" for arm in ("baseline", "[2cm]x", "[/red]", "*", "\\input{/etc/passwd}") for k in range(3)
    ]
    (tmp_path / "[red]runs.csv").write_text("\n".join(lines), encoding="utf-8")
    done = reported("--from", tmp_path / "[red]runs.csv", "--out", tmp_path / "[bold]", "--formats", "tex")
    assert done.exit_code == 0, done.stderr
    for shown in ("[2cm]x", "[/red]", "[bold]"):
        assert shown in done.stdout
    tex = (tmp_path / "[bold]" / "answer.tex").read_text(encoding="utf-8")
    assert "\\input" not in tex
    assert [line for line in tex.splitlines() if line.startswith(("[", "*"))] == []
    assert "{}[2cm]x &" in tex


@pytest.mark.parametrize("name", ["ev\x1b]0;x\x07\x1b[31mil.csv", "bad\udcff.csv"])
def test_a_file_name_controls_no_terminal(tmp_path: Path, name: str) -> None:
    lines = ["arm,seed,step,loss", *(f"{arm},{k},1,{k}" for arm in ("baseline", "mine") for k in range(3))]
    (tmp_path / name).write_text("\n".join(lines), encoding="utf-8")
    done = reported("--from", tmp_path / name, "--out", tmp_path / "out")
    assert done.exit_code == 0, done.stderr
    for text in (done.stdout, done.stderr, (tmp_path / "out" / "verdict.json").read_text(encoding="utf-8")):
        assert "\x1b" not in text
    assert "\x1b" not in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")

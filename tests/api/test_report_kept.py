"""`report` on a folder from which the runs are gone: the table that is left of them stays."""

from __future__ import annotations

import shutil

import pytest
from typer.testing import CliRunner

from crossnorm.cli import app
from tests.api.stored_studies import begun, trained


def reported(*arguments):
    return CliRunner().invoke(app, ["report", *map(str, arguments)])


@pytest.fixture
def stored(tmp_path):
    folder = tmp_path / "stored"
    plan = begun(folder)
    trained(folder, plan, len(plan.runs))
    assert reported(folder).exit_code == 0
    return folder


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def test_a_study_is_drawn_from_its_table_where_the_runs_were_not_kept(stored):
    before = contents(stored)
    shutil.rmtree(stored / "runs")
    done = reported(stored)
    assert done.exit_code == 0, done.stderr
    after = contents(stored)
    for name in ("table.csv", "verdict.json", "study.yaml"):
        assert after[name] == before[name]


def test_a_table_is_not_overwritten_by_a_study_whose_runs_are_empty(stored, tmp_path):
    shutil.rmtree(stored / "runs")
    (stored / "runs").mkdir()
    kept = contents(stored)
    done = reported(stored)
    assert (done.exit_code, done.stdout) == (2, "")
    lines = len(kept["table.csv"].splitlines()) - 1
    assert f"stored: the runs are missing but table.csv has {lines} rows" in done.stderr
    assert contents(stored) == kept

    advised = ["--metric", "test_loss", "--direction", "lower", "--out", tmp_path / "again"]
    assert reported("--from", stored / "table.csv", *advised).exit_code == 0
    assert (tmp_path / "again" / "table.csv").read_bytes() == kept["table.csv"]


def test_a_damaged_table_is_refused(stored):
    shutil.rmtree(stored / "runs")
    (stored / "table.csv").write_text("arm,seed\nbaseline,0\n")
    done = reported(stored)
    assert done.exit_code == 2
    assert "table.csv: row 1: columns: expected arm, seed, step and metrics" in done.stderr


def test_a_study_without_any_run_yet_is_drawn(tmp_path):
    begun(tmp_path / "stored")
    assert reported(tmp_path / "stored").exit_code == 0
    assert reported(tmp_path / "stored").exit_code == 0

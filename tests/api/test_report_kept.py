"""`report` on a folder from which the runs are gone: the table that is left of them stays."""

from __future__ import annotations

import shutil

from typer.testing import CliRunner

from crossnorm.cli import app
from tests.api.stored_studies import begun, trained


def reported(*arguments):
    return CliRunner().invoke(app, ["report", *map(str, arguments)])


def test_a_table_without_its_runs_is_not_overwritten(tmp_path):
    plan = begun(tmp_path / "stored")
    trained(tmp_path / "stored", plan, len(plan.runs))
    assert reported(tmp_path / "stored").exit_code == 0
    shutil.rmtree(tmp_path / "stored" / "runs")
    kept = {path.name: path.read_bytes() for path in (tmp_path / "stored").iterdir() if path.is_file()}
    done = reported(tmp_path / "stored")
    assert (done.exit_code, done.stdout) == (2, "")
    lines = len(kept["table.csv"].splitlines()) - 1
    assert f"stored: the runs are missing but table.csv has {lines} rows" in done.stderr
    assert {path.name: path.read_bytes() for path in (tmp_path / "stored").iterdir() if path.is_file()} == kept

    advised = ["--metric", "test_loss", "--direction", "lower", "--out", tmp_path / "again"]
    assert reported("--from", tmp_path / "stored" / "table.csv", *advised).exit_code == 0
    assert (tmp_path / "again" / "table.csv").read_bytes() == kept["table.csv"]


def test_a_study_without_any_run_yet_is_drawn(tmp_path):
    begun(tmp_path / "stored")
    assert reported(tmp_path / "stored").exit_code == 0
    assert reported(tmp_path / "stored").exit_code == 0

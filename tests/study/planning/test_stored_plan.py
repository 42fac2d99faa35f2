"""`plan FOLDER` reads: it imports no code of the user's own."""

from __future__ import annotations

import json

from typer.testing import CliRunner

from crossnorm.cli import app
from crossnorm.study.spec.plan import make_plan
from crossnorm.study.spec.schema import parse_spec
from crossnorm.study.storage.run_folder import RunFolder
from crossnorm.study.storage.study_folder import open_folder
from crossnorm.training.loop.outcome import Outcome, RunStatus

FUNCTION = {"function": "nowhere:train", "metric": "loss", "direction": "lower", "alphas": [0, 1], "seeds": 5}


def stored(folder, runs):
    """A function's study of 3 arms × 5 seeds, with so many runs of 7 seconds each."""
    plan = make_plan(parse_spec({"name": "s", **FUNCTION}, "s"))
    plan, _ = open_folder(folder, plan, "digest", {})
    for run in plan.runs[:runs]:
        own = RunFolder(folder, run, plan)
        own.append({"step": 3, "loss": 1.0 + 0.1 * run.seed})
        own.finish(Outcome(RunStatus.COMPLETE), {"step": 3, "seconds": 7.0})


def planned(*arguments):
    return CliRunner().invoke(app, ["plan", *map(str, arguments), "--json", "--workers", "1"])


def test_a_stored_function_is_not_imported(tmp_path):
    stored(tmp_path, 4)
    done = planned(tmp_path)
    assert done.exit_code == 0, done.stderr
    cost = json.loads(done.stdout)["cost"]
    assert (cost["runs"], cost["runs_done"], cost["seconds_per_run"]) == (15, 4, 7.0)
    assert cost["hours_left"] * 3600 == 11 * 7


def test_more_seeds_are_planned_too(tmp_path):
    stored(tmp_path, 4)
    assert json.loads(planned(tmp_path, "--seeds", "8").stdout)["cost"]["runs"] == 24


def test_without_a_finished_run_the_function_is_needed(tmp_path):
    stored(tmp_path, 0)
    done = planned(tmp_path)
    assert (done.exit_code, done.stdout) == (2, "")
    assert "add --import nowhere to the command" in done.stderr

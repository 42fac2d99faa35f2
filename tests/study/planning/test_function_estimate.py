"""What a study of a user's function would take: its runs always, its time and noise once some of them are stored."""

from __future__ import annotations

import json

import numpy as np
import pytest
from typer.testing import CliRunner

import crossnorm as library
from crossnorm.cli import app
from crossnorm.errors import BadInput
from crossnorm.study.storage.run_folder import RunFolder
from crossnorm.study.storage.study_folder import open_folder
from crossnorm.study.workload.workload import open_workload
from crossnorm.training.loop.outcome import Outcome, RunStatus

FIELDS = {"metric": "loss", "direction": "lower", "alphas": [0, 1], "name": "mine"}
SECONDS = {"baseline": 700.0, "convex-1": 1100.0}  # of attenuated-1 nothing is complete
LOSSES = {"baseline": (2.0, 3.0, 5.0), "convex-1": (2.5, 3.25, 5.0)}


def train(run):
    raise AssertionError("a plan trains nothing")


def study(**fields):
    return library.Study(train, **FIELDS | {"seeds": 5} | fields)


def estimated(folder, **options):
    return study().estimate(folder, workers=2, progress=False, **options)


def stored(folder, **fields):
    """Three pairs of two arms, and a control's runs that have begun."""
    begun = study(seeds=3, **fields)
    subject = open_workload(begun, function=train)
    folder.mkdir()
    plan, _ = open_folder(folder, subject.plan, subject.digest)
    for run in subject.plan.runs:
        RunFolder(folder, run, plan).path.mkdir(parents=True)
        loss = LOSSES.get(run.arm, (1.0,) * 3)[run.seed]
        RunFolder(folder, run, plan).append({"step": 3, "seconds": 50.0, "loss": loss})
        if run.arm in SECONDS:
            RunFolder(folder, run, plan).finish(Outcome(RunStatus.COMPLETE), {"seconds": SECONDS[run.arm]})
    return folder


def test_without_runs_time_and_noise_are_not_measured(tmp_path):
    found = estimated(tmp_path / "none", difference=0.1)
    cost = found.cost
    assert (found.arms, found.noise) == (("baseline", "convex-1", "attenuated-1"), None)
    assert found.function.endswith(":train")
    assert (cost.runs, cost.runs_done, cost.seeds, cost.workers) == (15, 0, 5, 2)
    assert {cost.source, cost.seconds_per_run, cost.hours, cost.hours_left, cost.steps, cost.disk_bytes} == {None}
    assert json.loads(found.to_json())["cost"]["hours"] is None
    assert list(tmp_path.iterdir()) == []


def test_stored_runs_tell_time_and_noise(tmp_path):
    found = estimated(stored(tmp_path / "o"))
    cost = found.cost
    assert (cost.source, cost.runs, cost.runs_done) == ("stored runs", 15, 6)
    assert cost.seconds_per_seed == pytest.approx(700 + 2 * 1100)  # the control as long as the other arm
    left = 2 * (700 + 1100) + 5 * 1100
    assert left / 2 <= cost.hours_left * 3600 <= left / 2 + 1100
    assert found.noise == "stored runs"
    assert found.outlook.arm.sd == pytest.approx(np.std([0.5, 0.25, 0.0], ddof=1))
    assert found.outlook.arm.detectable > 0


def test_runs_of_other_settings_are_not_used(tmp_path):
    found = estimated(stored(tmp_path / "o", settings={"depth": 2}))
    assert (found.cost.source, found.cost.runs_done, found.noise) == (None, 0, None)
    assert "not used: their function, code or settings differ" in found.notes[0]


def test_what_a_function_cannot_have_is_refused(tmp_path):
    with pytest.raises(BadInput, match=r"pilot: not available for a training function.*Run 3 seeds"):
        estimated(tmp_path, pilot=True)


def test_the_command_lists_the_runs(tmp_path, monkeypatch):
    (tmp_path / "planned_function.py").write_text("def train(run):\n    1 / 0\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    options = ["--alphas", "0,0.5,1", "--seeds", "7", "--metric", "loss", "--direction", "lower"]
    done = CliRunner().invoke(app, ["plan", "planned_function:train", *options, "--out", str(tmp_path / "o")])
    assert done.exit_code == 0, done.output
    words = " ".join(done.stdout.split())
    for said in (
        "35 (5 arms × 7 seeds)",
        "arms baseline, convex-0.5, convex-1, attenuated-0.5, attenuated-1",
        "training by planned_function:train",
        "time per run not measured",
        "total time not measured",
        "unknown until the first one is complete",
        "detectable, 7 seeds not measured",
    ):
        assert said in words
    assert "--pilot" not in words
    assert "disk" not in words

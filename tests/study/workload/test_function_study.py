"""A user's training function as a whole study: from the command line, from a file, from a notebook."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

import crossnorm as library
from crossnorm.errors import BadInput
from crossnorm.rng import address
from crossnorm.study.spec.plan import Run
from crossnorm.study.storage.run_folder import RunFolder
from tests.repository import ROOT
from tests.study.study_cases import crossnorm, refused

EXAMPLES = ROOT / "examples"

MINE = """
import torch

def train(run):
    value = 1 + torch.rand(())
    for step in range(3):
        value = value * 0.5 + 0.01 * torch.rand(()) + 0.1 * run.settings.get("extra", 0)
        run.log(step, loss=value)
    print("printed by the function")
"""


def written(folder: Path, text: str = "", name: str = "mine") -> Path:
    (folder / f"{name}.py").write_text(MINE, encoding="utf-8")
    (folder / "study.yaml").write_text(text, encoding="utf-8")
    return folder


FILE = "function: mine:train\narms: [{name: more, extra: 1}]\nseeds: 3\nmetric: loss\ndirection: lower\n"


@pytest.fixture(scope="module")
def notebook_study(tmp_path_factory):
    """A study of a function that no module has, as a notebook's."""
    slope = 0.25

    def train(run):
        import torch

        for step in range(3):
            run.log(step, loss=torch.rand(()) + slope * run.dose)

    folder = tmp_path_factory.mktemp("notebook")
    fields = {"alphas": [0, 2], "control": False, "seeds": 5, "metric": "loss", "direction": "lower"}
    study = library.Study(train, **fields)
    return study.run(folder / "out", progress=False, workers=2), study, fields


def test_a_notebook_function_is_a_study(notebook_study):
    result, _, _ = notebook_study
    verdict = json.loads((result.folder / "verdict.json").read_text())
    assert verdict["complete"]
    assert verdict["n_pairs"] == 5
    assert verdict["arms"][1]["difference"] == pytest.approx(0.5, rel=1e-6)
    assert verdict["arms"][1]["verdict"] == "worse"
    assert verdict["answer"]["estimate"] == pytest.approx(0.25, rel=1e-6)
    assert {"report.html", "curves.png", "trend.png", "table.csv"} <= {p.name for p in result.folder.iterdir()}


def test_its_folder_goes_on_with_the_same_code_only(notebook_study):
    result, study, fields = notebook_study
    before = (result.folder / "verdict.json").read_bytes()
    study.run(result.folder, progress=False)
    assert (result.folder / "verdict.json").read_bytes() == before

    def train(run):
        run.log(0, loss=3)

    with pytest.raises(BadInput, match="the code of the function changed since the study started"):
        library.Study(train, **fields).run(result.folder, progress=False)
    with pytest.raises(BadInput, match="defined in a script or notebook|not allowed to be imported"):
        library.Study(**fields, function=study.function).run(result.folder, progress=False)


def test_study_wants_a_function():
    with pytest.raises(BadInput, match="def train"):
        library.Study("digits")


ON_DIGITS = """
def train(run):
    batches = run.task.train_batches(0, seed=run.seed, batch_size=20)
    for step, (inputs, targets) in enumerate(batches):
        run.log(step, loss=inputs.mean() + run.alpha(step / 2), targets=targets.double().mean())
"""
DIGITS = {"task": "digits", "train_examples": 60, "alpha_schedule": {"end": 0.5}, "alphas": [0, 1], "control": False}


def test_a_function_may_have_a_task_and_a_schedule(tmp_path, monkeypatch):
    (tmp_path / "on_digits.py").write_text(ON_DIGITS)
    monkeypatch.syspath_prepend(tmp_path)
    fields = DIGITS | {"function": "on_digits:train", "metric": "loss", "direction": "lower", "seeds": 2}
    study = library.Study(**fields)
    assert study.name == "on_digits-train-convex"
    found = study.run(tmp_path / "o", progress=False, imports=["on_digits"], workers=2)
    task = library.load_task("digits")
    inputs, targets = task.train.inputs[:60], task.train.targets[:60]
    for seed in range(2):
        order = torch.randperm(60, generator=torch.Generator().manual_seed(address(seed, "order"))).split(20)
        pixels = [float((inputs[rows].double() / 255 - task.mean[0]).mean()) / task.std[0] for rows in order]
        for arm, alphas in (("baseline", [0, 0, 0]), ("convex-1", [0, 1, 1])):
            rows = RunFolder(tmp_path / "o", Run(arm, seed)).read().rows
            assert [row["alpha"] for row in rows] == alphas
            assert [row["loss"] - row["alpha"] for row in rows] == pytest.approx(pixels, abs=1e-5)
            assert [row["targets"] for row in rows] == [float(targets[rows].double().mean()) for rows in order]
    assert found.verdict.answer.estimate == pytest.approx(1)
    other = library.Study(**fields | {"train_examples": 40})
    assert other._open(["on_digits"]).digest != study._open(["on_digits"]).digest


def test_a_task_that_cannot_be_loaded_is_refused_before_training(tmp_path):
    fields = {"task": "folder", "data": str(tmp_path / "none"), "metric": "loss", "direction": "lower"}
    with pytest.raises(BadInput, match="none"):
        library.Study(lambda run: None, **fields).run(tmp_path / "o", progress=False)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_file_may_name_a_function_but_not_import_it(tmp_path):
    written(tmp_path, FILE)
    refused(crossnorm("plot", "study.yaml", cwd=tmp_path), "--import mine")
    refused(crossnorm("plot", "mine:train", "--direction", "lower", cwd=tmp_path), "metric and direction")
    refused(crossnorm("plot", "mine:nothing", "--metric", "a", "--direction", "lower", cwd=tmp_path), "no function")
    assert {p.name for p in tmp_path.iterdir()} <= {"mine.py", "study.yaml", "__pycache__"}


@pytest.mark.slow
def test_a_file_with_arms_of_settings(tmp_path):
    written(tmp_path, FILE)
    done = crossnorm("plot", "study.yaml", "--import", "mine", "--out", "o", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "printed by" not in done.stdout
    verdict = json.loads((tmp_path / "o" / "verdict.json").read_text())
    assert [(row["arm"], row["verdict"]) for row in verdict["arms"]] == [("baseline", None), ("more", "worse")]
    assert crossnorm("report", "o", cwd=tmp_path).returncode == 0
    refused(crossnorm("audit", "o", cwd=tmp_path), "--import mine")
    audited = crossnorm("audit", "o", "--import", "mine", cwd=tmp_path)
    assert audited.returncode == 0, audited.stderr
    for run in ("baseline, seed 0", "more, seed 0"):
        assert f"{run}: bit-identical at all 3 evaluations" in " ".join(audited.stdout.split())
    planned = crossnorm("plan", "study.yaml", "--import", "mine", "--out", "o", "--json", cwd=tmp_path)
    found = json.loads(planned.stdout)
    assert (found["cost"]["runs_done"], found["noise"], found["function"]) == (6, "stored runs", "mine:train")


@pytest.mark.slow
def test_a_function_that_crashes_fails_the_run_with_its_reason(tmp_path):
    lines = ["def train(run):", " run.log(0, loss=run.seed)", " if run.arm != 'baseline' and run.seed == 1:", "  1 / 0"]
    (tmp_path / "mine.py").write_text("\n".join(lines))
    options = ["--metric", "loss", "--direction", "lower", "--alphas", "0,1", "--seeds", "3", "--out", "o"]
    done = crossnorm("plot", "mine:train", *options, cwd=tmp_path)
    assert done.returncode == 1, done.stderr
    assert "ZeroDivisionError: division by zero (train, line 4 of mine.py)" in " ".join(done.stderr.split())
    verdict = json.loads((tmp_path / "o" / "verdict.json").read_text())
    assert [row["crashed"] for row in verdict["arms"]] == [0, 1, 1]


@pytest.mark.slow
def test_a_misspelt_metric_ends_with_the_first_run_and_leaves_no_folder(tmp_path):
    written(tmp_path)
    options = ["--direction", "lower", "--alphas", "0,1", "--seeds", "3"]
    done = crossnorm("plot", "mine:train", "--metric", "los", *options, "--workers", "1", cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert "without logging los; it logged loss (did you mean 'loss'?)" in done.stderr.splitlines()[-1]
    assert done.stderr.count("crashed") == 1
    assert not (tmp_path / "crossnorm").exists()
    done = crossnorm("plot", "mine:train", "--metric", "loss", *options, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (log,) = tmp_path.glob("crossnorm/*/runs/baseline/2/log.txt")
    assert "baseline, seed 2, started" in log.read_text().splitlines()[0]
    assert log.read_text().splitlines()[1] == "printed by the function"


@pytest.mark.slow
def test_the_plain_example(tmp_path):
    shutil.copy(EXAMPLES / "plain_loop.py", tmp_path)
    options = ["--metric", "loss", "--direction", "lower", "--alphas", "0,1", "--seeds", "2", "--out", "o"]
    done = crossnorm("plot", "plain_loop:train", *options, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    table = (tmp_path / "o" / "table.csv").read_text().splitlines()
    assert len(table) == 1 + 3 * 2 * 4
    assert json.loads((tmp_path / "o" / "verdict.json").read_text())["arms"][0]["mean"] < 1.8


def test_a_function_without_its_argument_is_refused_at_once(tmp_path):
    text = MINE + "\ndef nothing():\n    pass\n"
    (tmp_path / "mine.py").write_text(text, encoding="utf-8")
    done = crossnorm("plot", "mine:nothing", "--metric", "loss", "--direction", "lower", cwd=tmp_path)
    refused(done, "mine:nothing cannot be called with one argument, run", "A training function is train(run)")
    assert not (tmp_path / "crossnorm").exists()

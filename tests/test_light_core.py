"""Reports, comparisons and lists without torch: in a process that cannot import it."""

import csv
import json
import os
import subprocess
import sys

import pytest

from tests.repository import ROOT


def without_torch(*arguments, folder):
    command = [sys.executable, "-m", "tests.without_torch", *map(str, arguments)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment)


@pytest.fixture
def table(tmp_path):
    """Three pairs: the arm is 0.5, 0.6 and 0.7 below the baseline."""
    file = tmp_path / "runs.csv"
    rows = [
        (arm, seed, 7, 2 + seed - (arm == "mine") * (0.5 + seed / 10))
        for arm in ("baseline", "mine")
        for seed in range(3)
    ]
    with file.open("w", newline="") as stream:
        csv.writer(stream).writerows([("arm", "seed", "step", "loss"), *rows])
    return file


def test_a_table_is_reported(table, tmp_path):
    done = without_torch(
        "report", "--from", table, "--metric", "loss", "--direction", "lower", "--out", "r", folder=tmp_path
    )
    assert done.returncode == 0, done.stderr
    verdict = json.loads((tmp_path / "r" / "verdict.json").read_text())
    assert verdict["arms"][1]["difference"] == pytest.approx(-0.6)
    assert (tmp_path / "r" / "report.html").exists()


@pytest.mark.parametrize("what", ["models", "tasks", "variants", "recipes", "studies"])
def test_lists(what, tmp_path):
    done = without_torch("list", what, "--json", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout)) > 3


def test_a_study_file_is_written(tmp_path):
    assert without_torch("new", "study.yaml", folder=tmp_path).returncode == 0
    assert "task:" in (tmp_path / "study.yaml").read_text()


@pytest.mark.parametrize("command", ["plot quick", "plan quick", "audit", "bench", "train --task digits"])
def test_what_needs_torch_says_so(command, tmp_path):
    done = without_torch(*command.split(), folder=tmp_path)
    assert done.returncode == 2
    assert (
        done.stderr == "crossnorm: this command needs torch, which is not installed: pip install 'crossnorm[torch]'\n"
    )
    assert list(tmp_path.iterdir()) == []


def test_names_that_need_torch_say_so(tmp_path):
    code = (
        "import tests.without_torch, crossnorm\n"
        "print(crossnorm.Variant(name='convex').control.name, crossnorm.compare.__name__)\n"
        "crossnorm.create_model"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert done.stdout == "attenuated compare\n"
    assert "ImportError: crossnorm.create_model needs torch" in done.stderr

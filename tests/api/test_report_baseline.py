"""`report --baseline`: which arm the others are compared with, in every number of the answer."""

from __future__ import annotations

import csv
import json

import pytest
from typer.testing import CliRunner

from crossnorm.cli import app

LOSSES = {"plain": (2.0, 3.0, 5.0), "mine": (1.5, 2.75, 4.5), "shrunk": (2.5, 3.5, 5.25)}


@pytest.fixture
def runs(tmp_path):
    """Three arms × three seeds without a baseline by name; two evaluations each, the first alike."""
    with (tmp_path / "runs.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["arm", "seed", "step", "loss"])
        writer.writerows([arm, seed, 1, 7.0] for arm in LOSSES for seed in range(3))
        writer.writerows([arm, seed, 4, loss] for arm, losses in LOSSES.items() for seed, loss in enumerate(losses))
    return tmp_path / "runs.csv"


def reported(*arguments):
    return CliRunner().invoke(app, ["report", *map(str, arguments)])


def answer(runs, *more):
    out = runs.parent / "answer"
    done = reported("--from", runs, "--metric", "loss", "--direction", "lower", "--out", out, *more)
    assert done.exit_code == 0, done.output
    return json.loads((out / "verdict.json").read_text())


@pytest.mark.parametrize(
    ("chosen", "first", "differences"),
    [
        ([], "plain", {"mine": -1.25 / 3, "shrunk": 1.25 / 3}),
        (["--baseline", "mine"], "mine", {"plain": 1.25 / 3, "shrunk": 2.5 / 3}),
        (["--baseline", "shrunk"], "shrunk", {"plain": -1.25 / 3, "mine": -2.5 / 3}),
    ],
)
def test_every_difference_is_to_the_chosen_arm(runs, chosen, first, differences):
    found = answer(runs, *chosen)
    baseline, *others = found["arms"]
    assert (baseline["arm"], baseline["difference"], baseline["verdict"]) == (first, None, None)
    assert baseline["mean"] == pytest.approx(sum(LOSSES[first]) / 3)
    assert {row["arm"]: row["difference"] for row in others} == pytest.approx(differences)


def test_an_arm_that_is_not_there_and_a_folder_of_a_study_are_refused(runs):
    options = ["--metric", "loss", "--direction", "lower", "--out", runs.parent / "answer", "--baseline", "theirs"]
    done = reported("--from", runs, *options)
    assert (done.exit_code, done.stdout) == (2, "")
    assert "runs.csv: baseline: expected one of plain, mine, shrunk, got theirs" in done.stderr
    done = reported(runs.parent, "--baseline", "mine")
    assert (done.exit_code, done.stdout) == (2, "")
    assert "--baseline requires --from" in done.stderr
    assert [path.name for path in runs.parent.iterdir()] == ["runs.csv"]

"""What a study would take and could show: against hand-made runs, real runs, and the command line."""

from __future__ import annotations

import json

import numpy as np
import pytest
from typer.testing import CliRunner

import crossnorm as library
from crossnorm.cli import app
from crossnorm.data import load_task
from crossnorm.errors import BadInput
from crossnorm.stats import noise
from crossnorm.study.planning.cost import cost_of, seconds_by_arm
from crossnorm.study.planning.durations import seconds_per_seed
from crossnorm.study.planning.pilot import pilot_plan
from crossnorm.study.spec.plan import Run
from crossnorm.study.storage.run_folder import RunFolder
from crossnorm.study.storage.study_folder import open_folder
from crossnorm.training.loop.outcome import Outcome, RunStatus
from tests.study.study_cases import TINY, contents, crossnorm, write_study

STUDY = TINY | {"name": "tiny"}
SECONDS = {"baseline": 7.0, "convex-1": 11.0, "attenuated-1": 13.0}


def curve(seconds, *, epochs=2, before=1.0, loss=2.0):
    """An evaluation before training, then one per epoch of 62 examples; the whole of 2 epochs takes `seconds`."""
    rate = (seconds - before) / 2
    return [
        {"step": 2 * e, "epoch": e, "images": 62 * e, "seconds": before + e * rate, "test_loss": loss}
        for e in range(epochs + 1)
    ]


def make_folder(folder, seeds=(0, 1, 2), *, seen=False, **changes):
    """A study's folder as if it had been run, each run with its arm's seconds; the losses differ in the third pair."""
    study = library.Study(**STUDY | {"seeds": list(seeds)} | changes)
    plan = study.plan()
    folder.mkdir()
    plan, _ = open_folder(folder, plan, load_task("digits", train_examples=67).digest)
    for run in plan.runs:
        RunFolder(folder, run, plan).path.mkdir(parents=True)
        loss = 2.0 + (0.25 if run.arm == "convex-1" and run.seed == 2 else 0.0)
        for row in curve(SECONDS[run.arm], loss=loss):
            RunFolder(folder, run, plan).append(row)
        RunFolder(folder, run, plan).finish(Outcome(RunStatus.COMPLETE), {"step": 4, "seconds": SECONDS[run.arm]})
    if seen:
        (folder / "verdict.json").write_text("{}")
    return folder


def estimated(folder, *, seeds=3, **options):
    return library.Study(**STUDY | {"seeds": seeds}).estimate(folder, workers=2, progress=False, **options)


def test_the_cost_is_that_of_the_stored_runs(tmp_path):
    found = estimated(make_folder(tmp_path / "o"), seeds=5)
    cost = found.cost
    assert (cost.source, cost.arms, cost.seeds, cost.runs, cost.runs_done) == ("stored runs", 3, 5, 15, 9)
    assert (cost.steps, cost.images, cost.train_examples) == (5 * 3 * 4, 5 * 3 * 4 * 31, 67)
    assert cost.seconds_per_run == pytest.approx(31 / 3)
    assert cost.seconds_per_seed == pytest.approx(31)
    assert cost.hours_left * 3600 == pytest.approx(31)  # two seeds left, one for each worker
    assert 5 * 31 / 2 <= cost.hours * 3600 <= 5 * 31 / 2 + 13
    assert cost.disk_peak_bytes > cost.disk_bytes > 0


def test_the_outlook_is_that_of_the_stored_runs(tmp_path):
    found = estimated(make_folder(tmp_path / "o"), difference=0.1)
    assert found.noise == "stored runs"
    ours = np.std([0, 0, 0.25], ddof=1)
    assert found.outlook.arm.sd == pytest.approx(ours / np.sqrt(2))  # attenuated never differs
    assert found.outlook.trend.sd == pytest.approx(ours)
    assert (found.outlook.arm.comparisons, found.outlook.margin) == (3, 0.5)
    assert found.outlook.arm.for_difference[0] > 3


def test_seeds_added_after_looking_have_sequential_intervals(tmp_path):
    folder = make_folder(tmp_path / "o", seen=True)
    for seeds, kinds in ((3, ("bonferroni-t", "sequential")), (5, ("sequential", "sequential"))):
        found = estimated(folder, seeds=seeds).outlook
        assert (found.interval, found.later) == kinds
    found = estimated(make_folder(tmp_path / "p"), seeds=5).outlook
    assert (found.interval, found.later) == ("bonferroni-t", "bonferroni-t")


def test_runs_of_another_recipe_are_not_used(tmp_path):
    found = estimated(make_folder(tmp_path / "o", epochs=3))
    assert (found.noise, found.cost.source, found.cost.runs_done) == (None, "measured steps", 0)
    assert any("their data, model, recipe or code differ" in note for note in found.notes)


def test_an_arm_without_curves_takes_as_long_as_the_others():
    plan, task = library.Study(**STUDY).plan(), load_task("digits", train_examples=67)
    curves = {Run("baseline", 0): curve(7.0), Run("convex-1", 0): curve(11.0, epochs=1)}
    expected = {"baseline": 7.0, "convex-1": 11.0, "attenuated-1": 11.0}
    assert seconds_by_arm(plan, curves, task) == pytest.approx(expected)
    assert seconds_by_arm(plan, {Run("baseline", 0): curve(7.0)[:1]}, task) == {}
    with pytest.raises(BadInput, match="no time was measured"):
        cost_of(plan, task, {}, source="pilot", workers=1)


def test_one_worker_needs_the_sum_of_all_runs():
    plan, task = library.Study(**STUDY).plan(), load_task("digits", train_examples=67)
    curves = {Run(arm, 0): curve(seconds) for arm, seconds in SECONDS.items()}
    alone = cost_of(plan, task, curves, source="pilot", workers=1)
    assert alone.hours * 3600 == pytest.approx(3 * 31)
    done = [Run("baseline", 0), Run("convex-1", 2)]
    assert cost_of(plan, task, curves, source="pilot", done=done, workers=1).hours_left * 3600 == pytest.approx(75)


def test_a_seed_costs_what_complete_runs_took():
    plan = library.Study(**STUDY).plan()
    results = {Run(arm, 0): {"status": "complete", "seconds": s} for arm, s in SECONDS.items()}
    results |= {Run("baseline", 1): {"status": "diverged", "step": 2}, Run("convex-1", 1): None}
    assert seconds_per_seed(plan, results) == pytest.approx(31)
    assert seconds_per_seed(plan, {}) is None


def test_the_pilot_takes_the_strongest_arm_and_its_control():
    study = {**STUDY, "alphas": [0, 0.5, -1, 0.75], "variants": ["convex", "matched"], "seeds": 2, "epochs": 7}
    trial = pilot_plan(library.Study(**study).plan())
    assert [arm.name for arm in trial.arms] == ["baseline", "convex--1", "attenuated--1"]
    assert (trial.seeds, {arm.recipe.epochs for arm in trial.arms}) == ((0, 1, 2), {1})
    further = [{"name": "long", "lr": 0.01, "epochs": 9}]
    trial = pilot_plan(library.Study(**STUDY | {"variants": [], "arms": further}).plan())
    assert [(arm.name, arm.recipe.epochs, arm.recipe.lr) for arm in trial.arms][1] == ("long", 1, 0.01)
    apart = [{"name": "apart", "seed_offset": 2}]
    trial = pilot_plan(library.Study(**STUDY | {"seeds": 2, "variants": [], "arms": apart}).plan())
    assert (trial.seeds, [arm.name for arm in trial.arms]) == ((0, 1, 2), ["baseline", "apart"])


def test_the_pilot_measures_what_a_study_of_one_epoch_would(tmp_path):
    write_study(tmp_path)
    before = contents(tmp_path)
    done = crossnorm("plan", "tiny.yaml", "--pilot", "--difference", "0.01", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["noise"], found["cost"]["source"], found["cost"]["runs"]) == ("pilot", "pilot", 9)
    assert any("one epoch" in note for note in found["notes"])
    assert contents(tmp_path) == before
    result = library.Study(**STUDY | {"epochs": 1}).run(tmp_path / "o", workers=1, progress=False)
    expected = noise(result.table, "test_loss")
    assert found["outlook"]["arm"]["sd"] == pytest.approx(expected.sd)
    assert found["outlook"]["trend"]["sd"] == pytest.approx(expected.trend_sd)


def test_without_runs_the_noise_is_not_measured_and_nothing_is_written(tmp_path):
    write_study(tmp_path)
    done = crossnorm("plan", "tiny.yaml", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    words = " ".join(done.stdout.split())
    for said in ("9 (3 arms × 3 seeds)", "not measured", "--pilot"):
        assert said in words
    assert [p.name for p in tmp_path.iterdir()] == ["tiny.yaml"]


def test_a_folder_is_planned_from_its_runs_and_left_as_it_was(answered):
    folder, _ = answered
    before = {p: p.stat().st_mtime_ns for p in [folder, *folder.rglob("*")]}
    done = crossnorm("plan", folder, "--json", cwd=folder.parent)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["noise"], found["cost"]["source"], found["cost"]["runs_done"]) == ("stored runs", "stored runs", 9)
    rows = [json.loads(p.read_text())["seconds"] for p in folder.glob("runs/*/*/result.json")]
    assert found["cost"]["seconds_per_run"] == pytest.approx(sum(rows) / 9, rel=1e-6)
    assert {p: p.stat().st_mtime_ns for p in [folder, *folder.rglob("*")]} == before


def test_an_open_ended_study_is_planned_at_its_most_seeds(tmp_path):
    study = library.Study(**STUDY | {"stop": "decided", "max_seeds": 7})
    found = study.estimate(tmp_path / "o", workers=1, progress=False)
    assert (found.cost.seeds, found.outlook.seeds, found.outlook.interval) == (7, 7, "sequential")
    assert pilot_plan(study.plan()).seeds == (0, 1, 2)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--difference", "0"], ["difference", "other than 0"]),
        (["--difference", "small"], ["--difference"]),
        (["--workers", "0"], ["workers", "at least 1"]),
        (["--seeds", "0"], ["seeds"]),
        (["--variants", "convx"], ["Did you mean 'convex'"]),
    ],
)
def test_bad_input_ends_with_one_message(tmp_path, arguments, words):
    study = tmp_path / write_study(tmp_path)
    before = contents(tmp_path)
    done = CliRunner().invoke(app, ["plan", str(study), "--out", str(tmp_path / "o"), *arguments])
    assert (done.exit_code, done.stdout) == (2, "")
    for word in words:
        assert word in done.stderr
    assert contents(tmp_path) == before

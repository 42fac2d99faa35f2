"""What a table without its runs still knows, and summaries that a table stores as columns."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import crossnorm
from crossnorm.cli import app
from crossnorm.study.storage.run_folder import RunFolder
from crossnorm.training.loop.outcome import Outcome, RunStatus
from tests.api.stored_studies import begun, trained


def test_crashes_before_the_first_evaluation_stay_known(tmp_path):
    plan = begun(tmp_path)
    trained(tmp_path, plan, len(plan.runs) - 1)
    lost = RunFolder(tmp_path, plan.runs[-1], plan)
    lost.path.mkdir(parents=True)
    lost.finish(Outcome(RunStatus.CRASHED, "out of memory"), {})
    before = crossnorm.load(tmp_path)
    before.save(tmp_path)
    shutil.rmtree(tmp_path / "runs")
    after = crossnorm.load(tmp_path)
    assert after.verdict.to_json() == before.verdict.to_json()
    assert sum(arm.crashed for arm in after.verdict.arms) == 1


def test_an_arm_without_any_kept_row_is_missing_but_not_forgotten(tmp_path):
    plan = begun(tmp_path)
    whole = [run for run in plan.runs if run.arm != plan.arms[-1].name]
    trained(tmp_path, plan, len(plan.runs))
    for run in plan.runs:
        if run not in whole:
            shutil.rmtree(RunFolder(tmp_path, run).path)
    before = crossnorm.load(tmp_path)
    before.save(tmp_path)
    shutil.rmtree(tmp_path / "runs")
    after = crossnorm.load(tmp_path)
    assert [arm.name for arm in after.table.arms] == [arm.name for arm in plan.arms]
    assert after.verdict.to_json() == before.verdict.to_json()


ACC = {"format": 1, "seeds": 3, "name": "f", "alphas": [0, 1], "control": False}


def accuracies(folder):
    """A function's study: the arm needs one evaluation more to reach 0.3 than the baseline."""
    from crossnorm.study.spec.plan import make_plan
    from crossnorm.study.spec.schema import parse_spec
    from crossnorm.study.storage.study_folder import open_folder

    fields = {"function": "m:train", "metric": "acc_steps_to_0.3", "direction": "higher"}
    plan = make_plan(parse_spec(ACC | fields, "f"))
    plan, _ = open_folder(folder, plan, "digest")
    for run in plan.runs:
        own, late = RunFolder(folder, run, plan), run.arm != "baseline"
        for k in range(6):
            own.append({"step": 7 * k, "acc": 0.1 * k - 0.1 * late + 0.001 * run.seed})
        own.finish(Outcome(RunStatus.COMPLETE), {"step": 35, "seconds": 1.0})


def test_more_steps_to_a_target_are_worse_wherever_they_are_read(tmp_path):
    accuracies(tmp_path)
    study = crossnorm.load(tmp_path)
    assert study.verdict.arms[1].difference == pytest.approx(7)
    assert study.verdict.direction == "lower"
    study.save(tmp_path)
    options = ["--metric", "acc_steps_to_0.3", "--direction", "higher", "--out", str(tmp_path / "table")]
    assert CliRunner().invoke(app, ["report", "--from", str(tmp_path / "table.csv"), *options]).exit_code == 0
    table = json.loads((tmp_path / "table" / "verdict.json").read_text())
    assert (table["arms"][1]["difference"], table["direction"]) == (pytest.approx(7), "lower")
    assert CliRunner().invoke(app, ["report", str(tmp_path)]).exit_code == 0
    assert list(tmp_path.glob("report-*")) == []
    shutil.rmtree(tmp_path / "runs")
    assert crossnorm.load(tmp_path).verdict.to_json() == study.verdict.to_json()


def frame(ends):
    """Two arms × four seeds, evaluated at steps 5 and 10; `ends` is the loss at 10 of the second arm, or NaN."""
    rows = []
    for arm in ("baseline", "mine"):
        for seed in range(4):
            for step in (0, 5, 7, 10):
                end = 1.0 + 0.1 * seed if arm == "baseline" else ends + 0.1 * seed
                loss = {0: 3.0, 5: 2.0, 7: np.nan, 10: end}[step]
                rows.append({"arm": arm, "seed": seed, "step": step, "loss": loss, "lr": 0.1 / (1 + step)})
    return pd.DataFrame(rows)


def test_a_summary_of_a_diverged_column_is_no_better(tmp_path):
    result = crossnorm.compare(frame(np.nan), metric="loss_auc", direction="lower")
    assert [arm.diverged for arm in result.verdict.arms] == [0, 4]
    assert result.verdict.arms[1].verdict != "better"


def test_steps_without_an_evaluation_are_empty_in_a_frame_too():
    sparse = frame(0.5)
    sparse.loc[len(sparse)] = {"arm": "mine", "seed": 0, "step": 12, "loss": np.nan, "lr": 0.0}
    found = crossnorm.compare(sparse, metric="loss", direction="lower").verdict
    assert [arm.diverged for arm in found.arms] == [0, 0]
    assert found.arms[1].difference == pytest.approx(-0.5)

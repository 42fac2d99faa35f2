"""`load`: the results of a folder without repeating the study's definition."""

from __future__ import annotations

import numpy as np
import pytest

import crossnorm
from crossnorm.errors import BadInput
from crossnorm.study.storage.run_folder import RunFolder
from crossnorm.study.storage.study_folder import open_folder
from crossnorm.training.loop.outcome import Outcome, RunStatus
from tests.api.stored_studies import begun, trained


def test_a_finished_study(tmp_path):
    plan = begun(tmp_path)
    trained(tmp_path, plan, len(plan.runs))
    result = crossnorm.load(tmp_path)
    assert [arm.name for arm in result.table.arms] == [arm.name for arm in plan.arms]
    assert result.verdict.interval == "bonferroni-t"
    for a, arm in enumerate(plan.arms):
        for s, seed in enumerate(plan.seeds):
            own = next(run for run in plan.runs if (run.arm, run.seed) == (arm.name, seed))
            rows = RunFolder(tmp_path, own).read().rows
            assert result.table.metrics["test_loss"][a, s].tolist() == [row["test_loss"] for row in rows]


def test_a_running_study_counts_as_seen(tmp_path):
    plan = begun(tmp_path)
    trained(tmp_path, plan, len(plan.runs) - 1)
    assert crossnorm.load(tmp_path).verdict.interval == "sequential"
    assert (tmp_path / ".watched").exists()


def test_an_answer_beside_crashed_runs_counts_as_seen(tmp_path):
    """They are trained again by the next command, and are then runs after a look."""
    plan = begun(tmp_path)
    trained(tmp_path, plan, len(plan.runs) - 1)
    RunFolder(tmp_path, plan.runs[-1], plan).finish(Outcome(RunStatus.CRASHED, "no memory"), {})
    assert crossnorm.load(tmp_path).verdict.interval == "bonferroni-t"
    _, record = open_folder(tmp_path, plan, "digest")
    assert record.results_seen
    trained(tmp_path, plan, len(plan.runs))
    assert crossnorm.load(tmp_path).verdict.interval == "sequential"


def test_one_run(tmp_path):
    plan = begun(tmp_path)
    trained(tmp_path, plan, len(plan.runs))
    run = plan.runs[-1]
    own = RunFolder(tmp_path, run)
    result = crossnorm.load(own.path)
    assert ([arm.name for arm in result.table.arms], result.table.seeds) == ([run.arm], (run.seed,))
    np.testing.assert_array_equal(
        result.table.metrics["test_loss"][0, 0], [row["test_loss"] for row in own.read().rows]
    )
    assert not (tmp_path / ".watched").exists()


def test_what_is_no_study_is_refused(tmp_path):
    table = tmp_path / "runs.csv"
    table.write_text("arm,seed,step,loss\n")
    with pytest.raises(BadInput, match=r"runs.csv: a file; .* crossnorm.compare"):
        crossnorm.load(table)
    with pytest.raises(BadInput, match="not the folder of a study"):
        crossnorm.load(tmp_path)
    lost = tmp_path / "runs" / "mine" / "3"
    lost.mkdir(parents=True)
    (lost / "metrics.jsonl").write_text("")
    with pytest.raises(BadInput, match="a run of no study"):
        crossnorm.load(lost)

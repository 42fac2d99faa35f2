"""From stored curves to the table."""

from __future__ import annotations

import numpy as np
import pytest

from crossnorm.study.spec.plan import Run, make_plan
from crossnorm.study.spec.schema import parse_spec
from crossnorm.study.storage.results_table import collect
from crossnorm.study.storage.run_folder import RunFolder
from crossnorm.training.loop.outcome import Outcome, RunStatus


def test_every_stored_number_finds_its_place(tmp_path):
    plan = make_plan(parse_spec({"task": "digits", "alphas": [1], "seeds": [3, 1]}, "s"))
    runs = [run for run in plan.runs if run != Run("convex-1", 1)]
    for i, run in enumerate(runs):
        RunFolder.of(tmp_path, run).rewind()
        for step in (0, 7):
            RunFolder.of(tmp_path, run).append({"step": step, "epoch": step // 7, "test_loss": i + step / 100})
    RunFolder.of(tmp_path, runs[0]).append({"step": 13, "test_loss": None})
    RunFolder.of(tmp_path, runs[1]).finish(Outcome(RunStatus.COMPLETE), {})
    RunFolder.of(tmp_path, runs[2]).finish(Outcome(RunStatus.DIVERGED, "x"), {})
    table = collect(tmp_path, plan, runs)
    assert [arm.name for arm in table.arms] == ["baseline", "convex-1", "attenuated-1"]
    assert (table.seeds, table.steps) == ((3, 1), (0, 7, 13))
    assert sorted(table.metrics) == ["epoch", "test_loss"]
    assert table.status.tolist() == [["missing", "missing"], ["complete", "settled"], ["diverged", "missing"]]
    expected = np.full((3, 2, 3), np.nan)
    for i, (a, s) in enumerate([(0, 0), (1, 0), (2, 0), (0, 1), (2, 1)]):
        expected[a, s, :2] = i, i + 0.07
    np.testing.assert_allclose(table.metrics["test_loss"], expected)
    assert (table.arms[1].control, table.arms[1].alpha, table.arms[1].site) == ("attenuated-1", 1.0, "attention")


@pytest.mark.parametrize(
    ("metric", "values"),
    [("test_loss_auc", [5.0, 3.0]), ("test_loss_steps_to_2.5", [np.nan, 20.0]), ("test_accuracy_auc", [0.25, 0.5])],
)
def test_summaries_of_a_curve_are_metrics(tmp_path, metric, values):
    plan = make_plan(parse_spec({"task": "digits", "alphas": [1], "seeds": 1, "control": False, "metric": metric}, "s"))
    curves = {"baseline": ([6, 5, 4], [0, 0.25, 0.5]), "convex-1": ([4, 3, 2], [0.25, 0.5, 0.75])}
    for run in plan.runs:
        RunFolder.of(tmp_path, run).rewind()
        for i, (loss, accuracy) in enumerate(zip(*curves[run.arm], strict=True)):
            RunFolder.of(tmp_path, run).append({"step": 10 * i, "test_loss": loss, "test_accuracy": accuracy})
        RunFolder.of(tmp_path, run).finish(Outcome(RunStatus.COMPLETE), {})
    table = collect(tmp_path, plan, plan.runs)
    np.testing.assert_allclose(table.final(metric)[:, 0], values)

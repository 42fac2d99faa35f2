"""From stored curves to the table."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest

from crossnorm.api import compare
from crossnorm.errors import BadInput
from crossnorm.stats import metric_words
from crossnorm.study.spec.plan import Run, make_plan
from crossnorm.study.spec.schema import parse_spec
from crossnorm.study.storage.needed_runs import study_verdict
from crossnorm.study.storage.results_table import arm_infos, collect, kept_table, read_runs
from crossnorm.study.storage.run_folder import RunFolder
from crossnorm.study.storage.study_record import Record
from crossnorm.training.loop.outcome import Outcome, RunStatus


def test_every_stored_number_finds_its_place(tmp_path):
    plan = make_plan(parse_spec({"task": "digits", "alphas": [1], "seeds": [3, 1]}, "s"))
    runs = [run for run in plan.runs if run != Run("convex-1", 1)]
    for i, run in enumerate(runs):
        RunFolder(tmp_path, run).rewind()
        for step in (0, 7):
            RunFolder(tmp_path, run).append({"step": step, "epoch": step // 7, "test_loss": i + step / 100})
    RunFolder(tmp_path, runs[0]).append({"step": 13, "test_loss": None})
    RunFolder(tmp_path, runs[1]).finish(Outcome(RunStatus.COMPLETE), {})
    RunFolder(tmp_path, runs[2]).finish(Outcome(RunStatus.DIVERGED, "x"), {})
    table = collect(plan, read_runs(tmp_path, plan, runs))
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
        RunFolder(tmp_path, run).rewind()
        for i, (loss, accuracy) in enumerate(zip(*curves[run.arm], strict=True)):
            RunFolder(tmp_path, run).append({"step": 10 * i, "test_loss": loss, "test_accuracy": accuracy})
        RunFolder(tmp_path, run).finish(Outcome(RunStatus.COMPLETE), {})
    table = collect(plan, read_runs(tmp_path, plan, plan.runs))
    np.testing.assert_allclose(table.final(metric)[:, 0], values)


def stored_function(folder, **fields):
    """A function study of three arms × three seeds that logs `acc` and nothing else; its table and its verdict."""
    base = {"function": "m:train", "direction": "higher", "seeds": 3, "settings": {"width": 8}}
    arms = [
        {"name": "wide", "width": 16, "dose": 1, "control": "sham"},
        {"name": "sham", "loss": 3, "dose": 1},
    ]
    plan = make_plan(parse_spec(base | {"arms": arms} | fields, "s"))
    for run in plan.runs:
        RunFolder(folder, run).rewind()
        for i in range(4):
            gain = {"baseline": 0.0, "wide": 0.02, "sham": 0.01}[run.arm]
            RunFolder(folder, run).append({"step": 10 * i, "acc": i * (0.1 + gain + 0.001 * run.seed**2)})
        RunFolder(folder, run).finish(Outcome(RunStatus.COMPLETE), {})
    record = Record(digest="", environment={})
    table = collect(plan, read_runs(folder, plan, plan.runs))
    return table, study_verdict(plan, record, table)


@pytest.mark.parametrize(
    ("metric", "direction", "means", "words"),
    [
        ("acc", "higher", [0.3, 0.36, 0.33], "acc"),
        ("acc_auc", "higher", [0.15, 0.18, 0.165], "mean acc over training"),
        ("acc_steps_to_0.21", "lower", [30, 20, 20], "steps to target (acc 0.21)"),
    ],
)
def test_a_function_declares_a_summary_of_what_it_logs(tmp_path, metric, direction, means, words):
    table, verdict = stored_function(tmp_path, metric=metric)
    extra = 0.0 if "steps" in metric else 5 / 3 * 0.001 * (3 if metric == "acc" else 1.5)
    assert (verdict.metric, verdict.direction) == (metric, direction)
    assert [table.final(metric)[a].mean() for a in range(3)] == pytest.approx([mean + extra for mean in means])
    assert metric_words(verdict.endpoint) == words
    assert {row.verdict for row in verdict.arms[1:]} == {"better"}


def test_a_column_of_the_name_of_a_summary_is_the_column(tmp_path):
    plan = make_plan(parse_spec({"function": "m:train", "metric": "val_auc", "direction": "higher", "seeds": 1}, "s"))
    for run in plan.runs:
        RunFolder(tmp_path, run).rewind()
        RunFolder(tmp_path, run).append({"step": 1, "val": 5.0, "val_auc": 0.5})
        RunFolder(tmp_path, run).append({"step": 2, "val": 4.0, "val_auc": 0.75})
        RunFolder(tmp_path, run).finish(Outcome(RunStatus.COMPLETE), {})
    table = collect(plan, read_runs(tmp_path, plan, plan.runs))
    assert set(table.final("val_auc").flat) == {0.75}
    assert study_verdict(plan, Record(digest="", environment={}), table).endpoint.summary == "last"


def test_arms_of_a_function_keep_their_names(tmp_path):
    table, verdict = stored_function(tmp_path, metric="acc")
    assert [arm.variant for arm in table.arms] == [None, "wide", "sham"]
    assert verdict.answer.sentence.startswith(
        "wide against its control sham, trend from dose 0 to 1: acc 0.0300 higher"
    )
    assert "Scope: m:train, these 3 seeds and " in verdict.answer.sentence


def test_a_data_frame_has_the_settings_of_the_arms(tmp_path):
    table, _ = stored_function(tmp_path, metric="acc")
    frame = table.to_pandas()
    about = ["arm", "variant", "dose", "site", "control", "seed", "status", "step"]
    assert list(frame.columns) == [*about, "width", "loss", "acc"]
    assert len(frame) == 3 * 3 * 4
    last = frame[(frame.step == 30) & (frame.seed == 2)].set_index("arm")
    assert last.width.to_dict() == {"baseline": 8, "wide": 16, "sham": 8}
    assert last.acc.to_dict() == pytest.approx({"baseline": 0.312, "wide": 0.372, "sham": 0.342})
    clash = replace(table, metrics={"loss": table.metrics["acc"]}).to_pandas()
    assert list(clash.columns) == [*about, "width", "setting.loss", "loss"]
    recipes = {"task": "digits", "alphas": [0], "arms": [{"name": "slow", "lr": 0.001}], "recipe": {"lr": 0.01}}
    settings = [dict(arm.settings) for arm in arm_infos(make_plan(parse_spec(recipes, "s")))]
    assert settings == [{"lr": 0.01}, {"lr": 0.001}]


def test_without_pandas_the_error_says_so(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(BadInput, match=r"pandas is not installed .* Install it with: pip install pandas\."):
        stored_function(tmp_path, metric="acc")[0].to_pandas()


def test_names_of_a_kept_table_come_back_as_they_are(tmp_path):
    names = ["=1+1", "-0.5", "'=x", "@a"]
    fields = {"function": "m:f", "metric": "loss", "direction": "lower", "arms": [{"name": n} for n in names]}
    plan = make_plan(parse_spec(fields | {"seeds": 3}, "x"))
    records = [
        {"arm": arm.name, "seed": seed, "step": 0, "loss": 1.0 + seed} for arm in plan.arms for seed in plan.seeds
    ]
    compare(records, metric="loss", direction="lower").save(tmp_path)
    table = kept_table(tmp_path / "table.csv", plan)
    assert [arm.name for arm in table.arms][1:] == names
    assert (table.status == "complete").all()

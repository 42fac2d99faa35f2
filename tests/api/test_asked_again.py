"""Stored runs asked another question: marked as chosen after the runs, beside the declared answer."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from crossnorm.api import ask_again, compare, load
from crossnorm.cli import app
from crossnorm.study.spec.plan import Run
from tests.api.stored_studies import OF_A_FUNCTION, begun, logged, trained

REMARK = "This question was chosen after the runs; the study declares test loss, lower is better, margin 0.05."


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A finished study of the metric test_loss with its declared answer."""
    plan = begun(tmp_path / "stored")
    trained(tmp_path / "stored", plan, len(plan.runs))
    assert reported(tmp_path / "stored").exit_code == 0
    return tmp_path / "stored"


def reported(*arguments: object):
    return CliRunner().invoke(app, ["report", *map(str, arguments)])


def answer(folder: Path, name: str, *more: object) -> dict[str, object]:
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    done = reported(folder, *more)
    assert done.exit_code == 0, done.output
    assert {path: path.read_bytes() for path in before} == before
    return json.loads((folder / name / "verdict.json").read_text(encoding="utf-8"))  # type: ignore[no-any-return]


def test_another_metric(folder: Path) -> None:
    found = answer(folder, "report-test_accuracy-margin-0.01", "--metric", "test_accuracy", "--margin", "0.01")
    declared = json.loads((folder / "verdict.json").read_text(encoding="utf-8"))
    assert (found["metric"], found["direction"], found["margin"]) == ("test_accuracy", "higher", 0.01)
    assert found["arms"][1]["difference"] == pytest.approx(-declared["arms"][1]["difference"] / 4)
    assert REMARK in found["answer"]["sentence"]
    assert "chosen after" not in declared["answer"]["sentence"]
    page = (folder / "report-test_accuracy-margin-0.01" / "report.html").read_text(encoding="utf-8")
    assert REMARK.split(";")[0] in page
    command = "crossnorm plot study.yaml --out repeated &amp;&amp; crossnorm report repeated --metric test_accuracy"
    assert f"{command} --margin 0.01</code>" in page


def test_another_margin_of_the_declared_metric(folder: Path) -> None:
    found = answer(folder, "report-test_loss-margin-0.3", "--margin", "0.3")
    assert (found["margin"], found["metric"]) == (0.3, "test_loss")
    assert REMARK in found["answer"]["sentence"]


def test_the_declared_question_is_the_declared_answer(folder: Path) -> None:
    options = ["--metric", "test_loss", "--direction", "lower", "--margin", "0.05"]
    answer(folder, ".", *options)
    assert not (folder / "report-test_loss").exists()


def test_summaries_of_curves(folder: Path) -> None:
    found = answer(folder, "report-test_loss_auc", "--metric", "test_loss_auc")
    assert found["answer"]["sentence"].count("mean test loss over training") == 1
    assert found["margin"] is None
    rows = [json.loads(line) for line in (folder / "runs/baseline/0/metrics.jsonl").read_text().splitlines()]
    steps, losses = [row["step"] for row in rows], [row["test_loss"] for row in rows]
    means = [np.trapezoid(losses, steps) / 39] if hasattr(np, "trapezoid") else [np.trapz(losses, steps) / 39]
    seeds = [means[0] + shift for shift in _shifts()]
    assert found["arms"][0]["mean"] == pytest.approx(np.mean(seeds))
    steps_to = answer(folder, "report-test_loss_steps_to_1.5", "--metric", "test_loss_steps_to_1.5")
    assert (steps_to["direction"], steps_to["arms"][0]["mean"]) == ("lower", 13.0)


def _shifts() -> list[float]:
    """What the baseline's losses of each seed are above those of seed 0, by the formula of `trained`."""
    runs = [5 * seed for seed in range(5)]  # five arms, seed by seed
    return [0.01 * ((7 * k) % 11) + 0.05 * seed for seed, k in enumerate(runs)]


def test_another_folder_for_the_answer(folder: Path, tmp_path: Path) -> None:
    done = reported(folder, "--metric", "test_accuracy", "--out", tmp_path / "here")
    assert done.exit_code == 0, done.output
    assert (tmp_path / "here" / "verdict.json").exists()
    assert not (folder / "report-test_accuracy").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--metric", "loss"], "metric: expected one of"),
        (["--metric", "epoch"], "direction: expected lower or higher, got none. Say which epoch is better."),
        (["--metric", "test_accuracy", "--direction", "lower"], "direction: expected higher for test_accuracy"),
        (["--metric", "test_loss_steps_to_9"], "every run has reached the target at its first evaluation"),
        (["--metric", "test_accuracy", "--margin", "much"], "margin: expected a number"),
        (["--baseline", "convex-1"], "--baseline requires --from"),
    ],
)
def test_what_cannot_be_asked(folder: Path, options: list[str], message: str) -> None:
    before = sorted(folder.rglob("*"))
    done = reported(folder, *options)
    assert (done.exit_code, done.stdout) == (2, "")
    assert message in " ".join(done.stderr.split())
    assert sorted(folder.rglob("*")) == before


def _fails_late(run: Run, step: int) -> dict[str, float]:
    """Loss as in the baseline; accuracy and perplexity are good at first, and not finite from step 2 on."""
    dosed, noise = run.arm != "baseline", 0.01 * ((7 * run.seed + step) % 5)
    failed = dosed and step > 1
    accuracy = np.nan if failed else 0.5 + 0.4 * dosed + noise
    perplexity = np.inf if failed else 9 - 5 * dosed + noise
    return {"loss": 1 + noise + 0.001 * dosed * run.seed, "accuracy": accuracy, "perplexity": perplexity}


@pytest.mark.parametrize(
    ("metric", "direction"),
    [
        ("accuracy", "higher"),
        ("perplexity", "lower"),
        ("perplexity_auc", "lower"),
        ("accuracy_auc", "higher"),
        ("accuracy_steps_to_0.8", "higher"),
    ],
)
def test_a_metric_that_is_not_finite_at_the_end_is_a_divergence(tmp_path: Path, metric: str, direction: str) -> None:
    folder = tmp_path / "of-a-function"
    plan = begun(folder, **OF_A_FUNCTION, arms=[{"name": "w-1", "dose": 1}])
    logged(folder, plan, _fails_late)
    found = ask_again(folder, metric=metric, direction=direction)[0].verdict
    rows = [
        {"arm": run.arm, "seed": run.seed, "step": step, "dose": float(run.arm != "baseline")} | _fails_late(run, step)
        for run in plan.runs
        for step in (1, 2, 3)
    ]
    expected = compare(rows, metric=metric, direction=direction).verdict
    assert "5 runs of w diverged against 0 of baseline" in found.answer.sentence
    assert (found.answer.verdict, found.n_pairs) == (expected.answer.verdict, expected.n_pairs)
    assert [row.diverged for row in found.arms] == [0, 5]
    assert [row.diverged for row in load(folder).verdict.arms] == [0, 0]
    load(folder).save(folder)
    told = {"metric": metric, "direction": direction}
    assert compare(folder / "table.csv", **told).verdict.answer.verdict == expected.answer.verdict

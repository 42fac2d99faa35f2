"""The audit: chance settings do what they say, bits are compared, A/A arms judged, faults end with exit code 1."""

from __future__ import annotations

import io
import json
import math
import os
import shutil
from dataclasses import replace
from importlib.metadata import version

import numpy as np
import pytest
import torch
from rich.console import Console
from typer.testing import CliRunner

from crossnorm.api import Study, read_result
from crossnorm.api import _audit as audits
from crossnorm.cli import app
from crossnorm.errors import BadInput
from crossnorm.report.terminal.audit_summary import audit_summary
from crossnorm.stats import FalseRate
from crossnorm.study.audit.aa_arms import AaKind, Audit, audit_kinds, audit_study
from crossnorm.study.audit.reproducibility import Repeat, _environment_changes, _largest_dose, repeat_runs, same_rows
from crossnorm.study.spec.plan import Cohort, Run, make_plan
from crossnorm.study.spec.schema import parse_spec
from crossnorm.study.storage.environment import describe_environment
from crossnorm.study.storage.run_folder import RunFolder
from crossnorm.study.storage.study_record import read_folder
from crossnorm.study.workload.build_model import build_model
from crossnorm.study.workload.cohort_run import run_cohort
from crossnorm.study.workload.validate import load_study_task
from crossnorm.training.loop.outcome import Outcome, RunStatus
from tests.study.study_cases import TINY

AA = {
    "variants": [],
    "arms": [{"name": "own dropout", "nuisance": 1}, {"name": "other seeds", "seed_offset": 1000}],
    "seeds": 7,
    "recipe": {"name": "quick", "batch_size": 31, "lr": 0.05},
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A tiny A/A study with seven seeds, trained in this process."""
    folder = tmp_path_factory.mktemp("aa") / "out"
    Study(**(TINY | AA)).run(folder, workers=1, device="cpu", progress=False)
    return folder


@pytest.fixture
def copied(trained, tmp_path):
    shutil.copytree(trained, tmp_path / "out")
    return tmp_path / "out"


def curve(folder, arm, seed):
    return [{k: v for k, v in row.items() if k != "seconds"} for row in RunFolder(folder, Run(arm, seed)).read().rows]


def test_own_dropout_changes_dropout_only(trained):
    mine, theirs = curve(trained, "own dropout", 3), curve(trained, "baseline", 3)
    assert mine[0] == theirs[0]  # one initialisation
    assert [row["test_loss"] for row in mine[1:]] != [row["test_loss"] for row in theirs[1:]]


def test_own_dropout_changes_nothing_where_nothing_is_dropped(tmp_path):
    model = {"embedding_dim": 8, "num_layers": 1, "attention_dropout": 0.0, "stochastic_depth": 0.0}
    spec = parse_spec(TINY | AA | {"model": model}, "tiny")
    plan, task, cpu = make_plan(spec), load_study_task(spec), torch.device("cpu")
    run_cohort(plan, Cohort(3, ("baseline", "own dropout")), task, tmp_path, cpu, lambda event: None)
    assert curve(tmp_path, "own dropout", 3) == curve(tmp_path, "baseline", 3)
    assert len(curve(tmp_path, "baseline", 3)) == 3


def test_other_seeds_are_the_baseline_of_those_seeds(trained, tmp_path):
    plan, _ = read_folder(trained)
    run_cohort(
        plan,
        Cohort(1003, ("baseline",)),
        load_study_task(plan.spec),
        tmp_path,
        torch.device("cpu"),
        lambda event: None,
    )
    assert curve(trained, "other seeds", 3) == curve(tmp_path, "baseline", 1003)
    assert curve(trained, "other seeds", 3)[0] != curve(trained, "baseline", 3)[0]


def baseline_of(folder):
    """The folder's study without its further arms, which are as many processes less."""
    plan, record = read_folder(folder)
    return replace(plan, arms=plan.arms[:1]), record


def nudge(folder, arm, seed):
    """Move the last stored test loss to the next number there is."""
    rows = RunFolder(folder, Run(arm, seed)).read().rows
    rows[-1]["test_loss"] = math.nextafter(rows[-1]["test_loss"], math.inf)
    reseal(folder, arm, seed, rows)


def reseal(folder, arm, seed, rows):
    """Give a run other rows, and seal them as crossnorm does."""
    own = RunFolder(folder, Run(arm, seed), read_folder(folder)[0])
    result = own.read().result
    own.rewind()
    for row in rows:
        own.append(row)
    own.finish(Outcome(RunStatus.COMPLETE), {key: result[key] for key in ("step", "seconds", "device", "threads")})


def test_training_that_draws_on_the_process_is_noticed(copied, tmp_path, monkeypatch):
    """A module that makes every process train a little differently."""
    source = """
        import os
        from crossnorm.training.loop import run_state as member
        rate = member.learning_rate
        member.learning_rate = lambda *a: rate(*a) * (1 + os.getpid() * 1e-6)
    """
    (tmp_path / "unsteady.py").write_text("\n".join(line.strip() for line in source.splitlines()))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    (found,) = repeat_runs(copied, *baseline_of(copied), imports=["unsteady"])
    assert found.holds is False
    assert found.difference.startswith("test_loss at step 2") or found.difference.startswith("train_loss at step 2")


def test_other_data_are_refused(copied):
    plan, record = read_folder(copied)
    with pytest.raises(BadInput, match="the data changed since the study started"):
        repeat_runs(copied, plan, replace(record, digest="0"))


def test_long_runs_are_repeated_for_a_minute(copied):
    rows = RunFolder(copied, Run("baseline", 0)).read().rows
    reseal(copied, "baseline", 0, [row | {"seconds": 50.0 * i} for i, row in enumerate(rows)])
    (found,) = repeat_runs(copied, *baseline_of(copied))
    assert (found.evaluations, found.holds) == (2, True)


def test_both_kinds_are_judged(trained):
    result, (plan, _) = read_result(trained), read_folder(trained)
    paired, apart = audit_kinds(plan, result.table, result.verdict)
    assert (paired.kind, list(paired.verdicts), paired.rate.runs) == ("nuisance", ["own dropout"], 14)
    assert (apart.kind, list(apart.verdicts), apart.rate.runs, apart.rate.disjoint) == ("seeds", ["other seeds"], 14, 2)
    values = result.table.final("test_loss")
    assert paired.scatter.sd == pytest.approx((values[1] - values[0]).std(ddof=1))
    assert apart.scatter.correlation == pytest.approx(np.corrcoef(values[0], values[2])[0, 1])


def test_arms_on_the_same_other_seeds_are_one_pool_of_runs(trained):
    result, (plan, _) = read_result(trained), read_folder(trained)
    twice = replace(plan, arms=(plan.arms[0], replace(plan.arms[2], name="own dropout"), plan.arms[2]))
    (apart,) = audit_kinds(twice, result.table, result.verdict)
    assert (len(apart.verdicts), apart.rate.runs) == (2, 14)


def test_a_study_without_such_arms_has_the_seeds_of_its_baseline(trained):
    result, (plan, _) = read_result(trained), baseline_of(trained)
    (only,) = audit_kinds(plan, result.table, result.verdict)
    assert (only.kind, only.verdicts, only.rate.runs, only.rate.disjoint) == ("baseline", {}, 7, 1)


def audited(**changes):
    fields = {"study": "s", "metric": "test_loss", "confidence": 0.95, "seeds": 7, "repeats": (), "kinds": ()}
    return Audit(**(fields | changes))


def kind(word="undecided", low=0.0):
    rate = FalseRate(runs=30, pairs=3, disjoint=5, rate=0.5, low=low, high=1.0)
    return AaKind(kind="seeds", verdicts={"a": word}, scatter=None, rate=rate)


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"kinds": (kind("better"),)}, "a, an A/A arm, has the verdict better"),
        ({"kinds": (kind("worse"),)}, "has the verdict worse"),
        ({"kinds": (kind(low=0.06),)}, "at least 6.0 %, nominal 5 %"),
        ({"repeats": (Repeat(arm="a", seed=3, evaluations=2, difference="x was 1 and is 2"),)}, "a, seed 3: x was 1"),
    ],
)
def test_faults_are_named(changes, fault):
    found = audited(**changes)
    assert fault in found.faults[0]
    assert not found.passed
    assert found.to_dict()["faults"] == list(found.faults)


def test_what_is_no_fault():
    assert _environment_changes({**describe_environment(), "torch": "1", "cores": "97"}) == (
        f"torch 1 → {version('torch')}",
    )
    elsewhere = Repeat(arm="a", seed=3, evaluations=2, difference="x", elsewhere=("torch 1 → 2",))
    assert elsewhere.holds is None
    assert audited(repeats=(elsewhere,), kinds=(kind("same"), kind(low=0.05))).passed


def summary(**changes):
    console = Console(width=200, file=io.StringIO())
    console.print(audit_summary(audited(**changes)))
    return " ".join(console.file.getvalue().replace("│", " ").split())


def test_nothing_is_said_of_what_was_not_measured():
    few = replace(kind(), kind="baseline", rate=FalseRate(runs=4, pairs=3, disjoint=0))
    same = Repeat(arm="convex-1", seed=3, evaluations=2, difference=None)
    said = summary(repeats=(same,), kinds=(few,))
    assert "Not everything was checked. Trained again and bit-identical: convex-1 (seed 3)." in said
    assert "not estimated, because there are too few runs" in said
    for praise in ("Audit passed", "within", "nominal level"):
        assert praise not in said
    said = summary(repeats=(same,), kinds=(kind("same", low=0.01),))
    assert "Audit passed" in said
    assert "50.0 %, with 95 % confidence at most 100 %; nominally 5 %." in said


def test_the_baseline_a_variant_and_the_last_arm_are_repeated():
    fields = TINY | {"alphas": [0, 0.5, 1], "variants": ["convex", "matched"], "arms": [{"name": "slow", "lr": 0.001}]}
    plan = make_plan(parse_spec(fields, "tiny"))
    names = {arm.name for arm in plan.arms}
    assert _largest_dose(plan, names) == ["convex-1"]
    assert _largest_dose(plan, names - {"convex-1"}) == ["convex-0.5"]
    assert _largest_dose(replace(plan, arms=plan.arms[:1]), names) == []


def test_rows_are_compared_but_for_their_times():
    row = {"step": 2, "seconds": 1.0, "test_loss": 0.5}
    assert same_rows([row], [row | {"seconds": 2.0}]) is None
    assert "test_loss at step 2 was 0.5 and is 0.25" in same_rows([row], [row | {"test_loss": 0.25}])
    assert "test_accuracy" in same_rows([row], [row | {"test_accuracy": 1.0}])
    assert "2 evaluations were stored and 1" in same_rows([row, row], [row])


def command(*arguments):
    """The command in this process: exit code, and its output as one line."""
    done = CliRunner().invoke(app, ["audit", *map(str, arguments)])
    return done.exit_code, " ".join(done.output.replace("│", " ").split())


def test_one_bit_that_differs_ends_the_command_with_1(copied):
    nudge(copied, "other seeds", 0)
    code, said = command(copied)
    assert code == 1, said
    assert "baseline, seed 0: bit-identical at all 3 evaluations" in said
    assert "other seeds, seed 0: DIFFERS, test_loss at step 4" in said
    stored = json.loads((copied / "audit.json").read_text())
    assert (stored["passed"], [r["holds"] for r in stored["repeats"]]) == (False, [True, False])
    assert stored["kinds"][1]["rate"]["runs"] == 14


def test_an_edited_curve_is_a_fault_and_no_part_of_the_rates(copied):
    path = RunFolder(copied, Run("other seeds", 1)).curve
    path.write_bytes(path.read_bytes() + b'{"step": 4, "test_loss": 0.0}\n')
    code, said = command(copied)
    assert code == 1, said
    assert "other seeds, seed 1 (the learning curve is not the one that result.json was written for)" in said
    stored = json.loads((copied / "audit.json").read_text())
    assert (stored["passed"], len(stored["lost"])) == (False, 1)
    assert stored["kinds"][1]["rate"]["runs"] == 13


@pytest.mark.slow
def test_without_a_folder_an_aa_study_is_trained(tmp_path, monkeypatch):
    """The default study, made small: the command's own path but for its size."""
    fields = {key: TINY[key] for key in ("train_examples", "epochs", "model")} | {"seeds": [0, 1, 2]}
    small = audit_study().model_copy(update=fields)
    monkeypatch.setattr(audits, "audit_study", lambda: small)
    code, said = command("--out", tmp_path / "found", "--workers", 1)
    assert code == 0, said
    assert said.count("bit-identical at all 3 evaluations") == 2
    assert "Audit passed" in said
    stored = json.loads((tmp_path / "found" / "audit.json").read_text())
    assert ([k["kind"] for k in stored["kinds"]], stored["seeds"], stored["passed"]) == (["nuisance", "seeds"], 3, True)


def test_a_folder_without_a_study_is_refused(tmp_path):
    code, said = command(tmp_path)
    assert code == 2
    assert "no study.yaml" in said
    assert list(tmp_path.iterdir()) == []


def test_the_model_of_an_arm_is_drawn_at_its_own_seed(trained):
    plan, _ = read_folder(trained)
    task = load_study_task(plan.spec)
    a, b = (build_model(plan.arms[0], plan.spec.model, task, seed).state_dict() for seed in (3, 1003))
    assert any(not torch.equal(a[key], b[key]) for key in a)

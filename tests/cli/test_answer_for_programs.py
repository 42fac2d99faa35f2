"""`--json` and `--expect`: what a program reads, and the exit codes that it relies on."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from crossnorm.cli import app
from crossnorm.study.storage.run_folder import RunFolder
from crossnorm.training.loop.outcome import Outcome, RunStatus
from tests.api.stored_studies import begun, trained


def run(*arguments):
    return CliRunner().invoke(app, list(map(str, arguments)))


@pytest.fixture
def stored(tmp_path):
    """Five pairs; losses differ by at most 0.1 between a variant and its control, and the margin is 0.5."""
    plan = begun(tmp_path / "stored", margin=0.5)
    trained(tmp_path / "stored", plan, len(plan.runs))
    return tmp_path / "stored"


def test_json_is_the_verdict_and_nothing_else(stored):
    done = run("report", stored, "--json")
    assert done.exit_code == 0
    assert done.stdout == (stored / "verdict.json").read_text(encoding="utf-8")
    assert json.loads(done.stdout)["answer"]["verdict"] == "same"


@pytest.mark.parametrize(("words", "code"), [("same", 0), ("better,same", 0), ("better", 3), ("worse,undecided", 3)])
def test_an_unexpected_answer_has_an_exit_code_of_its_own(stored, words, code):
    done = run("report", stored, "--expect", words)
    assert done.exit_code == code
    assert (stored / "report.html").exists()
    expected = f"crossnorm: expected {words.replace(',', ' or ')}; the answer is same.\n"
    assert done.stderr == (expected if code else "")


def test_crashed_runs_come_first(stored):
    plan = begun(stored, margin=0.5)
    RunFolder(stored, plan.runs[-1], plan).finish(Outcome(RunStatus.CRASHED, "out of memory"), {})
    assert run("report", stored, "--expect", "better").exit_code == 1


@pytest.mark.parametrize("command", ["report {}", "plot {}", "plot no-such-study"])
def test_a_word_that_is_none_is_refused_first(stored, command):
    done = run(*command.format(stored).split(), "--expect", "good")
    assert done.exit_code == 2
    assert done.stderr == "crossnorm: --expect: expected one of better, same, undecided, worse, got 'good'.\n"
    assert not (stored / "verdict.json").exists()


def test_a_table_without_a_declared_comparison(tmp_path):
    table = tmp_path / "runs.csv"
    rows = [f"{arm},{seed},7,{seed + bonus}" for seed in range(3) for arm, bonus in (("a", 0), ("b", 1), ("c", 2))]
    table.write_text("\n".join(["arm,seed,step,loss", *rows]))
    options = ["--metric", "loss", "--direction", "lower", "--out", tmp_path / "r"]
    done = run("report", "--from", table, *options, "--expect", "same", "--json")
    assert json.loads(done.stdout)["answer"]["verdict"] is None
    assert done.exit_code == 3
    assert done.stderr == "crossnorm: expected same; there is no single declared comparison.\n"


def test_lists_are_json(tmp_path):
    rows = json.loads(run("list", "variants", "--json").stdout)
    assert {"name": "convex", "control": "attenuated"}.items() <= rows[0].items()
    done = run("list", "tasks", "--import", "math")
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr == "crossnorm: list tasks: --import applies to list variants only.\n"


def test_functions_of_a_module_are_listed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = 'def mild(value, *, alpha, visible):\n    """Half of it."""\n\ndef helper(value):\n    """No variant."""\n'
    (tmp_path / "listed_module.py").write_text(text)
    shown = run("list", "variants", "--import", "listed_module").stdout.splitlines()
    assert shown[-1].split() == ["listed_module:mild", "Half", "of", "it."]
    assert not any("helper" in line for line in shown)


def test_what_the_users_module_prints_is_not_in_the_document(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "talkative_module.py").write_text('print("hello from import")\n')
    done = run("list", "variants", "--json", "--import", "talkative_module")
    assert json.loads(done.stdout)
    assert "hello from import" in done.stderr

"""The attack finds what is planted, and its table counts it."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from types import SimpleNamespace

import pytest

from tests.repository import IS_CHECKOUT, ROOT

pytestmark = [
    pytest.mark.skipif(not IS_CHECKOUT, reason="the sdist has no benchmarks"),
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc"),
]
if IS_CHECKOUT:
    from benchmarks.attack import input_files, model_files, page, tampering
    from benchmarks.attack.arena import Arena, Tools, Trial, conduct
    from benchmarks.attack.studies import half_written
    from benchmarks.attack.table import write_table


class Planted:
    """In place of the fork server: a command that does what it is told."""

    def __init__(self, act):
        self.act = act

    def run(self, *, err, argv, **request):
        return self.act(argv, err)


@pytest.fixture
def found(tmp_path):
    def of(act, **judged):
        network = SimpleNamespace(calls=0, address="http://127.0.0.1:1")
        tools = Tools(tmp_path, Planted(lambda argv, err: act(arenas[-1], err)), network)
        arenas = []

        def trial(arena: Arena):
            arenas.append(arena)
            arena.run("anything", **judged)

        findings, _ = conduct(tools, Trial("planted", trial))
        return [(finding["what"], finding["detail"]) for finding in findings]

    return of


def write(path, text):
    with open(path, "a") as file:  # noqa: PTH123
        file.write(text)


@pytest.mark.parametrize(
    ("act", "expected"),
    [
        (lambda arena, err: 0, []),
        (lambda arena, err: write(err, "crossnorm: no such study") or 2, []),
        (lambda arena, err: None, [("hang", "")]),
        (lambda arena, err: -9, [("exit code", "-9")]),
        (lambda arena, err: 2, [("no message", "")]),
        (
            lambda arena, err: write(err, "Traceback (most recent call last):\nKeyError: 'x'\n") or 1,
            [("traceback", "KeyError: 'x'")],
        ),
        (lambda arena, err: (arena.marks / "yaml").touch() or 0, [("code run", "yaml")]),
        (lambda arena, err: write(arena.outside / "canary.txt", "x") or 0, [("file touched", "outside/canary.txt")]),
        (lambda arena, err: (arena.home / "notes.txt").unlink() or 0, [("file touched", "home/notes.txt")]),
        (lambda arena, err: (arena.work / "stray").mkdir() or 0, [("file touched", "work/stray")]),
        (lambda arena, err: arena.out.mkdir() or 0, []),
        (lambda arena, err: setattr(arena.tools.network, "calls", 2) or 0, [("network", "2 connections")]),
    ],
)
def test_what_is_planted_is_found(found, act, expected):
    assert found(act) == expected


def test_waiting_may_be_expected(found):
    assert found(lambda arena, err: None, patient=True) == []


def test_an_answer_of_two_states(tmp_path):
    verdict = {"metric": "loss", "complete": True, "arms": [{"arm": "a", "n": 2, "mean": 1.5}]}
    (tmp_path / "verdict.json").write_text(json.dumps(verdict))
    (tmp_path / "table.csv").write_text("arm,seed,step,loss\na,0,0,9\na,0,1,1\na,1,1,2\n")
    assert half_written(tmp_path) == ""
    (tmp_path / "table.csv").write_text("arm,seed,step,loss\na,0,0,9\na,0,1,1\na,1,1,3\n")
    assert half_written(tmp_path) == "table.csv and verdict.json differ in the mean of a"
    (tmp_path / "verdict.json").write_text('{"metric": "lo')
    assert half_written(tmp_path).startswith("verdict.json")


def test_names_are_unique():
    inputs = [*input_files.trials(), *model_files.trials()]
    for trials in (tampering.trials(random.Random(0)), page.trials(random.Random(0)), inputs):
        names = [trial.name for trial in trials]
        assert len(names) == len(set(names)) > 10


def test_the_table_counts(tmp_path):
    finding = {"what": "hang", "detail": "", "command": "plan x", "exit": None, "stderr": []}
    entries = [
        {"family": "inputs", "trial": "a", "seconds": 60, "counts": {}, "findings": []},
        {"family": "inputs", "trial": "b", "seconds": 30, "counts": {"kills": 2}, "findings": [finding, finding]},
    ]
    write_table(tmp_path, entries, seed=3)
    stored = json.loads((tmp_path / "attack.json").read_text())
    assert stored["families"]["inputs"] == {
        **{"trials": 2, "trials_with_findings": 1, "minutes": 1.5},
        **{"findings": {"hang": 2}, "counts": {"kills": 2}},
    }
    assert [finding["trial"] for finding in stored["findings"]] == ["b", "b"]
    assert "| inputs | 2 | 1.5 | 1 | 2 |" in (tmp_path / "README.md").read_text()


@pytest.mark.slow
def test_trials_of_the_command(tmp_path):
    command = (sys.executable, "-m", "benchmarks.attack", "--of", "environments", "--out", str(tmp_path))
    done = subprocess.run((*command, "--only", "list, stdin closed"), cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (line,) = (tmp_path / "trials.jsonl").read_text().splitlines()
    assert json.loads(line)["findings"] == []

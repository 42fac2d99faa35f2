"""Learning curves to trackers and back."""

from __future__ import annotations

import json
import sqlite3
import struct
import sys
import time
from contextlib import closing
from contextvars import ContextVar
from types import SimpleNamespace

import pytest

from crossnorm.api import compare
from crossnorm.errors import BadInput
from crossnorm.study.events import Evaluated, Finished
from crossnorm.study.monitoring.trackers import open_tracker, read_event_log, tracked
from crossnorm.study.spec.plan import Run
from crossnorm.study.storage.run_folder import RunFolder
from crossnorm.training.loop.outcome import Outcome, RunStatus
from tests.study.study_cases import crossnorm

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def evaluated(run, step, **metrics):
    return Evaluated(run, {"step": step, **metrics})


def tell(tracker, *events):
    heard = []
    listen = tracked(lambda number, event: heard.append(event), [tracker])
    for event in events:
        listen(0, event)
    assert heard == list(events)


@pytest.fixture
def logs(tmp_path):
    """Two arms × three seeds of event files, as a study with --track tensorboard writes them."""
    pytest.importorskip("tensorboard")
    tracker = open_tracker("tensorboard", tmp_path, "s")
    for arm, gain in (("baseline", 0.0), ("convex-0.5", 0.25)):
        for seed in range(3):
            run = Run(arm, seed)
            rows = [evaluated(run, 5 * k, loss=2.0**-k + gain + seed, seconds=None) for k in range(4)]
            tell(tracker, *rows, Finished(run, Outcome(RunStatus.COMPLETE)))
    tracker.close()
    return tmp_path / "runs"


def test_what_is_tracked_is_read_back(logs):
    rows = read_event_log(logs)
    assert len(rows) == 2 * 3 * 4
    assert rows[-1] == {"arm": "convex-0.5", "seed": 2, "step": 15, "loss": 2.375}
    result = compare(logs, metric="loss", direction="lower")
    assert result.verdict.arms[1].difference == pytest.approx(0.25)
    (file,) = (logs / "baseline" / "1").iterdir()
    assert {(row["arm"], row["seed"]) for row in read_event_log(file)} == {("baseline", 1)}


def test_a_resumed_run_takes_back_what_came_after(logs):
    time.sleep(1.1)  # files are read in the order of the second that stands in their names
    run = Run("baseline", 0)
    tracker = open_tracker("tensorboard", logs.parent, "s")
    tell(tracker, evaluated(run, 10, loss=7.0), evaluated(run, 20, loss=8.0))
    tracker.close()
    rows = [row for row in read_event_log(logs) if (row["arm"], row["seed"]) == ("baseline", 0)]
    assert [(row["step"], row["loss"]) for row in rows] == [(0, 1.0), (5, 0.5), (10, 7.0), (20, 8.0)]


@pytest.mark.parametrize(
    ("path", "arm", "seed"),
    [("a/3", "a", 3), ("x/convex-0.5/seed_11", "x/convex-0.5", 11), ("big-seed3", "big", 3), ("a b_7", "a b", 7)],
)
def test_arm_and_seed_stand_in_the_path(tmp_path, path, arm, seed):
    writers = pytest.importorskip("torch.utils.tensorboard")
    with writers.SummaryWriter(str(tmp_path / path)) as writer:
        writer.add_scalar("eval/loss", 0.5, 1)
    assert read_event_log(tmp_path) == [{"arm": arm, "seed": seed, "step": 1, "eval/loss": 0.5}]


def test_event_files_that_say_too_little_are_refused(tmp_path):
    writers = pytest.importorskip("torch.utils.tensorboard")
    with pytest.raises(BadInput, match="no event files"):
        read_event_log(tmp_path)
    with writers.SummaryWriter(str(tmp_path / "mine")) as writer:
        writer.add_scalar("loss", 0.5, 1)
    with pytest.raises(BadInput, match="arm and seed, such as"):
        read_event_log(tmp_path)
    next((tmp_path / "mine").iterdir()).write_bytes(b"no events at all" * 9)
    with pytest.raises(BadInput, match="arm and seed"):
        read_event_log(tmp_path)


def test_unknown_and_missing_trackers_are_named(tmp_path, monkeypatch):
    with pytest.raises(BadInput, match="Did you mean 'tensorboard'"):
        open_tracker("tensorbord", tmp_path, "s")
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(BadInput, match="pip install"):
        open_tracker("wandb", tmp_path, "s")


class Refusal(Exception):
    """Stands for the client's own error."""


def stand_in(calls):
    """A client that notes what it is asked; which of it the real one understands, the offline test says."""

    def init(**settings):
        if settings["group"] == "refused":
            raise Refusal("No API key configured.")
        calls.append(settings)
        return SimpleNamespace(log=lambda row, step: calls.append((step, row)), finish=lambda: calls.append("end"))

    return SimpleNamespace(init=init, Error=Refusal)


def test_wandb_gets_a_run_for_every_run(tmp_path, monkeypatch):
    calls = []
    monkeypatch.setitem(sys.modules, "wandb", stand_in(calls))
    tracker, run = open_tracker("wandb", tmp_path, "my/study: 50 %"), Run("convex-1" + 200 * "x", 4)
    tell(tracker, evaluated(run, 0, loss=1.5), evaluated(run, 3, loss=1.0))
    tracker.close()
    settings, *rest = calls
    assert rest == [(0, {"loss": 1.5}), (3, {"loss": 1.0}), "end"]
    assert (settings["project"], settings["group"], settings["resume"]) == ("my-study- 50 -", run.arm, "allow")
    assert settings["id"].isalnum()
    assert len(settings["name"]) == 128


def test_what_wandb_refuses_is_bad_input(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", stand_in([]))
    tracker = open_tracker("wandb", tmp_path, "study")
    with pytest.raises(BadInput, match=r"cannot open a run: No API key configured\. .*WANDB_MODE=offline"):
        tracker.evaluated(Run("refused", 0), {"step": 0, "loss": 1.0})


MINE = """
import torch

def train(run):
    for step in (0, 5, 7):
        value = torch.rand(()) + run.dose
        run.log(step, loss=value)
        run.log(step, half=value / 2)
"""


def records(data):
    """The records of an offline run's file, in LevelDB's log format behind a header of 7 bytes.

    Blocks of 32 KiB hold fragments: checksum (4 bytes), length (2), kind (1), content; kinds 1 and 4 end a record.
    """
    at, record = 7, b""
    while at + 7 <= len(data):
        left = 32768 - at % 32768
        if left < 7:
            at += left
            continue
        _, size, kind = struct.unpack("<IHB", data[at : at + 7])
        record += data[at + 7 : at + 7 + size]
        at += 7 + size
        if kind in (1, 4):
            yield record
            record = b""


def offline_run(file):
    """(arm, seed), the project, and step → values."""
    from wandb.proto import wandb_internal_pb2

    about, project, rows = {}, None, {}
    for record in records(file.read_bytes()):
        found = wandb_internal_pb2.Record.FromString(record)
        if found.HasField("run"):
            about = {item.key: json.loads(item.value_json) for item in found.run.config.update}
            project = found.run.project
        elif found.HasField("history"):
            row = {"/".join(i.nested_key) or i.key: json.loads(i.value_json) for i in found.history.item}
            rows[found.history.step.num] = {key: value for key, value in row.items() if key[0] != "_"}
    return (about["arm"], about["seed"]), project, rows


def test_trackio_gets_a_run_for_every_run_and_keeps_quiet(tmp_path, monkeypatch, capsys):
    calls = []

    def init(**settings):
        if settings["project"] == "reserved":
            raise ValueError("reserved.")
        sys.stdout.write("* Trackio project initialized")
        current.set((*current.get(), settings["name"]))  # the client ends the run that is current in its context
        calls.append((settings["project"], current.get(), settings["group"], settings["config"], settings["resume"]))
        return SimpleNamespace(
            log=lambda row, step: calls.append((settings["name"], step, row)),
            finish=lambda: (sys.stdout.write("* Run finished."), calls.append((settings["name"], "end"))),
        )

    current = ContextVar("current", default=())
    monkeypatch.setitem(sys.modules, "trackio", SimpleNamespace(init=init))
    tracker = open_tracker("trackio", tmp_path, "my/study: 50 %")
    one, two = Run("convex-1", 4), Run("baseline", 4)
    tell(tracker, evaluated(one, 0, loss=1.5, name="x"), evaluated(two, 0, loss=1.0))
    tell(tracker, evaluated(one, 3, loss=0.5), Finished(one, Outcome(RunStatus.COMPLETE)))
    tracker.close()
    assert calls == [
        ("my-study- 50 -", ("convex-1, seed 4",), "convex-1", {"arm": "convex-1", "seed": 4}, "allow"),
        ("convex-1, seed 4", 0, {"loss": 1.5}),
        ("my-study- 50 -", ("baseline, seed 4",), "baseline", {"arm": "baseline", "seed": 4}, "allow"),
        ("baseline, seed 4", 0, {"loss": 1.0}),
        ("convex-1, seed 4", 3, {"loss": 0.5}),
        ("convex-1, seed 4", "end"),
        ("baseline, seed 4", "end"),
    ]
    assert capsys.readouterr().out == ""
    with pytest.raises(BadInput, match=r"track: trackio cannot open a run: reserved\.$"):
        tell(open_tracker("trackio", tmp_path, "reserved"), evaluated(one, 0, loss=1.5))


@pytest.mark.slow
def test_trackio_holds_every_evaluation(tmp_path, monkeypatch):
    pytest.importorskip("trackio")
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    (tmp_path / "mine.py").write_text(MINE)
    options = ["--alphas", "0,1", "--seeds", "2", "--metric", "loss", "--direction", "lower", "--out", "o"]
    done = crossnorm("plot", "mine:train", *options, "--track", "trackio", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Trackio project" not in done.stdout
    found = {}
    with closing(sqlite3.connect(tmp_path / "trackio" / "mine-train-convex.db")) as store:
        about = {run: json.loads(config) for run, config in store.execute("select run_id, config from configs")}
        for run, step, row in store.execute("select run_id, step, metrics from metrics order by step"):
            key = Run(about[run]["arm"], about[run]["seed"])
            found.setdefault(key, []).append({"step": step, **json.loads(row)})
    assert len(found) == 6
    for run, rows in found.items():
        assert {row["step"]: row for row in rows} == {
            row["step"]: row for row in RunFolder(tmp_path / "o", run).read().rows
        }


@pytest.mark.slow
def test_wandb_offline_holds_every_evaluation(tmp_path, monkeypatch):
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    (tmp_path / "mine.py").write_text(MINE)
    options = ["--alphas", "0,1", "--seeds", "2", "--metric", "loss", "--direction", "lower", "--out", "o"]
    done = crossnorm("plot", "mine:train", *options, "--track", "wandb", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = [offline_run(file) for file in (tmp_path / "o" / "wandb").rglob("*.wandb")]
    expected = [(arm, seed) for arm in ("attenuated-1", "baseline", "convex-1") for seed in range(2)]
    assert sorted(run for run, _, _ in found) == expected
    for (arm, seed), project, rows in found:
        assert project == "mine-train-convex"
        stored = RunFolder(tmp_path / "o", Run(arm, seed)).read().rows
        assert rows == {row["step"]: {key: row[key] for key in row if key != "step"} for row in stored}
        assert list(rows) == [0, 5, 7]

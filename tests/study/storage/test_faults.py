"""No run is ever lost: killed anywhere, on a full disk, without memory, the study goes on to the same bytes."""

from __future__ import annotations

import errno
import os
import random
import signal
import subprocess
import sys
import time

import pytest

import crossnorm as library
from crossnorm.errors import BadInput
from crossnorm.study.events import Note
from crossnorm.study.executors.process_pool import run_local
from crossnorm.study.spec.plan import cut
from crossnorm.study.storage.run_folder import RunFolder
from crossnorm.study.storage.study_folder import open_folder
from crossnorm.study.storage.study_lock import locked
from crossnorm.study.storage.worker_lock import hold_worker_lock
from crossnorm.study.workload.function_run import run_function
from crossnorm.study.workload.workload import open_workload
from tests.study.fault_cases import (
    alive,
    check_curves,
    command,
    curves,
    kill_at_random,
    plotted,
    progress,
    started,
    verdict,
    wait_until,
    workers_of,
    write_slow,
)
from tests.study.small_study import small_plan, train_small, whole_study
from tests.study.study_cases import refused
from tests.study.write_points import DIED, Counter, in_child

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    write_slow(folder)
    done = plotted(folder)
    assert done.returncode == 0, done.stderr
    check_curves(folder)
    return folder


@linux
@pytest.mark.slow
def test_killed_at_twenty_random_moments(undisturbed, tmp_path):
    write_slow(tmp_path)
    done = kill_at_random(tmp_path, 20, random.Random(7))
    assert min(done.values()) > 0
    last = plotted(tmp_path)
    assert last.returncode == 0, last.stderr
    check_curves(tmp_path)
    assert verdict(tmp_path) == verdict(undisturbed)
    assert curves(tmp_path) == curves(undisturbed)


@linux
@pytest.mark.slow
def test_an_orphan_ends_within_five_seconds_and_holds_off_who_comes_next(tmp_path):
    write_slow(tmp_path, pause=0.3)
    process = started(tmp_path, "--workers", "1")
    assert wait_until(lambda: progress(tmp_path) > 0, 60)
    (worker,) = workers_of(process.pid)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert wait_until(lambda: not alive(worker), 5)
    before = progress(tmp_path)
    time.sleep(1)
    assert progress(tmp_path) == before


@linux
@pytest.mark.slow
def test_an_orphan_ends_even_in_the_middle_of_a_long_call(tmp_path):
    (tmp_path / "slow.py").write_text(
        "def train(run):\n    run.log(0, loss=1)\n    x = 3 ** 20_000_000\n    y = str(x)\n    run.log(1, loss=2)\n"
    )
    (tmp_path / "slow.yaml").write_text("function: slow:train\nmetric: loss\ndirection: lower\n")
    process = started(tmp_path, "--workers", "1")
    assert wait_until(lambda: progress(tmp_path) > 0, 60)
    time.sleep(0.5)  # into the power, which holds Python's lock
    (worker,) = workers_of(process.pid)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert wait_until(lambda: not alive(worker), 5)


@linux
@pytest.mark.slow
def test_dying_at_every_write_loses_and_doubles_nothing(tmp_path):
    """At every point at which a file of the folder is opened for writing, renamed or removed."""
    (tmp_path / "whole").mkdir()
    counter = Counter(tmp_path / "whole" / "out")
    whole_study(tmp_path / "whole" / "out")
    counter.on = False
    assert counter.count > 80
    expected = (verdict(tmp_path / "whole"), curves(tmp_path / "whole"))
    for fatal in range(1, counter.count + 1):
        folder = tmp_path / f"k{fatal}"
        folder.mkdir()

        def dies(folder=folder, fatal=fatal):
            Counter(folder / "out", fatal)
            whole_study(folder / "out")

        assert in_child(dies) == DIED, fatal
        for left in (folder / "out").rglob(".*.tmp"):  # younger ones may belong to a report that is being written
            os.utime(left, (time.time() - 1000,) * 2)
        assert in_child(lambda folder=folder: whole_study(folder / "out")) == 0, fatal
        check_curves(folder, 3)
        assert (verdict(folder), curves(folder)) == expected, fatal
        left = [
            p.name for p in (folder / "out").rglob("*") if "new" in p.name or "tmp" in p.name or "checkpoint" in p.name
        ]
        assert left == [], fatal


class TestInProcess:
    """Faults that need no command line."""

    @pytest.fixture
    def listened(self):
        return []

    def carried_out(self, folder, function, listened, workers=1, **fields):
        base = {"metric": "loss", "direction": "lower", "alphas": [0, 1], "control": False, "seeds": 1}
        study = library.Study(function, **base | fields)
        workload = open_workload(study, function=function)
        plan = workload.plan
        run_local(
            workload.job(folder, "cpu"),
            cut(plan, plan.runs, workers),
            workers=workers,
            listen=lambda number, event: listened.append(event),
        )
        return {run: RunFolder(folder, run).read().result for run in plan.runs}

    def test_a_full_disk_ends_the_study_and_calls_no_run_crashed(self, tmp_path, listened):
        def train(run):
            import os

            def full(handle):
                raise OSError(errno.ENOSPC, "No space left on device")

            run.log(0, loss=1)
            if run.arm != "baseline" and not (run.directory.parents[1] / "room").exists():
                os.fsync = full
            run.log(1, loss=2)

        with pytest.raises(BadInput, match=r"the disk is full.*Finished runs are kept"):
            self.carried_out(tmp_path, train, listened)
        assert not list(tmp_path.glob("runs/convex-1/*/result.json"))
        assert [p.parts[-3] for p in tmp_path.glob("runs/*/*/result.json")] == ["baseline"]
        (tmp_path / "runs" / "room").touch()
        found = self.carried_out(tmp_path, train, listened)
        assert {result["status"] for result in found.values()} == {"complete"}

    @pytest.mark.slow
    def test_a_killed_worker_and_exhausted_memory(self, tmp_path, listened):
        def train(run):
            import os
            import signal

            run.log(0, loss=1)
            if run.arm == "convex-1":
                bytearray(1 << 62)
            elif not (run.directory / "killed").exists():
                (run.directory / "killed").touch()
                os.kill(os.getpid(), signal.SIGKILL)

        found = self.carried_out(tmp_path, train, listened)
        assert [result["status"] for result in found.values()] == ["complete", "crashed"]
        assert "MemoryError" in list(found.values())[1]["reason"]
        notes = [event.text for event in listened if isinstance(event, Note)]
        assert any("signal 9; retrying" in text for text in notes)


def test_a_clock_that_jumps_changes_nothing(tmp_path, monkeypatch):
    import torch

    plan, clock = small_plan(), iter([5e9, -3.0, 1e3] * 1000)
    for name in "ab":
        (tmp_path / name).mkdir()
    run_function(plan, train_small, plan.runs[0], tmp_path / "a", torch.device("cpu"), lambda event: None)
    monkeypatch.setattr(time, "time", lambda: next(clock))
    run_function(plan, train_small, plan.runs[0], tmp_path / "b", torch.device("cpu"), lambda event: None)
    a, b = (RunFolder(tmp_path / name, plan.runs[0]).read().rows for name in "ab")
    assert [row["loss"] for row in a] == [row["loss"] for row in b]
    assert all(0 <= row["seconds"] < 60 for row in b)


def test_data_that_changed_before_a_resume_are_refused(tmp_path):
    text = tmp_path / "text.txt"
    text.write_text("the quick brown fox jumps over the lazy dog. " * 200)
    study = library.Study(task="bytes", data=str(text), seeds=2, alphas=[0, 1], epochs=1)
    workload = open_workload(study)
    with locked(tmp_path / "out"):
        open_folder(tmp_path / "out", workload.plan, workload.digest)
    text.write_text("the quick brown fox jumps over the lazy cat. " * 200)
    before = (tmp_path / "out" / "study.yaml").read_bytes()
    with pytest.raises(BadInput, match="the data changed since the study started"):
        study.run(tmp_path / "out", progress=False)
    assert (tmp_path / "out" / "study.yaml").read_bytes() == before


@linux
def test_who_comes_next_waits_for_the_last_worker(tmp_path, monkeypatch):
    monkeypatch.setattr("crossnorm.study.storage.worker_lock._TIMEOUT", 0.2)
    with hold_worker_lock(tmp_path) as held:
        orphan = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=held)
    with pytest.raises(BadInput, match="still active"), hold_worker_lock(tmp_path):
        pass
    orphan.communicate()
    with hold_worker_lock(tmp_path):
        pass


@linux
@pytest.mark.slow
def test_a_second_plot_of_a_live_folder_says_so(tmp_path):
    write_slow(tmp_path, pause=0.3)
    process = started(tmp_path)
    try:
        assert wait_until(lambda: progress(tmp_path) > 0, 60)
        second = subprocess.run(command(), cwd=tmp_path, capture_output=True, text=True, timeout=120)
        refused(second, f"locked by process {process.pid}", "crossnorm watch out", "crossnorm report out")
    finally:
        process.kill()
        process.wait()

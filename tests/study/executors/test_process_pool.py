"""Workers that die before they have begun: replaced, and not for ever."""

from __future__ import annotations

import pytest

import crossnorm as library
from crossnorm.errors import StudyStopped
from crossnorm.study.events import Note
from crossnorm.study.executors import process_pool
from crossnorm.study.spec.plan import cut
from crossnorm.study.storage.run_folder import RunFolder
from crossnorm.study.workload.workload import open_workload


def train(run):
    run.log(0, loss=1.0)


@pytest.fixture
def stillborn(monkeypatch):
    """Kills so many workers as soon as they are started."""

    def kill_first(count):
        started, real = iter(range(10**6)), process_pool._Worker

        def start(*arguments):
            worker = real(*arguments)
            if next(started) < count:
                worker.process.kill()
            return worker

        monkeypatch.setattr(process_pool, "_Worker", start)

    return kill_first


def carried_out(folder, told):
    fields = {"metric": "loss", "direction": "lower", "alphas": [0, 1], "control": False, "seeds": 1}
    workload = open_workload(library.Study(train, **fields), function=train)
    plan = workload.plan
    cohorts = cut(plan, plan.runs, 1)
    process_pool.run_local(workload.job(folder, "cpu"), cohorts, workers=1, listen=lambda _, event: told.append(event))
    return [RunFolder(folder, run).read().finished for run in plan.runs]


def test_a_worker_that_dies_before_its_first_cohort_is_replaced(tmp_path, stillborn):
    told = []
    stillborn(1)
    assert carried_out(tmp_path, told) == [True, True]
    assert [event.text for event in told if isinstance(event, Note)] == [
        "worker ended with signal 9, before it could train; starting another."
    ]


def test_workers_that_never_begin_end_the_study_in_one_line(tmp_path, stillborn):
    stillborn(10**6)
    words = "4 workers in a row ended before they could train: worker ended with signal 9"
    with pytest.raises(StudyStopped, match=words):
        carried_out(tmp_path, [])

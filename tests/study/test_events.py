"""Events and jobs between processes."""

from __future__ import annotations

import math
import pickle

import pytest

import crossnorm as library
from crossnorm.study.events import (
    CohortStarted,
    DiskFailed,
    Evaluated,
    Finished,
    Idle,
    Note,
    Stepped,
    decode_cohort,
    decode_event,
    encode,
)
from crossnorm.study.spec.plan import Cohort, Run
from crossnorm.study.spec.schema import StudySpec
from crossnorm.study.workload.job import Job
from crossnorm.study.workload.workload import open_workload
from crossnorm.training.loop.outcome import Outcome, RunStatus

RUN = Run("convex-0.5@pool", 3)
ROW = {"step": 7, "loss": 0.1 + 0.2, "tiny": 5e-324, "next": math.nextafter(1.0, 2.0), "absent": None, "averaged": True}


@pytest.mark.parametrize(
    "event",
    [
        CohortStarted(Cohort(3, ("baseline", RUN.arm))),
        Stepped(3, {"convex-0.5": 11}),
        Stepped(3, {"convex-0.5": 11}, restored=True),
        Evaluated(RUN, ROW),
        Evaluated(RUN, ROW, memory=2**40),
        Finished(RUN, Outcome(RunStatus.COMPLETE)),
        Finished(RUN, Outcome(RunStatus.DIVERGED, "loss: not\nfinite")),
        Note("α → β"),
        Idle(),
        DiskFailed("the disk is full"),
    ],
)
def test_events_survive_json(event):
    line = encode(event)
    assert "\n" not in line
    found = decode_event(line)
    assert (found, type(found)) == (event, type(event))


def test_rows_keep_every_bit_and_type():
    found = decode_event(encode(Evaluated(RUN, ROW))).row
    assert {key: (type(value), value) for key, value in found.items()} == {
        key: (type(value), value) for key, value in ROW.items()
    }


def test_cohorts_survive_json():
    cohort = Cohort(3, ("baseline", RUN.arm))
    assert decode_cohort(encode(cohort)) == cohort


def test_a_job_carries_the_compiled_plan(tmp_path):
    """Without the class of the library's `Study`, which a worker would have to import."""
    study = library.Study(task="digits", train_examples=67, arms=[{"name": "long", "lr": 0.1}], alphas=[0, 0.5])
    workload = open_workload(study)
    job = Job.decode(workload.job(tmp_path, "cpu").encode())
    assert (job.plan.arms, job.plan.seeds) == (workload.plan.arms, workload.plan.seeds)
    assert type(job.plan.spec) is StudySpec
    assert job.plan.spec.model_dump() == workload.plan.spec.model_dump()
    assert b"crossnorm.api" not in pickle.dumps(job)

"""After a crash: another try, a record of the crash, or the end of the study."""

from __future__ import annotations

from collections import deque

import pytest

from crossnorm.errors import BadInput, StudyStopped
from crossnorm.study.events import Finished
from crossnorm.study.executors.retries import Retries
from crossnorm.study.spec.plan import Cohort, Run, make_plan
from crossnorm.study.spec.schema import parse_spec
from crossnorm.study.storage.run_folder import RunFolder
from crossnorm.training.loop.outcome import Cause, Outcome, RunStatus, cause_of

MORE = Cohort(5, ("baseline",))


@pytest.fixture
def retries(tmp_path):
    fields = {"function": "m:train", "metric": "loss", "direction": "lower", "alphas": [0, 1], "seeds": 6}
    found = Retries(
        tmp_path, make_plan(parse_spec(fields, "x")), deque([MORE]), lambda worker, event: told.append(event)
    )
    told: list = []
    found.told = told
    return found


def crash(cause, reason="why"):
    return Outcome(RunStatus.CRASHED, reason, cause)


def finish(folder, arm, seed, status=RunStatus.COMPLETE):
    RunFolder(folder, Run(arm, seed)).finish(Outcome(status), {})


def ended(retries):
    return [event.run for event in retries.told if isinstance(event, Finished)]


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (TypeError(), Cause.CODE),
        (KeyError(), Cause.CODE),
        (ZeroDivisionError(), Cause.CODE),
        (BadInput("a", "b", "c"), Cause.CODE),
        (RuntimeError(), Cause.MACHINE),
        (MemoryError(), Cause.MACHINE),
        (OSError(), Cause.MACHINE),
        (ValueError(), Cause.MACHINE),
    ],
)
def test_what_happens_again_is_the_codes_fault(error, cause):
    assert cause_of(error) is cause


def test_a_fault_of_the_machine_is_tried_once_more_and_at_once(retries, tmp_path):
    run = Run("convex-1", 0)
    retries.crashed(0, run, crash(Cause.MACHINE))
    assert list(retries._pending) == [Cohort(0, ("convex-1",)), MORE]
    assert ended(retries) == []
    retries._pending.popleft()
    retries.crashed(0, run, crash(Cause.MACHINE))
    assert (list(retries._pending), ended(retries)) == ([MORE], [run])
    assert RunFolder(tmp_path, run).read().result["tries"] == 2


def test_a_fault_of_the_code_is_not_tried_again(retries, tmp_path):
    run = Run("convex-1", 0)
    retries.crashed(0, run, crash(Cause.CODE))
    assert (list(retries._pending), ended(retries)) == ([MORE], [run])
    assert RunFolder(tmp_path, run).read().result["tries"] == 1


def test_two_seeds_of_one_arm_stop_the_study(retries, tmp_path):
    finish(tmp_path, "baseline", 0)
    retries.crashed(0, Run("convex-1", 0), crash(Cause.CODE))
    retries.crashed(0, Run("attenuated-1", 0), crash(Cause.CODE))
    with pytest.raises(StudyStopped) as caught:
        retries.crashed(0, Run("convex-1", 3), crash(Cause.CODE, "no luck"))
    for words in (
        "arm convex-1 crashed on seeds 0 and 3",
        "no luck",
        str(RunFolder(tmp_path, Run("convex-1", 3)).log),
    ):
        assert words in str(caught.value)


@pytest.mark.parametrize("status", [RunStatus.COMPLETE, RunStatus.DIVERGED])
def test_an_arm_that_has_finished_on_a_seed_does_not_stop_it(retries, tmp_path, status):
    finish(tmp_path, "convex-1", 4, status)
    for seed in (0, 1, 2):
        retries.crashed(0, Run("convex-1", seed), crash(Cause.CODE))
    assert len(ended(retries)) == 3


def test_nothing_is_stopped_where_nothing_is_left(retries):
    retries._pending.clear()
    for seed in (0, 1):
        retries.crashed(0, Run("convex-1", seed), crash(Cause.CODE))
    assert len(ended(retries)) == 2


def test_a_metric_that_no_run_logs_is_bad_input(retries):
    with pytest.raises(BadInput, match="metric: it logged acc"):
        retries.crashed(0, Run("baseline", 0), crash(Cause.METRIC, "it logged acc"))


def test_a_metric_that_one_run_does_not_log_is_a_crash(retries, tmp_path):
    finish(tmp_path, "baseline", 0)
    retries.crashed(0, Run("convex-1", 0), crash(Cause.METRIC))
    assert ended(retries) == [Run("convex-1", 0)]


def test_the_unfinished_runs_of_a_lost_worker_are_tried_again(retries, tmp_path):
    finish(tmp_path, "baseline", 2)
    retries.lost(0, Cohort(2, ("baseline", "convex-1")), "signal 9")
    assert list(retries._pending) == [Cohort(2, ("convex-1",)), MORE]

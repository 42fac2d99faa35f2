"""The time left: from the steps made, never from those restored."""

from __future__ import annotations

import pytest

from crossnorm.study.events import Stepped
from crossnorm.study.monitoring.eta import Every, Pace, RunPace, remaining
from crossnorm.study.spec.plan import Run


def test_restored_steps_are_done_and_not_fast() -> None:
    now = 100.0
    pace = Pace(97, done=13, clock=lambda: now)
    pace.advance(17, restored=True)
    assert (pace.done, pace.seconds_left) == (30, None)
    pace.advance(7)
    now = 121.0
    assert pace.done == 37
    assert pace.seconds_left == pytest.approx(21 / 7 * 60)
    pace.advance(60)
    assert pace.seconds_left == 0


RUNS = [Run(arm, seed) for seed in (0, 1) for arm in ("baseline", "convex-1")]


def test_a_run_that_is_tried_again_counts_once() -> None:
    pace = RunPace(dict.fromkeys(RUNS, 10), RUNS)
    for step in (4, 9, 3, 10):  # the second try starts from the checkpoint at step 3
        pace.stepped(Stepped(0, {"convex-1": step}, restored=step == 3))
    assert (pace.share, pace.reached(RUNS)) == (10 / 40, 10)
    pace.stepped(Stepped(1, {"baseline": 10, "convex-1": 10}))
    pace.stepped(Stepped(0, {"baseline": 10}))
    assert pace.share == 1


def test_a_run_that_ends_early_leaves_nothing_to_do() -> None:
    now = 0.0
    pace = RunPace(dict.fromkeys(RUNS[:2], 10), RUNS[:2], clock=lambda: now)
    assert pace.stepped(Stepped(0, {"baseline": 5, "convex-1": 5})) == 10
    pace.ended(RUNS[1])
    now = 30.0
    assert pace.share == 15 / 20
    assert pace.seconds_left == pytest.approx(30 / 10 * 5)
    pace.stepped(Stepped(0, {"baseline": 10}))
    pace.ended(RUNS[0])
    assert (pace.share, pace.seconds_left) == (1, 0)


def test_a_resumed_study_starts_from_its_finished_runs_and_checkpoints() -> None:
    pace = RunPace(dict.fromkeys(RUNS, 10), RUNS[1:])
    assert pace.share == 1 / 4
    assert pace.stepped(Stepped(0, {"convex-1": 5}, restored=True)) == 0
    assert (pace.share, pace.seconds_left) == (15 / 40, None)


def test_a_line_is_due_at_once_and_then_after_a_while() -> None:
    now = 5.0
    lines = Every(3.0, clock=lambda: now)
    assert [lines.due(), lines.due()] == [True, False]
    now = 8.5
    assert [lines.due(), lines.due()] == [True, False]


@pytest.mark.parametrize(
    ("seconds", "text"), [(None, ""), (41.3, "41 s left"), (722.0, "12 min left"), (12240.0, "3.4 h left")]
)
def test_what_is_left_in_words(seconds: float | None, text: str) -> None:
    assert remaining(seconds) == text

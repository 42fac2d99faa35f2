"""The time left: from the steps made, never from those restored."""

from __future__ import annotations

import pytest

from crossnorm.study.monitoring.eta import Every, Pace, remaining


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

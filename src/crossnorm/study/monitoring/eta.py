"""The time left, from the steps made and the steps to make."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Iterable, Mapping

from crossnorm.study.events import Stepped
from crossnorm.study.spec.plan import Run

__all__ = ["Every", "Pace", "RunPace", "remaining"]


class Pace:
    """Counts steps against a total.

    Seconds left = seconds since the start / steps made since then × steps left. Steps restored from a checkpoint are
    done, but do not count as made.

    Args:
        total: Total number of steps.
        done: Steps made earlier.
        clock: A monotonic clock, in seconds.
    """

    def __init__(self, total: int, done: int = 0, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.total, self.restored, self.made = total, done, 0
        self._clock, self._started = clock, clock()

    @property
    def done(self) -> int:
        """Steps made or restored."""
        return self.restored + self.made

    def advance(self, steps: int, *, restored: bool = False) -> None:
        """Add steps."""
        if restored:
            self.restored += steps
        else:
            self.made += steps

    @property
    def seconds_left(self) -> float | None:
        """None before the first step."""
        if not self.made:
            return None
        return (self._clock() - self._started) / self.made * max(0, self.total - self.done)


class RunPace:
    """Counts the steps of runs, each by the step that it has reached, so that repeated steps count once.

    Args:
        steps: The steps of each run.
        todo: The runs that are not finished.
        clock: A monotonic clock, in seconds.
    """

    def __init__(
        self, steps: Mapping[Run, int], todo: Collection[Run], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._steps = dict(steps)
        self._reached = {run: 0 if run in todo else count for run, count in steps.items()}
        self._pace = Pace(sum(self._steps.values()), sum(self._reached.values()), clock=clock)

    def stepped(self, event: Stepped) -> int:
        """Note what runs have reached; returns the number of new steps.

        A run that starts again after a crash goes back.
        """
        made = 0
        for arm, step in event.steps.items():
            made += self._reach(Run(arm, event.seed), step, restored=event.restored)
        return made

    def ended(self, run: Run) -> None:
        """A run has ended, perhaps early: nothing is left of it."""
        self._reach(run, self._steps[run], restored=True)

    def reached(self, runs: Iterable[Run]) -> int:
        """The steps that these runs have reached together."""
        return sum(self._reached[run] for run in runs)

    def _reach(self, run: Run, step: int, *, restored: bool) -> int:
        change = step - self._reached[run]
        self._reached[run] = step
        restored = restored or change < 0
        self._pace.advance(change, restored=restored)
        return 0 if restored else change

    @property
    def share(self) -> float:
        """The share of all steps that is done, from 0 to 1."""
        return self._pace.done / self._pace.total if self._pace.total else 1.0

    @property
    def seconds_left(self) -> float | None:
        """None before the first step."""
        return self._pace.seconds_left


class Every:
    """Limits a repeated action to once in so many seconds."""

    def __init__(self, seconds: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds, self._clock, self._next = seconds, clock, -math.inf

    def due(self) -> bool:
        """Whether the action is due; the first call always is."""
        now = self._clock()
        if now < self._next:
            return False
        self._next = now + self._seconds
        return True


def remaining(seconds: float | None) -> str:
    """``40 s left``, ``12 min left``, ``3.4 h left``; empty if not known."""
    if seconds is None:
        return ""
    if seconds < 90:
        return f"{seconds:.0f} s left"
    return f"{seconds / 60:.0f} min left" if seconds < 5400 else f"{seconds / 3600:.1f} h left"

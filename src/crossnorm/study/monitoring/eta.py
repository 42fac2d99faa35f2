"""The time left, from the steps made and the steps to make."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

__all__ = ["Every", "Pace", "remaining"]


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

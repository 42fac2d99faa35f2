"""Time several jobs in turns, and summarize the times by median and quartiles.

The speed of a machine drifts. Jobs that take turns share the drift, and a ratio taken within a round cancels it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import TypeVar

import numpy as np
import torch

__all__ = ["Clock", "Prepare", "Spread", "clock_of", "spread", "take_turns"]

_MIN_SECONDS = 0.1  # of a turn: a shorter job is repeated within it
_MAX_REPETITIONS = 1000

Clock = Callable[[], float]
"""Returns the current time in seconds."""

Prepare = Callable[[], Callable[[], object]]
"""Prepares a turn, which is not timed, and returns the job, which is."""

Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True)
class Spread:
    """Median and quartiles of repeated measurements.

    Attributes:
        median: The median.
        low: The first quartile.
        high: The third quartile.
    """

    median: float
    low: float
    high: float


def spread(values: Sequence[float]) -> Spread:
    """Median and quartiles, linearly interpolated, of at least one value."""
    low, median, high = np.percentile(values, [25, 50, 75]).tolist()
    return Spread(median=median, low=low, high=high)


def clock_of(device: torch.device) -> Clock:
    """A wall clock that is read after the device has finished all queued work."""
    if device.type == "cpu":
        return perf_counter
    synchronize = torch.cuda.synchronize if device.type == "cuda" else torch.mps.synchronize

    def clock() -> float:
        synchronize()
        return perf_counter()

    return clock


def take_turns(
    jobs: Mapping[Key, Prepare],
    repeats: int,
    *,
    clock: Clock = perf_counter,
    progress: Callable[[int, int], object] = lambda done, total: None,
) -> dict[Key, list[float]]:
    """Seconds per execution of each job in each round, after one warm-up round.

    Every second round runs in reverse order, so that a linear drift favors no job.

    Args:
        jobs: By any key.
        repeats: Number of rounds.
        clock: See `clock_of`.
        progress: Called with (turns done, turns in all) after every turn; the warm-up counts as a round.
    """
    total = (repeats + 1) * len(jobs)
    repetitions: dict[Key, int] = {}
    for key, prepare in jobs.items():
        repetitions[key] = _repetitions(prepare(), clock)
        progress(len(repetitions), total)
    seconds: dict[Key, list[float]] = {key: [] for key in jobs}
    for turn in range(repeats):
        for done, key in enumerate(list(jobs) if turn % 2 == 0 else reversed(list(jobs)), start=1):
            seconds[key].append(_timed(jobs[key](), repetitions[key], clock))
            progress((turn + 1) * len(jobs) + done, total)
    return seconds


def _repetitions(job: Callable[[], object], clock: Clock) -> int:
    """Executions that fill a turn, from the second of two executions."""
    _timed(job, 1, clock)
    seconds = _timed(job, 1, clock)
    return min(_MAX_REPETITIONS, max(1, math.ceil(_MIN_SECONDS / seconds))) if seconds > 0 else _MAX_REPETITIONS


def _timed(job: Callable[[], object], repetitions: int, clock: Clock) -> float:
    started = clock()
    for _ in range(repetitions):
        job()
    return (clock() - started) / repetitions

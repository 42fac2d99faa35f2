"""Times of several jobs that take turns, and what is said of them: medians and quartiles, ratios within a round.

A machine is faster in one minute than in the next. Jobs that take turns meet the same minutes, and a ratio taken within
a round keeps what they have in common out. Knows nothing of what a job does.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter

import numpy as np
import torch

__all__ = ["Clock", "Job", "Prepared", "Spread", "clock_of", "ratios", "spread", "take_turns"]

_LEAST_SECONDS = 0.1
"""What one turn takes at least: shorter jobs are repeated within it."""

_MOST_TIMES = 1000

Job = Callable[[], object]
Clock = Callable[[], float]
"""Gives the present time in seconds."""


@dataclass(frozen=True)
class Prepared:
    """A job that needs something made ready each time, which is not timed.

    Attributes:
        prepare: Gives back the job.
    """

    prepare: Callable[[], Job]


@dataclass(frozen=True)
class Spread:
    """The middle of repeated measurements.

    Attributes:
        median: Half of them are below.
        low: First quartile.
        high: Third quartile.
    """

    median: float
    low: float
    high: float


def clock_of(device: torch.device) -> Clock:
    """Seconds that are read once the device has done all it was told to do."""
    if device.type == "cpu":
        return perf_counter
    wait = torch.cuda.synchronize if device.type == "cuda" else torch.mps.synchronize

    def clock() -> float:
        wait()
        return perf_counter()

    return clock


def spread(values: Sequence[float]) -> Spread:
    """Median and quartiles, interpolated linearly, of at least one value."""
    low, median, high = np.percentile(values, [25, 50, 75]).tolist()
    return Spread(median=median, low=low, high=high)


def ratios(of: Sequence[float], to: Sequence[float]) -> list[float]:
    """``of`` over ``to``, round by round."""
    return [a / b for a, b in zip(of, to, strict=True)]


def take_turns(
    jobs: Mapping[str, Job | Prepared],
    repeats: int,
    *,
    clock: Clock = perf_counter,
    told: Callable[[], object] = lambda: None,
) -> dict[str, list[float]]:
    """Seconds of each job in each round; a round before the first is not counted.

    Every second round goes backwards, so that a machine that slowly changes favours nobody.

    Args:
        jobs: By name.
        repeats: Rounds that count.
        clock: Seconds; see `clock_of`.
        told: Called after every turn, ``(repeats + 1) * len(jobs)`` times.
    """
    times: dict[str, int] = {}
    for name, job in jobs.items():
        times[name] = _times(job, clock)
        told()
    seconds: dict[str, list[float]] = {name: [] for name in jobs}
    for turn in range(repeats):
        for name in list(jobs) if turn % 2 == 0 else reversed(list(jobs)):
            seconds[name].append(_timed(jobs[name], times[name], clock))
            told()
    return seconds


def _times(job: Job | Prepared, clock: Clock) -> int:
    """How often the job fits into a turn, found after it has run once to warm up."""
    _timed(job, 1, clock)
    seconds = _timed(job, 1, clock)
    return min(_MOST_TIMES, max(1, math.ceil(_LEAST_SECONDS / seconds))) if seconds > 0 else _MOST_TIMES


def _timed(job: Job | Prepared, times: int, clock: Clock) -> float:
    """Seconds of the job once."""
    if isinstance(job, Prepared):
        return sum(_once(job.prepare(), clock) for _ in range(times)) / times
    started = clock()
    for _ in range(times):
        job()
    return (clock() - started) / times


def _once(job: Job, clock: Clock) -> float:
    started = clock()
    job()
    return clock() - started

"""Turns, medians and quartiles, on a clock that only the jobs advance."""

from __future__ import annotations

import statistics

import pytest

from crossnorm.training.benchmark.timing import Spread, spread, take_turns


class Clock:
    """Advances only while a job runs."""

    def __init__(self):
        self.now, self.log = 0.0, []

    def __call__(self):
        return self.now

    def job(self, name, *seconds):
        """A prepared job that takes each of the seconds in turn, and the last one from then on."""
        work = self.work(name, *seconds)
        return lambda: work

    def work(self, name, *seconds):
        left = list(seconds)

        def work():
            self.log.append(name)
            self.now += left.pop(0) if len(left) > 1 else left[0]

        return work


def test_quartiles_are_those_of_the_standard_library():
    values = [7.0, 2.0, 3.0, 11.0, 5.0]
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    assert spread(values) == Spread(median=median, low=low, high=high) == Spread(median=5.0, low=3.0, high=7.0)
    assert spread([13.0]) == Spread(median=13.0, low=13.0, high=13.0)


def test_jobs_take_turns_and_every_second_round_goes_backwards():
    clock, turns = Clock(), []
    jobs = {"a": clock.job("a", 2.0), "b": clock.job("b", 3.0), "c": clock.job("c", 5.0)}
    seconds = take_turns(jobs, 3, clock=clock, progress=lambda done, total: turns.append((done, total)))
    assert seconds == {"a": [2.0] * 3, "b": [3.0] * 3, "c": [5.0] * 3}
    assert "".join(clock.log) == "aabbcc" + "abc" + "cba" + "abc"
    assert turns == [(done, (3 + 1) * 3) for done in range(1, (3 + 1) * 3 + 1)]


def test_the_round_before_the_first_does_not_count():
    clock = Clock()
    seconds = take_turns({"a": clock.job("a", 19.0, 17.0, 2.0, 3.0, 7.0)}, 3, clock=clock)
    assert seconds == {"a": [2.0, 3.0, 7.0]}


def test_a_short_job_is_repeated_within_its_turn():
    clock = Clock()
    seconds = take_turns({"a": clock.job("a", 0.03)}, 2, clock=clock)
    assert len(clock.log) == 2 + 2 * 4  # 4 × 0.03 s are the first to make 0.1 s
    assert seconds["a"] == pytest.approx([0.03, 0.03])


def test_preparation_is_not_timed_and_happens_once_per_turn():
    clock = Clock()
    prepare, work = clock.work("prepare", 11.0), clock.work("work", 0.04)

    def prepared():
        prepare()
        return work

    seconds = take_turns({"a": prepared}, 2, clock=clock)
    assert seconds["a"] == pytest.approx([0.04, 0.04])
    assert clock.log == ["prepare", "work", "work"] + 2 * ["prepare", *["work"] * 3]

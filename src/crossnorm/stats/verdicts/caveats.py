"""What a reader should know beside an answer: conditions under which its numbers mean less than they seem to."""

from __future__ import annotations

import math

import numpy as np

from crossnorm.metric import DIRECTIONS
from crossnorm.stats.inference.comparison import Outcome
from crossnorm.stats.inference.intervals import MIN_PAIRS
from crossnorm.stats.inference.repeated_seeds import repeated_seeds
from crossnorm.stats.inference.sequential import first_bounded
from crossnorm.stats.runs.run_table import Floats, Table
from crossnorm.stats.verdicts.number_text import listed, number
from crossnorm.stats.verdicts.verdict import Verdict

__all__ = ["caveats"]

_CHANCE = {"test_loss": 0.03, "test_accuracy": 0.1}  # relative distance that counts as chance


def caveats(table: Table, verdict: Verdict, *, classes: int | None = None) -> tuple[str, ...]:
    """Short notes on the answer, most serious first; empty if there is nothing to note.

    Args:
        table: The runs.
        verdict: Their verdict.
        classes: Number of classes of the task; None: unknown.
    """
    column = verdict.endpoint.base if verdict.endpoint.base in table.metrics else verdict.metric
    curves = np.where((table.status == "complete")[..., None], table.curves(column), np.nan)
    found = (
        _repeated(table, verdict),
        _at_chance(table, verdict, column, classes),
        _identical(table, curves),
        _lengths(table, verdict, curves),
        _single_evaluation(verdict, curves),
        _one_step_apart(table, verdict),
        _infinite(verdict),
    )
    return tuple(note for note in found if note)


def _repeated(table: Table, verdict: Verdict) -> str:
    """Seeds whose runs are those of other seeds, in an arm and its reference."""
    pairs = [*((arm, 0) for arm in range(1, len(table.arms))), *table.contrasts]
    found = {pair: repeated_seeds(table, verdict.endpoint, pair) for pair in pairs}
    seeds = [str(seed) for seed in table.seeds if any(seed in repeated for repeated in found.values())]
    if not seeds:
        return ""
    compared = {arm for pair, repeated in found.items() if repeated for arm in pair}
    names = listed([table.arms[arm].name for arm in sorted(compared)])
    return (
        f"Runs of seed{'s' if len(seeds) > 1 else ''} {listed(seeds)} ({names}) are identical to the bit to those of "
        "another seed: they are no independent pairs. Does the training ignore its seed, or were rows copied?"
    )


def _at_chance(table: Table, verdict: Verdict, column: str, classes: int | None) -> str:
    if classes is None or classes < 2 or column not in DIRECTIONS:
        return ""
    values = table.final(column)[0]
    values = values[np.isfinite(values)]
    chance = math.log(classes) if column == "test_loss" else 1 / classes
    if not values.size or abs(float(values.mean()) - chance) > _CHANCE[column] * chance:
        return ""
    words: set[Outcome | None] = {row.verdict for row in verdict.arms} | {row.verdict for row in verdict.contrasts}
    called = " and ".join(word for word in ("better", "worse") if word in words | {verdict.answer.verdict})
    means = f' "{called}" compares with guessing.'.replace(" and ", '" and "') if called else ""
    name = column.replace("_", " ")
    return (
        f"The baseline is at chance: its {name} of {number(float(values.mean()))} at the end is what guessing among "
        f"{classes} classes gives ({number(chance)}).{means}"
    )


def _identical(table: Table, curves: Floats) -> str:
    """Arms whose curves equal those of a reference in every pair."""
    pairs: dict[str, list[str]] = {}
    for i in range(1, len(table.arms)):
        if table.arms[i].alpha == 0:
            continue
        for other in sorted({0, *(against for arm, against in table.contrasts if arm == i)}):
            both = ~np.isnan(curves[[i, other]]).all(axis=-1).any(axis=0)
            if both.any() and np.array_equal(curves[i, both], curves[other, both], equal_nan=True):
                pairs.setdefault(table.arms[other].name, []).append(table.arms[i].name)
    return " ".join(
        f"{listed(arms)} {'has' if len(arms) == 1 else 'have'} exactly the values of {reference} in every pair, so "
        f"{'it is' if len(arms) == 1 else 'they are'} the same by definition. Did the "
        f"{'arm ignore its' if len(arms) == 1 else 'arms ignore their'} variant or settings?"
        for reference, arms in pairs.items()
    )


def _lengths(table: Table, verdict: Verdict, curves: Floats) -> str:
    """Complete runs that end at different steps."""
    if verdict.endpoint.summary == "steps_to":
        return ""
    arms: dict[tuple[int, ...], list[str]] = {}
    for arm, runs in zip(table.arms, curves, strict=True):
        ends = {table.steps[np.flatnonzero(~np.isnan(run))[-1]] for run in runs if not np.isnan(run).all()}
        if ends:
            arms.setdefault(tuple(sorted({min(ends), max(ends)})), []).append(arm.name)
    if not arms or list(arms) == [(max(ends[-1] for ends in arms),)]:
        return ""
    parts = [f"{listed(names)} at {' to '.join(map(str, ends))}" for ends, names in arms.items()]
    return f"Runs end at different steps: {'; '.join(parts)}. Differences then include the length of training."


def _single_evaluation(verdict: Verdict, curves: Floats) -> str:
    if (~np.isnan(curves)).sum(axis=-1).max(initial=0) != 1:
        return ""
    return (
        f"Every run has a single evaluation of {verdict.endpoint.base.replace('_', ' ')}: there is no learning curve."
    )


def _one_step_apart(table: Table, verdict: Verdict) -> str:
    """Steps to a target that differ by no more than the spacing of the evaluations."""
    if verdict.endpoint.summary != "steps_to":
        return ""
    reached = table.final(verdict.metric)
    reached = reached[np.isfinite(reached)]
    places = np.searchsorted(np.array(table.steps), reached)
    if not places.size or np.ptp(places) > 1:
        return ""
    return (
        f"All runs reach the target ({verdict.endpoint.base.replace('_', ' ')} {verdict.endpoint.target:g}) within one "
        "evaluation of each other; evaluate more often to tell them apart."
    )


def _infinite(verdict: Verdict) -> str:
    """Sequential intervals that do not exist yet, and from how many pairs they do."""
    if verdict.interval != "sequential" or verdict.n_pairs < MIN_PAIRS:
        return ""
    level = 1 - verdict.confidence
    lows = [*(row.low for row in verdict.arms[1:]), *(row.low for row in verdict.contrasts)]
    needed, pairs = [], max(MIN_PAIRS, first_bounded(level))
    if verdict.answer.estimate is not None and verdict.answer.low is None and verdict.n_pairs < pairs:
        needed.append(f"the interval of the answer is finite from {pairs} pairs")
    if None in lows and verdict.n_pairs < (pairs := max(MIN_PAIRS, first_bounded(level / len(lows)))):
        needed.append(f"those of the table from {pairs} pairs")
    if not needed:
        return ""
    return (
        "Results were or may be seen before all pairs are there, so the intervals are sequential, and "
        f"{verdict.n_pairs} pairs are too few for some: {', '.join(needed)}."
    )

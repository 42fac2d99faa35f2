"""Words and numbers for readers: how a value, an interval, a direction and a verdict are said.

Knows the fields of a verdict; knows nothing of pictures, pages or terminals.
"""

from __future__ import annotations

import math

from crossnorm.stats import ArmResult, Contrast, Verdict

__all__ = [
    "NO_PAIRS",
    "axis_name",
    "better_side",
    "dose",
    "duration",
    "family",
    "interval",
    "interval_note",
    "metric_name",
    "number",
    "pairs_cost",
    "pairs_needed",
]

NO_PAIRS = "–"
"""What stands for pairs needed where none are, or none are known."""

_AXES = {
    "step": "optimiser steps",
    "epoch": "epochs",
    "images": "images seen",
    "seconds": "seconds of training",
    "alpha": "α in force",
}


def number(value: float | None, *, sign: bool = False, digits: int = 3) -> str:
    """A value to ``digits`` significant digits with a true minus sign; ``–`` for None and NaN."""
    if value is None or math.isnan(value):
        return "–"
    if math.isinf(value):
        return "+∞" if value > 0 else "−∞"
    if value == 0:
        return "0"
    places = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    plain = places < 7 and abs(value) < 1e7
    text = f"{value:{'+' if sign else ''}.{places}f}" if plain else f"{value:{'+' if sign else ''}.{digits - 1}e}"
    return text.replace("-", "−")


def interval(low: float | None, high: float | None, *, digits: int = 3) -> str:
    """``[low, high]``, or ``–`` where there is no interval yet."""
    if low is None or high is None:
        return "–"
    return f"[{number(low, sign=True, digits=digits)}, {number(high, sign=True, digits=digits)}]"


def dose(alpha: float | None) -> str:
    """``α = 0.5``; empty for an arm without a dose."""
    return "" if alpha is None else f"α = {alpha:g}".replace("-", "−")


def metric_name(metric: str) -> str:
    """``test_loss`` as ``test loss``."""
    return metric.replace("_", " ")


def duration(seconds: float) -> str:
    """``45 s``, ``12 min``, ``3.4 h``, ``2.5 days`` or ``31 years``."""
    if seconds < 90:
        return f"{seconds:.2g} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    days = seconds / 86400
    if days < 2:
        return f"{number(seconds / 3600, digits=2)} h"
    return f"{number(days, digits=2)} days" if days < 730 else f"{number(days / 365.25, digits=2)} years"


def pairs_needed(row: ArmResult) -> str:
    """``20 (9–76)``: pairs until an undecided arm is decided, and the range that its standard deviation leaves."""
    if row.pairs_needed is None or row.verdict != "undecided":
        return NO_PAIRS
    return "{} ({}–{})".format(*row.pairs_needed)


def pairs_cost(row: ArmResult, seconds_per_seed: float | None) -> str:
    """What the pairs that an arm lacks cost one worker, all arms trained: see `duration`; empty if unknown or none."""
    if row.pairs_needed is None or seconds_per_seed is None or row.pairs_needed[0] <= row.n:
        return ""
    return duration((row.pairs_needed[0] - row.n) * seconds_per_seed)


def axis_name(axis: str) -> str:
    """What stands under a horizontal axis: ``epochs`` for ``epoch``."""
    return _AXES.get(axis, metric_name(axis))


def better_side(direction: str) -> tuple[str, str]:
    """The words at the (upper, lower) side of a difference's zero line."""
    return ("↑ worse", "↓ better") if direction == "lower" else ("↑ better", "↓ worse")


def interval_note(verdict: Verdict) -> str:
    """What the bars are: which intervals, of how many pairs, and over what they hold together."""
    kinds = {
        "bonferroni-t": "Student-t intervals of paired differences (Bonferroni)",
        "sequential": "confidence sequences of paired differences, valid however often one looks (Bonferroni)",
    }
    rows: list[ArmResult | Contrast] = [*verdict.arms[1:], *verdict.contrasts]
    pairs = [row.n for row in rows]
    fewest, most = min(pairs, default=0), max(pairs, default=0)
    count = f"{most} pair{'' if most == 1 else 's'}" if fewest == most else f"{fewest} to {most} pairs"
    if all(row.low is None for row in rows):
        why = "which is too few" if verdict.interval == "bonferroni-t" else "too few to bound anything yet"
        return f"No intervals: {count}, {why}"
    return f"Bars: {100 * verdict.confidence:g} % {kinds[verdict.interval]}, {count}, {family(verdict)}"


def family(verdict: Verdict) -> str:
    """``simultaneous over 8 arms and 4 contrasts``."""
    arms, contrasts = len(verdict.arms) - 1, len(verdict.contrasts)
    said = [
        f"{count} {noun}{'' if count == 1 else 's'}"
        for count, noun in ((arms, "arm"), (contrasts, "contrast"))
        if count
    ]
    return "simultaneous over " + " and ".join(said) if said else "no comparison"

"""Numbers, units and set phrases as text, shared by figures, pages and terminal summaries."""

from __future__ import annotations

from crossnorm.stats import NONE, ArmResult, Contrast, Verdict, brief, first_bounded, metric_words, number

__all__ = [
    "NONE",
    "NOT_MEASURED",
    "answer_parts",
    "axis_name",
    "better_side",
    "contrast_name",
    "count",
    "dose",
    "duration",
    "endpoint_name",
    "interval",
    "interval_note",
    "memory",
    "metric_name",
    "number",
    "pairs_cost",
    "pairs_needed",
    "percent",
]

NOT_MEASURED = "not measured"

_AXES = {
    "step": "optimizer steps",
    "epoch": "epochs",
    "images": "images seen",
    "seconds": "training time in seconds",
    "alpha": "current α",
}
_INTERVALS = {
    "bonferroni-t": "Student-t intervals of paired differences (Bonferroni)",
    "sequential": "confidence sequences of paired differences (Bonferroni), valid at every interim look",
}


def interval(low: float | None, high: float | None, *, digits: int = 3) -> str:
    """``[low, high]``; ``–`` if there is no interval."""
    if low is None or high is None:
        return NONE
    return f"[{number(low, sign=True, digits=digits)}, {number(high, sign=True, digits=digits)}]"


def count(number: int, noun: str) -> str:
    """``1 pair``, ``6 pairs``."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def percent(share: float) -> str:
    """``95 %`` for 0.95."""
    return f"{100 * share:.10g} %"


def dose(alpha: float | None) -> str:
    """``0.5``; ``–`` for an arm without a dose."""
    return NONE if alpha is None else brief(alpha)


def metric_name(metric: str) -> str:
    """``test loss`` for ``test_loss``."""
    return metric.replace("_", " ")


def endpoint_name(verdict: Verdict) -> str:
    """``test loss at the last evaluation``, or the name of a summary of the curve."""
    name = metric_words(verdict.endpoint)
    return f"{name} at the last evaluation" if verdict.endpoint.summary == "last" else name


def answer_parts(verdict: Verdict) -> tuple[str, str]:
    """The sentence with the answer itself, and what follows: its notes and its scope."""
    lead, stop, rest = verdict.answer.sentence.partition(". ")
    return (f"{lead}.", f" {rest}") if stop else (lead, "")


def contrast_name(contrast: str | None) -> str:
    """``convex − attenuated``, with a true minus sign."""
    return (contrast or "").replace(" - ", " − ")


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


def memory(size: int | None) -> str:
    """``512 MiB`` for a size in bytes; ``not measured`` for None."""
    return NOT_MEASURED if size is None else f"{size / 2**20:.0f} MiB"


def pairs_needed(row: ArmResult | Contrast) -> str:
    """``20 (9–76)``: pairs until an undecided row is decided, with the range due to its standard deviation."""
    if row.pairs_needed is None or row.verdict != "undecided":
        return NONE
    return "{} ({}–{})".format(*row.pairs_needed)


def pairs_cost(row: ArmResult | Contrast, seconds_per_seed: float | None) -> str:
    """Time of the pairs that a row still needs, for all arms on one worker; empty if unknown or none."""
    if row.pairs_needed is None or seconds_per_seed is None or row.pairs_needed[0] <= row.n:
        return ""
    return duration((row.pairs_needed[0] - row.n) * seconds_per_seed)


def axis_name(axis: str) -> str:
    """Label of a horizontal axis: ``epochs`` for ``epoch``."""
    return _AXES.get(axis, metric_name(axis))


def better_side(direction: str) -> tuple[str, str]:
    """Labels above and below the zero line of a difference."""
    return ("↑ worse", "↓ better") if direction == "lower" else ("↑ better", "↓ worse")


def interval_note(verdict: Verdict) -> str:
    """The kind of the intervals, their number of pairs and their family."""
    rows: list[ArmResult | Contrast] = [*verdict.arms[1:], *verdict.contrasts]
    pairs = [row.n for row in rows]
    fewest, most = min(pairs, default=0), max(pairs, default=0)
    pairs_text = count(most, "pair") if fewest == most else f"{fewest} to {most} pairs"
    if all(row.low is None for row in rows):
        return f"No intervals: {pairs_text}, too few{_finite_from(verdict, len(rows))}"
    return f"Intervals: {percent(verdict.confidence)} {_INTERVALS[verdict.interval]}, {pairs_text}, {_family(verdict)}"


def _finite_from(verdict: Verdict, comparisons: int) -> str:
    """From how many pairs the intervals of the table exist; Student's have a fixed number, which the answer says."""
    if verdict.interval != "sequential":
        return ""
    pairs = first_bounded((1 - verdict.confidence) / max(1, comparisons))
    return f"; sequential intervals of {count(comparisons, 'comparison')} are finite from {pairs} pairs"


def _family(verdict: Verdict) -> str:
    """``simultaneous over 8 arms and 4 contrasts``."""
    sizes = ((len(verdict.arms) - 1, "arm"), (len(verdict.contrasts), "contrast"))
    parts = [count(size, noun) for size, noun in sizes if size]
    return "simultaneous over " + " and ".join(parts) if parts else "no comparison"

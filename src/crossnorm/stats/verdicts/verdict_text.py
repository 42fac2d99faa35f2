"""The answer in one sentence: direction, size, interval, confidence, pairs, metric and scope."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from crossnorm.stats.inference.comparison import Rule, judge
from crossnorm.stats.inference.intervals import MIN_PAIRS, Interval

__all__ = ["Claim", "answer_sentence", "no_answer_sentence", "number"]


@dataclass(frozen=True, kw_only=True)
class Claim:
    """The content of the sentence.

    Args:
        subject: The variant or arm.
        reference: What it is compared with, "its control attenuated" or "baseline".
        metric: The metric.
        doses: Lowest and highest dose studied, 0 included; None without a trend.
        interval: The estimate; per unit α for a trend.
        rule: Direction, margin, confidence and kind of interval.
        obstacle: Why the interval cannot decide (diverged runs, missing values); empty: it can.
        diverges: Whether the excess of diverged runs is significant, which makes the subject worse.
        exceptions: A clause for single doses that differ while the trend is "same".
        notes: Further clauses.
    """

    subject: str
    reference: str
    metric: str
    doses: tuple[float, float] | None
    interval: Interval
    rule: Rule
    obstacle: str = ""
    diverges: bool = False
    exceptions: str = ""
    notes: tuple[str, ...] = ()


def answer_sentence(claim: Claim) -> str:
    """The answer in one sentence, with its scope."""
    claim = replace(claim, metric=claim.metric.replace("_", " "))
    return "; ".join([_claim(claim), *claim.notes]) + "."


def no_answer_sentence(metric: str, verdicts: list[str | None], n: int) -> str:
    """The sentence for tables without a single declared comparison: several free-form arms, or none."""
    if not verdicts:
        return f"There is nothing to compare: the table holds the baseline alone ({metric})."
    counts = ", ".join(
        f"{verdicts.count(word)} {word}" for word in ("better", "worse", "same", "undecided") if word in verdicts
    )
    return (
        f"No single comparison was declared and no dose was varied, so there is no trend; of {len(verdicts)} arms "
        f"against the baseline in {metric}: {counts}, {_scope(n)}."
    )


def number(value: float, scale: float | None = None) -> str:
    """A number to three digits, or rounded to two digits of a scale such as an interval's half-width."""
    if value == 0:
        return "0"
    if not scale or not math.isfinite(scale):
        return f"{value:.3g}"
    decimals = 1 - math.floor(math.log10(abs(scale)))
    if decimals > 6 or abs(value) >= 1e7:
        return f"{value:.3g}"
    rounded = round(value, decimals) + 0.0
    return f"{rounded:.{max(decimals, 0)}f}"


def _claim(claim: Claim) -> str:
    interval = claim.interval
    if claim.diverges:
        return f"{claim.subject} is worse than {claim.reference}, {_scope(interval.n)}: {claim.obstacle}"
    if interval.mean is None or interval.n < MIN_PAIRS:
        return _too_few(claim)
    if interval.identical and not claim.obstacle:
        what = f"exactly the same {claim.metric} in all {interval.n} pairs, so they are the same by definition"
        return f"{claim.subject} and {claim.reference} give {what}, {_scope(interval.n)}"
    return f"{_effect(claim)}, {_scope(interval.n)}"


def _effect(claim: Claim) -> str:
    interval, reference = claim.interval, claim.reference
    difference = f"{_difference(claim)} that of {reference}"
    outcome = "undecided" if claim.obstacle else judge(interval, _per_unit(claim))
    if outcome == "undecided":
        reason = claim.obstacle or _open_reason(interval)
        difference = f"{_difference(claim, judged=False)} that of {reference}"
        return f"Undecided: {reason}; {_subject(claim)} is estimated {difference} ({_interval(claim)})"
    if outcome == "same":
        margin = number(claim.rule.margin or 0.0)
        same = f"{_cause(claim)} leaves the {claim.metric} of {claim.subject} the same as that of {reference}"
        if claim.doses is None:
            same = f"The {claim.metric} of {claim.subject} is the same as that of {reference}"
        but = f", {claim.exceptions}" if claim.exceptions else ""
        return f"{same} to within the margin of {margin} ({_interval(claim)}){but}"
    makes = f"{_cause(claim)} makes the {claim.metric} of {claim.subject}"
    if claim.doses is None:
        makes = f"The {claim.metric} of {claim.subject} is"
    return f"{makes} {difference} ({_interval(claim)})"


def _too_few(claim: Claim) -> str:
    n = claim.interval.n
    count = {0: "there is no complete pair", 1: "there is only 1 complete pair"}.get(
        n, f"there are only {n} complete pairs"
    )
    blocked = f"; {claim.obstacle}" if claim.obstacle else ""
    return (
        f"Undecided {_scope(n)}: {count} for the {claim.metric} of {claim.subject} against {claim.reference}, "
        f"and an interval needs at least {MIN_PAIRS}{blocked}"
    )


def _open_reason(interval: Interval) -> str:
    if interval.low is None:
        return f"{interval.n} pairs are too few for a finite sequential interval"
    return "the interval contains 0, so either direction is possible"


def _cause(claim: Claim) -> str:
    if claim.doses is None:
        return ""
    low, high = claim.doses
    return "Raising α from 0 to 1" if claim.doses == (0, 1) else f"Raising α by 1 (studied from {low:g} to {high:g})"


def _subject(claim: Claim) -> str:
    cause = _cause(claim)
    return f"{cause and f'on {cause[0].lower()}{cause[1:]}, '}the {claim.metric} of {claim.subject}"


def _difference(claim: Claim, *, judged: bool = True) -> str:
    mean = claim.interval.mean
    if not mean:
        return "no different from"
    side = "lower" if mean < 0 else "higher"
    if judged:
        side += " (better)" if claim.rule.better(mean) else " (worse)"
    return f"{number(abs(mean), _half_width(claim.interval))} {side} than"


def _interval(claim: Claim) -> str:
    interval, rule = claim.interval, claim.rule
    share = f"{100 * rule.confidence:g} %"
    kind = "sequential interval" if rule.kind == "sequential" else "interval"
    if interval.low is None or interval.high is None:
        return f"{share} {kind}: still infinite, {interval.n} pairs"
    half = _half_width(interval)
    return f"{share} {kind}: {number(interval.low, half)} to {number(interval.high, half)}, {interval.n} pairs"


def _half_width(interval: Interval) -> float | None:
    if interval.low is None or interval.high is None:
        return None
    return (interval.high - interval.low) / 2


def _per_unit(claim: Claim) -> Rule:
    """The rule with the margin per unit α: it applies to the effect of the largest dose, so it is margin / span."""
    if claim.doses is None or claim.rule.margin is None:
        return claim.rule
    return replace(claim.rule, margin=claim.rule.margin / max(map(abs, claim.doses)))


def _scope(n: int) -> str:
    seeds = {0: "these seeds", 1: "this one seed"}.get(n, f"these {n} seeds")
    return f"over {seeds}, for this training and test set"

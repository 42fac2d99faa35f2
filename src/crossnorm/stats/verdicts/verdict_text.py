"""The answer in one sentence: the comparison, what was found, its interval and pairs; then notes and the scope."""

from __future__ import annotations

from dataclasses import dataclass

from crossnorm.metric import Metric
from crossnorm.stats.inference.comparison import Outcome, Rule
from crossnorm.stats.inference.intervals import MIN_PAIRS, Interval
from crossnorm.stats.verdicts.number_text import brief, dose_words, number

__all__ = ["Claim", "answer_sentence", "metric_words", "no_answer_sentence"]

_SETS = "this training and test set"


@dataclass(frozen=True, kw_only=True)
class Claim:
    """The content of the sentence.

    Args:
        subject: The variant or arm.
        reference: What it is compared with, "its control attenuated" or "the baseline".
        metric: The metric.
        doses: Where the trend starts and ends, 0 included; None without a trend.
        dose_name: What the doses are called: "α" or "dose".
        unit: What the estimate is per unit of; empty without a trend.
        interval: The estimate; per unit of dose for a trend.
        rule: Direction, margin, confidence and kind of interval.
        verdict: The word.
        finite_from: Number of pairs from which the interval is finite.
        obstacle: Why the interval cannot decide (diverged runs, missing values); empty: it can.
        diverges: Whether the excess of diverged runs is significant, which makes the subject worse.
        exceptions: A clause for single doses that differ while the trend is "same".
        notes: Further sentences, without their full stops.
        scope: Model, task and recipe; empty for a table of runs.
    """

    subject: str
    reference: str
    metric: Metric
    doses: tuple[float, float] | None
    dose_name: str
    unit: str
    interval: Interval
    rule: Rule
    verdict: Outcome
    finite_from: int
    obstacle: str = ""
    diverges: bool = False
    exceptions: str = ""
    notes: tuple[str, ...] = ()
    scope: str = ""


def answer_sentence(claim: Claim) -> str:
    """The answer in one sentence, followed by its notes and its scope."""
    found = f"{claim.subject} against {claim.reference}{_trend(claim)}: {_finding(claim)}"
    return _sentences(found, *claim.notes, _scope(claim.scope, claim.interval.n))


def no_answer_sentence(
    metric: Metric,
    verdicts: list[Outcome | None],
    n: int,
    *,
    dosed: bool = False,
    notes: tuple[str, ...] = (),
    scope: str = "",
) -> str:
    """The sentences for tables without a single declared comparison: several free-form arms, or none.

    Args:
        metric: The metric.
        verdicts: Of the arms other than the baseline.
        n: Number of pairs.
        dosed: Whether arms have doses that make no trend.
        notes: Further sentences, without their full stops.
        scope: Model, task and recipe; empty for a table of runs.
    """
    if not verdicts:
        nothing = f"There is nothing to compare: the table holds one arm alone ({metric_words(metric)})"
        return _sentences(nothing, *notes)
    counts = ", ".join(
        f"{verdicts.count(word)} {word}" for word in ("better", "worse", "same", "undecided") if word in verdicts
    )
    why = "arms that share a dose differ in something else" if dosed else "no dose was varied"
    return _sentences(
        f"No single comparison was declared and {why}, so there is no trend",
        f"Of {len(verdicts)} arms against the baseline in {metric_words(metric)}: {counts}",
        *notes,
        _scope(scope, n),
    )


def metric_words(metric: Metric) -> str:
    """``test loss``, ``mean test loss over training``, ``steps to target (test accuracy 0.5)``."""
    base = metric.base.replace("_", " ")
    if metric.target is not None:
        return f"steps to target ({base} {brief(metric.target)})"
    return f"mean {base} over training" if metric.summary == "auc" else base


def _sentences(*parts: str) -> str:
    return " ".join(f"{part}." for part in parts)


def _trend(claim: Claim) -> str:
    """``, trend from α = 0 to 1``; the estimate is per unit of dose, which is said where the doses do not tell."""
    if claim.doses is None:
        return ""
    start, end = claim.doses
    unit = "" if claim.doses == (0, 1) else f", per unit of {claim.unit}"
    return f", trend from {dose_words(claim.dose_name, start)} to {brief(end)}{unit}"


def _finding(claim: Claim) -> str:
    interval, metric = claim.interval, metric_words(claim.metric)
    if claim.diverges:
        return f"worse, because {claim.obstacle}"
    if interval.mean is None or interval.n < MIN_PAIRS:
        return _too_few(claim)
    if claim.verdict == "undecided":
        reason = claim.obstacle or _open_reason(claim)
        return f"undecided, because {reason}; {metric} estimated {_difference(claim)}{_bounds(claim)}"
    if interval.identical:
        return f"{metric} exactly the same in all {interval.n} pairs, so they are the same by definition"
    if claim.verdict == "same":
        margin = f"{metric} the same to within the margin of {brief(claim.rule.margin or 0.0, 3)}{_at(claim)}"
        but = f"; {claim.exceptions}" if claim.exceptions else ""
        return f"{margin}; estimated {_difference(claim)}{_bounds(claim)}{but}"
    return f"{metric} {_difference(claim)} ({claim.verdict}){_bounds(claim, '; ')}"


def _too_few(claim: Claim) -> str:
    n = claim.interval.n
    count = {0: "there is no complete pair", 1: "there is only 1 complete pair"}.get(
        n, f"there are only {n} complete pairs"
    )
    blocked = f"; {claim.obstacle}" if claim.obstacle else ""
    needed = f"an interval needs at least {MIN_PAIRS}"
    return f"undecided, because {count} for {metric_words(claim.metric)} and {needed}{blocked}"


def _open_reason(claim: Claim) -> str:
    if claim.interval.low is None:
        known = f"{claim.interval.n} pairs are too few for a sequential interval"
        return f"{known}, which is finite from {claim.finite_from} pairs"
    margin = claim.rule.margin
    beyond = "" if margin is None else f" and reaches beyond the margin of {brief(margin, 3)}{_at(claim)}"
    return f"the interval contains 0{beyond}"


def _at(claim: Claim) -> str:
    """Where the margin applies, if the estimate is per unit and the largest dose is not 1."""
    if claim.doses is None or claim.doses == (0, 1):
        return ""
    return f" at {dose_words(claim.dose_name, max(claim.doses, key=abs))}"


def _difference(claim: Claim) -> str:
    mean = claim.interval.mean
    if not mean:
        return "no different"
    return f"{number(abs(mean), scale=_half_width(claim.interval))} {'lower' if mean < 0 else 'higher'}"


def _bounds(claim: Claim, before: str = ", ") -> str:
    interval, rule = claim.interval, claim.rule
    if interval.low is None or interval.high is None:
        return ""
    kind = "sequential interval" if rule.kind == "sequential" else "interval"
    low, high = (number(end, sign=True, scale=_half_width(interval)) for end in (interval.low, interval.high))
    return f"{before}{100 * rule.confidence:g} % {kind} {low} to {high} from {interval.n} same-seed pairs"


def _half_width(interval: Interval) -> float | None:
    if interval.low is None or interval.high is None:
        return None
    return (interval.high - interval.low) / 2


def _scope(scope: str, n: int) -> str:
    seeds = {0: "these seeds", 1: "this one seed"}.get(n, f"these {n} seeds")
    return f"Scope: {scope + ', ' if scope else ''}{seeds} and {_SETS}"

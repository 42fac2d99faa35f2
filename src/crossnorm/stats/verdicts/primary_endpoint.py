"""The primary endpoint: the trend of (first variant - its control), or the only arm to compare.

Its error level is separate from that of the family of arms.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from crossnorm.metric import DIRECTIONS, Metric
from crossnorm.stats.inference.comparison import Outcome, Rule, compare_arms, judge, lacks_values
from crossnorm.stats.inference.divergence import Divergence, divergence
from crossnorm.stats.inference.intervals import MIN_PAIRS, Interval
from crossnorm.stats.inference.repeated_seeds import repeated_seeds
from crossnorm.stats.inference.sequential import first_bounded
from crossnorm.stats.inference.trend import DoseGrid, dose_grids, seed_slopes
from crossnorm.stats.runs.run_table import Floats, Table
from crossnorm.stats.verdicts.number_text import listed, number
from crossnorm.stats.verdicts.verdict import Answer
from crossnorm.stats.verdicts.verdict_text import Claim, answer_sentence, metric_words, no_answer_sentence

__all__ = ["declared_contrast", "primary_answer"]


@dataclass(frozen=True, kw_only=True)
class _Question:
    """Arms and their references; with a grid, the question is a trend over its doses."""

    arms: tuple[int, ...]
    references: tuple[int, ...]
    grid: DoseGrid | None

    def differences(self, values: Floats) -> Floats:
        """One number per complete seed: a slope, or a difference."""
        if self.grid is not None:
            return seed_slopes(values, self.grid, self.references)
        row = values[self.arms[0]] - values[self.references[0]]
        return np.asarray(row[~np.isnan(row)])

    def identical(self, values: Floats) -> bool:
        """Whether all values agree, and not only all slopes."""
        gaps = values[list(self.arms)] - values[list(self.references)]
        return bool((gaps[:, ~np.isnan(gaps).any(axis=0)] == 0).all())


def primary_answer(
    table: Table,
    metric: Metric,
    rule: Rule,
    grids: tuple[DoseGrid, ...],
    verdicts: list[Outcome | None],
    *,
    scope: str = "",
    remark: str = "",
) -> Answer:
    """The primary answer; None for its numbers if several free-form arms leave no single question.

    Args:
        table: The runs.
        metric: The metric judged.
        rule: Direction, margin, confidence and kind of interval.
        grids: The table's variants; the first is the declared one.
        verdicts: Of the arms other than the baseline, for the sentence if there is no single question.
        scope: Model, task and recipe, for the sentence.
        remark: A further sentence, without its full stop.
    """
    values = table.final(str(metric))
    question = _question(table, grids)
    if question is None:
        n = int((~np.isnan(values[1:] - values[0])).any(axis=0).sum())
        notes = (remark,) if remark else ()
        dosed = any(arm.alpha for arm in table.arms[1:])
        sentence = no_answer_sentence(metric, list(verdicts), n, dosed=dosed, notes=notes, scope=scope)
        return Answer(contrast=None, estimate=None, low=None, high=None, p_value=None, verdict=None, sentence=sentence)
    interval = rule.interval(question.differences(values), alone=True)
    interval = replace(interval, identical=interval.identical and question.identical(values))
    if repeated_seeds(table, metric, (*question.arms, *question.references)):
        interval = interval.unbounded
    claim = _claim(table, metric, rule, question, interval)
    claim = replace(claim, scope=scope, notes=(*claim.notes, *([remark] if remark else [])))
    return Answer(
        contrast=_contrast(table, question),
        estimate=interval.mean,
        low=interval.low,
        high=interval.high,
        p_value=interval.p_value,
        verdict=claim.verdict,
        sentence=answer_sentence(claim),
        unit=claim.unit,
    )


def declared_contrast(table: Table) -> str | None:
    """What the primary answer compares, such as "convex - attenuated"; None if there is no single question."""
    question = _question(table, dose_grids(table))
    return None if question is None else _contrast(table, question)


def _contrast(table: Table, question: _Question) -> str:
    return " - ".join(_names(table, question))


def _question(table: Table, grids: tuple[DoseGrid, ...]) -> _Question | None:
    if grids:
        return _Question(arms=grids[0].arms, references=grids[0].controls, grid=grids[0])
    serving = {table.control(i) for i in range(1, len(table.arms))}
    asked = [i for i in range(1, len(table.arms)) if i not in serving]
    if len(asked) != 1:
        return None
    return _Question(arms=(asked[0],), references=(table.control(asked[0]),), grid=None)


def _names(table: Table, question: _Question) -> tuple[str, str]:
    """Names of subject and reference: variants for a trend, arms otherwise."""
    reference = table.arms[question.references[-1]]
    if question.grid is None:
        return table.arms[question.arms[0]].name, reference.name
    is_baseline = question.references[-1] == 0
    return question.grid.variant, reference.name if is_baseline else reference.variant or reference.name


def _claim(table: Table, metric: Metric, rule: Rule, question: _Question, interval: Interval) -> Claim:
    subject, reference = _names(table, question)
    grid = question.grid
    pairs = _divergences(table, question, rule)
    repeated = "" if interval.identical else _repeated(table, metric, question)
    significant = not repeated and any(pair.excess and pair.p_value <= rule.level / len(pairs) for pair in pairs)
    values = table.final(str(metric))
    obstacle = repeated or _obstacle(pairs, subject, reference)
    obstacle = obstacle or _without_value(table, values, question, subject, reference)
    notes = (_disagreement(table, metric, question), _left_out(table), _unfinished(table))
    return Claim(
        subject=subject,
        reference=_described(reference, is_control=any(i != 0 for i in question.references)),
        metric=metric,
        doses=None if grid is None else _ends(grid),
        unit="" if grid is None else grid.unit(table.dose_name),
        dose_name=table.dose_name,
        interval=interval,
        rule=rule,
        verdict=_verdict(interval, _at_largest_dose(rule, grid), obstacle=bool(obstacle), diverges=significant),
        finite_from=max(MIN_PAIRS, first_bounded(rule.level, prior=rule.prior)),
        obstacle=obstacle,
        diverges=significant,
        exceptions=_exceptions(table, metric, values, rule, question),
        notes=tuple(note for note in notes if note),
    )


def _ends(grid: DoseGrid) -> tuple[float, float]:
    """Where the trend starts and ends; 0 is studied with every variant."""
    low, high = min(0.0, *grid.doses), max(0.0, *grid.doses)
    return (high, low) if grid.sign < 0 else (low, high)


def _described(reference: str, *, is_control: bool) -> str:
    if is_control:
        return f"its control {reference}"
    return "the baseline" if reference == "baseline" else f"the baseline {reference}"


def _verdict(interval: Interval, rule: Rule, *, obstacle: bool, diverges: bool) -> Outcome:
    """The word, in the order of the rules for an arm."""
    if diverges:
        return "worse"
    if obstacle or interval.n < MIN_PAIRS:
        return "undecided"
    return judge(interval, rule)


def _at_largest_dose(rule: Rule, grid: DoseGrid | None) -> Rule:
    """The rule for an estimate per unit of dose: the margin applies to the effect of the largest dose."""
    if grid is None or rule.margin is None:
        return rule
    return replace(rule, margin=rule.margin / grid.span)


def _divergences(table: Table, question: _Question, rule: Rule) -> list[Divergence]:
    return [
        divergence(table.status[arm], table.status[reference], rule.kind)
        for arm, reference in zip(question.arms, question.references, strict=True)
    ]


def _repeated(table: Table, metric: Metric, question: _Question) -> str:
    """Why the interval cannot decide: runs of different seeds are the same to the bit; else empty."""
    seeds = repeated_seeds(table, metric, (*question.arms, *question.references))
    if not seeds:
        return ""
    named = f"seed{'s' if len(seeds) > 1 else ''} {listed([str(seed) for seed in seeds])}"
    return f"the runs of {named} are identical to the bit to those of another seed, so the pairs are not independent"


def _obstacle(pairs: list[Divergence], subject: str, reference: str) -> str:
    """Why the interval cannot decide: the subject diverged more often than its reference; else empty."""
    if not any(pair.excess for pair in pairs):
        return ""
    arm, control = sum(pair.arm for pair in pairs), sum(pair.reference for pair in pairs)
    return (
        f"{arm} run{'s' if arm != 1 else ''} of {subject} diverged against {control} of {reference}, "
        "and the remaining runs are not representative"
    )


def _without_value(table: Table, values: Floats, question: _Question, subject: str, reference: str) -> str:
    """Why the interval cannot decide: more runs of the subject than of its reference have no value; else empty."""
    pairs = [
        (lacks_values(table, values, arm), lacks_values(table, values, other))
        for arm, other in zip(question.arms, question.references, strict=True)
    ]
    if all(arm <= other for arm, other in pairs):
        return ""
    arms, others = (sum(counts) for counts in zip(*pairs, strict=True))
    return (
        f"{arms} complete run{'s' if arms != 1 else ''} of {subject} never reached a value, against {others} of "
        f"{reference}, and the remaining pairs are not representative"
    )


def _exceptions(table: Table, metric: Metric, values: Floats, rule: Rule, question: _Question) -> str:
    """A clause for doses that differ from their reference individually while the trend is flat."""
    if question.grid is None:
        return ""
    found = [
        (table.arms[arm].name, compare_arms(table, metric, values, arm, other, rule).verdict)
        for arm, other in zip(question.arms, question.references, strict=True)
    ]
    clauses = [f"{name} is {verdict}" for name, verdict in found if verdict in ("better", "worse")]
    shape = f"which a linear trend over {table.dose_name} cannot show"
    return f"but individually {' and '.join(clauses)}, {shape}" if clauses else ""


def _left_out(table: Table) -> str:
    counts = [(word, int((table.status == word).sum())) for word in ("diverged", "crashed")]
    failed = " and ".join(f"{count} {word}" for word, count in counts if count)
    return f"Of all {table.status.size} runs {failed}" if failed else ""


def _disagreement(table: Table, metric: Metric, question: _Question) -> str:
    """A sentence for test loss and test accuracy that point to different sides."""
    loss, accuracy = DIRECTIONS
    if not {loss, accuracy} <= set(table.metrics):
        return ""
    means = {}
    for name in (loss, accuracy):
        differences = question.differences(table.final(name))
        means[name] = float(differences.mean()) if differences.size else 0.0
    if means[loss] * means[accuracy] <= 0:
        return ""
    other = loss if str(metric) == accuracy else accuracy
    side = "higher" if means[other] > 0 else "lower"
    good = "better" if side == DIRECTIONS[other] else "worse"
    words = metric_words(Metric(other))
    return f"Loss and accuracy disagree in direction: {words} is {number(abs(means[other]))} {side} ({good})"


def _unfinished(table: Table) -> str:
    missing = int((table.status == "missing").sum())
    if missing == 0:
        return ""
    return f"{missing} of {table.status.size} runs {'is' if missing == 1 else 'are'} still missing"

"""Terminal summary of an audit: repeated runs, A/A comparisons, conclusion."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from crossnorm.report.formatting import NONE, metric_name, number, percent

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table as RichTable
    from rich.text import Text

    from crossnorm.study.audit.aa_arms import AaKind, Audit
    from crossnorm.study.audit.reproducibility import Repeat

__all__ = ["audit_summary"]

_KINDS = {
    "nuisance": "other dropout, otherwise paired",
    "seeds": "other seeds, no shared random numbers",
    "baseline": "seeds of the baseline compared with each other",
}

_OF_A_FUNCTION = (
    "A function is reproducible if it draws random numbers only from python, numpy and torch, which are seeded before "
    "the call. Only the verdict's metric must be bit-identical; other logged values, such as times, may differ. A/A "
    "arms of a function use other seeds (seed_offset), because its dropout cannot be changed separately."
)


def audit_summary(audit: Audit) -> Group:
    """Reproducibility, A/A comparisons with their false-positive rates, and the conclusion."""
    from rich.console import Group
    from rich.panel import Panel
    from rich.text import Text

    checked = all(repeat.holds for repeat in audit.repeats) and all(kind.rate.rate is not None for kind in audit.kinds)
    style = "red" if audit.faults else "green" if checked else "yellow"
    heading = "Audit passed" if checked else "Not everything was checked"
    conclusion = Text("\n".join(audit.faults) or f"{heading}. {' '.join(_findings(audit))}", style=style)
    return Group(
        *_determinism(audit),
        Text(),
        _kinds_table(audit),
        Text(f"{_note(audit)}\n", style="dim"),
        Panel(conclusion, title=Text(f"audit of {audit.study}"), title_align="left"),
    )


def _findings(audit: Audit) -> list[str]:
    """What an audit without faults has found, as sentences that claim no more than was measured."""
    same = [f"{repeat.arm} (seed {repeat.seed})" for repeat in audit.repeats if repeat.holds]
    unknown = [f"{repeat.arm} (seed {repeat.seed})" for repeat in audit.repeats if repeat.holds is None]
    found = [f"Trained again and bit-identical: {', '.join(same)}."] if same else []
    if unknown:
        found.append(
            f"Not comparable on this machine, which differs from the one that trained them: {', '.join(unknown)}."
        )
    for kind in audit.kinds:
        rate = kind.rate
        if rate.rate is None:
            found.append(f"False positives ({_KINDS[kind.kind]}): not estimated, because there are too few runs.")
        else:
            limit = f"with {percent(audit.confidence)} confidence at most {100 * rate.high:.0f} %"
            level = f"nominally {percent(1 - audit.confidence)}"
            found.append(f"False positives ({_KINDS[kind.kind]}): {100 * rate.rate:.1f} %, {limit}; {level}.")
    return found


def _determinism(audit: Audit) -> list[Text]:
    from rich.text import Text

    title = Text("Reproducibility: stored runs, trained again, each in a separate process", style="bold")
    lines = [Text(f"  {_repeat(repeat)}") for repeat in audit.repeats]
    return [title, *lines] + ([] if audit.function is None else [Text(_OF_A_FUNCTION, style="dim")])


def _repeat(repeat: Repeat) -> str:
    run = f"{repeat.arm}, seed {repeat.seed}"
    if repeat.difference is None:
        other = f"; in another value, {repeat.beside}" if repeat.beside else ""
        return f"{run}: bit-identical at all {repeat.evaluations} evaluations{other}"
    if repeat.holds is None:
        return f"{run}: {repeat.difference}; trained in another environment: {', '.join(repeat.elsewhere)}"
    return f"{run}: DIFFERS, {repeat.difference}"


def _kinds_table(audit: Audit) -> RichTable:
    from rich import box
    from rich.table import Table as RichTable
    from rich.text import Text

    title = Text(f"A/A: arms without a real difference, {metric_name(audit.metric)}", style="bold")
    table = RichTable(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("kind", "verdicts", "sd of pairs", "correlation", "false positives"):
        table.add_column(name, overflow="fold")
    for kind in audit.kinds:
        scatter = kind.scatter
        table.add_row(
            _KINDS[kind.kind],
            ", ".join(f"{count} {word}" for word, count in sorted(Counter(kind.verdicts.values()).items())) or NONE,
            number(None if scatter is None else scatter.sd),
            number(None if scatter is None else scatter.correlation, digits=2),
            _rate(kind),
        )
    return table


def _rate(kind: AaKind) -> str:
    rate = kind.rate
    if rate.rate is None:
        return f"too few runs ({rate.runs})"
    bounds = " to ".join(f"{100 * bound:.0f}" for bound in (rate.low, rate.high))
    return f"{100 * rate.rate:.1f} % [{bounds} %]; {rate.runs} runs, {rate.disjoint} disjoint studies"


def _note(audit: Audit) -> str:
    pairs = audit.kinds[0].rate.pairs
    level = percent(audit.confidence)
    return (
        f"Verdicts: {level} intervals over {audit.seeds} seeds, simultaneous over the study's arms. False positives: "
        f"share of studies of {pairs} pairs, resampled from these runs, whose {level} interval excludes 0; nominally "
        f"{percent(1 - audit.confidence)}. Its {level} bounds depend on the number of disjoint studies, which share no "
        "run, and are wide for few runs."
    )

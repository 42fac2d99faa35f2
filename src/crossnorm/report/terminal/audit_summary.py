"""An audit for a terminal: what was repeated, what A/A comparisons say, and whether anything is at fault.

Knows an audit's findings; trains and compares nothing. Returns a rich renderable and prints nothing.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from crossnorm.report.formatting import metric_name, number

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table as RichTable
    from rich.text import Text

    from crossnorm.study.audit.aa_arms import AaKind, Audit
    from crossnorm.study.audit.reproducibility import Repeat

__all__ = ["audit_summary"]

_KINDS = {
    "nuisance": "dropout of its own, all else paired",
    "seeds": "seeds of its own, nothing shared",
    "baseline": "seeds of the baseline against each other",
}

_OF_A_FUNCTION = (
    "A function repeats if all that is random in it comes from the generators of python, numpy and torch, which are "
    "seeded before it is called; what else it logs than the verdict's metric may differ, as times do. A dropout stream "
    "of its own cannot be given to it: its A/A arms are those on other seeds (seed_offset)."
)


def audit_summary(audit: Audit) -> Group:
    """Determinism, the A/A comparisons with their false rates, and the conclusion."""
    from rich.console import Group
    from rich.panel import Panel
    from rich.text import Text

    fine = "Nothing is at fault: repeated runs agree to the bit, and A/A verdicts err no more often than they may."
    unknown = any(repeat.holds is None for repeat in audit.repeats)
    if unknown:
        fine = "No A/A verdict is at fault; whether runs repeat to the bit cannot be told on this machine."
    conclusion = Text(
        "\n".join(audit.faults) or fine, style="red" if audit.faults else "yellow" if unknown else "green"
    )
    return Group(
        *_determinism(audit),
        Text(),
        _kinds_table(audit),
        Text(f"{_note(audit)}\n", style="dim"),
        Panel(conclusion, title=Text(f"audit of {audit.study}"), title_align="left"),
    )


def _determinism(audit: Audit) -> list[Text]:
    from rich.text import Text

    title = Text("Determinism: runs trained again, each alone in a process of its own", style="bold")
    lines = [Text(f"  {_repeat(repeat)}") for repeat in audit.repeats]
    return [title, *lines] + ([] if audit.function is None else [Text(_OF_A_FUNCTION, style="dim")])


def _repeat(repeat: Repeat) -> str:
    run = f"{repeat.arm}, seed {repeat.seed}"
    if repeat.difference is None:
        beside = f"; beside it {repeat.beside}" if repeat.beside else ""
        return f"{run}: the same bits at all {repeat.evaluations} evaluations{beside}"
    if repeat.holds is None:
        return f"{run}: {repeat.difference}; it was trained with another {', '.join(repeat.elsewhere)}"
    return f"{run}: DIFFERS, {repeat.difference}"


def _kinds_table(audit: Audit) -> RichTable:
    from rich import box
    from rich.table import Table as RichTable
    from rich.text import Text

    title = Text(f"A/A: arms treated alike, {metric_name(audit.metric)}", style="bold")
    table = RichTable(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("kind", "verdicts", "sd of pairs", "correlation", "false studies"):
        table.add_column(name, overflow="fold")
    for kind in audit.kinds:
        scatter = kind.scatter
        table.add_row(
            _KINDS[kind.kind],
            ", ".join(f"{count} {word}" for word, count in sorted(Counter(kind.verdicts.values()).items())) or "–",
            number(None if scatter is None else scatter.sd),
            number(None if scatter is None else scatter.correlation, digits=2),
            _rate(kind),
        )
    return table


def _rate(kind: AaKind) -> str:
    rate = kind.rate
    if rate.rate is None:
        return f"too few runs ({rate.runs})"
    share = " to ".join(f"{100 * bound:.0f}" for bound in (rate.low, rate.high))
    return f"{100 * rate.rate:.1f} % [{share} %]; {rate.runs} runs, {rate.disjoint} disjoint studies"


def _note(audit: Audit) -> str:
    pairs = audit.kinds[0].rate.pairs
    share = f"{100 * audit.confidence:g} %"
    return (
        f"Verdicts: {share} intervals over {audit.seeds} seeds, simultaneous over the study's arms, so all are right "
        f"with that chance. False studies: share of studies of {pairs} pairs, resampled from these runs, whose single "
        f"{share} interval excludes 0; {100 * (1 - audit.confidence):.3g} % is right. Resamples overlap, so the bounds "
        f"({share}) come from how many studies without a common run the pool holds: few runs bound little."
    )

"""The answer for a terminal: the sentence, a sparkline of the trend, and a compact table of the arms.

Knows a verdict; knows nothing of pictures or files. Returns rich renderables and prints nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from crossnorm.report.formatting import NO_PAIRS, interval, interval_note, metric_name, number, pairs_cost, pairs_needed
from crossnorm.stats import ArmResult, Contrast, Verdict, robustness_checks

if TYPE_CHECKING:
    from rich.panel import Panel
    from rich.table import Table as RichTable
    from rich.text import Text

__all__ = ["answer_panel", "arms_table", "sparkline"]

_BLOCKS = "▁▂▃▄▅▆▇█"
_COLORS = {"better": "green", "worse": "red", "same": "cyan", "undecided": "yellow"}
_MOST = 40  # points in one sparkline


def sparkline(values: Sequence[float | None]) -> str:
    """One block per value, the lowest ▁ and the highest █; a dot where there is none.

    >>> sparkline([0.0, 0.5, None, 1.0])
    '▁▅·█'
    """
    known = [value for value in values if value is not None]
    low, high = min(known, default=0.0), max(known, default=0.0)
    span = high - low
    return "".join(
        "·" if value is None else _BLOCKS[round((value - low) / span * 7) if span else 3] for value in values
    )


def answer_panel(verdict: Verdict, description: str = "") -> Panel:
    """The answer's sentence, its number, the trend over α as a sparkline, and below what was compared."""
    from rich.panel import Panel
    from rich.text import Text

    answer = verdict.answer
    text = Text(answer.sentence, style="bold")
    if answer.estimate is not None:
        share = f"{100 * verdict.confidence:g} %"
        unit = "" if verdict.trend.slope is None else ", per unit of α"
        text.append(f"\n\n{(answer.contrast or '').replace(' - ', ' − ')}{unit}: ", style="not bold")
        text.append(number(answer.estimate, sign=True))
        if answer.low is not None:
            text.append(f"  {share} interval {interval(answer.low, answer.high)}", style="not bold")
    for name, line in _trends(verdict):
        text.append(f"\n{line}  {name}", style="not bold")
    for result in robustness_checks(verdict):
        text.append(f"\n\n{result.sentence}", style="not bold")
    if description:
        text.append(f"\n\n{description}", style="not bold dim")
    if not verdict.complete:
        text.append("\n\nProvisional: not every run has ended.", style="yellow")
    return Panel(text, title=Text(verdict.study), title_align="left", padding=(1, 2))


def _trends(verdict: Verdict) -> list[tuple[str, str]]:
    """Name and sparkline over α of every variant, the baseline's 0 included, and of every contrast."""
    groups: dict[str, dict[float, float | None]] = {}
    for row in verdict.arms[1:]:
        if row.variant is not None and row.alpha:
            groups.setdefault(_where(verdict, row), {0.0: 0.0}).setdefault(row.alpha, row.difference)
    by_arm = {row.arm: row for row in verdict.arms}
    for contrast in verdict.contrasts:
        if contrast.alpha:
            names = [_where(verdict, by_arm[name]) for name in (contrast.arm, contrast.against)]
            groups.setdefault(" − ".join(names), {0.0: 0.0}).setdefault(contrast.alpha, contrast.difference)
    found = []
    for name, points in groups.items():
        doses = sorted(points)[:_MOST]
        far = max(doses, key=abs)
        said = f"{name}, α {doses[0]:g} to {doses[-1]:g}: {number(points[far], sign=True)} at {far:g}"
        found.append((said.replace("-", "−"), sparkline([points[d] for d in doses])))
    return found


def _where(verdict: Verdict, row: ArmResult) -> str:
    several = len({arm.site for arm in verdict.arms[1:]}) > 1
    name = row.variant or row.arm
    return f"{name} at {row.site}" if several and row.site else name


def arms_table(verdict: Verdict, seconds_per_seed: float | None = None) -> RichTable:
    """Arms, then arms against their controls: mean, difference, interval, verdict; within 80 columns.

    Columns that say nothing are left out: the number of pairs where it is the same for all (the caption has it), pairs
    needed where no arm needs any that are known, failed runs where there are none.

    Args:
        verdict: What is shown.
        seconds_per_seed: What one more seed of every arm takes one worker: the caption then prices the pairs needed.
    """
    from rich import box
    from rich.table import Table as RichTable
    from rich.text import Text

    better = "lower is better" if verdict.direction == "lower" else "higher is better"
    table = RichTable(
        title=Text(f"{metric_name(verdict.metric)} at the last evaluation, {better}", style="bold"),
        caption=Text(interval_note(verdict) + _price(verdict, seconds_per_seed), style="dim"),
        title_justify="left",
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )
    shown = {
        "n": len({row.n for row in verdict.arms} | {row.n for row in verdict.contrasts}) > 1,
        "pairs needed": any(pairs_needed(row) != NO_PAIRS for row in verdict.arms),
        "failed": any(row.diverged or row.crashed for row in verdict.arms),
    }
    columns = [name for name in _COLUMNS if shown.get(name, True)]
    for name in columns:
        number_like = name in ("n", "mean", "difference", "interval")
        table.add_column(name, justify="right" if number_like else "left", no_wrap=number_like, overflow="fold")
    for row in verdict.arms:
        cells = _cells(row.arm, row)
        table.add_row(*(cells[name] for name in columns))
    if verdict.contrasts:
        table.add_section()
        table.add_row(Text("− control:", style="italic"))
    for contrast in verdict.contrasts:
        cells = _cells(contrast.arm, contrast)
        table.add_row(*(cells[name] for name in columns))
    return table


def _price(verdict: Verdict, seconds_per_seed: float | None) -> str:
    """A sentence with the cost of the pairs that the arm in need of the most still lacks."""
    rows = [row for row in verdict.arms if row.pairs_needed is not None and row.verdict == "undecided"]
    most = max(rows, key=lambda row: (row.pairs_needed or (0,))[0] - row.n, default=None)
    cost = "" if most is None else pairs_cost(most, seconds_per_seed)
    if most is None or most.pairs_needed is None or not cost:
        return ""
    lacking = most.pairs_needed[0] - most.n
    more = "1 more pair" if lacking == 1 else f"{lacking} more pairs"
    return f". Pairs needed: until it is decided (likely range). {more} of all arms: {cost} on one worker"


_COLUMNS = ("arm", "n", "mean", "difference", "interval", "verdict", "pairs needed", "failed")


def _cells(name: str, row: ArmResult | Contrast) -> dict[str, str | Text]:
    """The cells of one row by column, as text that rich does not read as markup."""
    from rich.text import Text

    word = row.verdict or "–"
    cells: dict[str, str | Text] = {
        "arm": Text(name),
        "n": str(row.n),
        "mean": "",
        "difference": number(row.difference, sign=True),
        "interval": interval(row.low, row.high, digits=2),
        "verdict": Text(word, style=_COLORS.get(word, "")),
        "pairs needed": "",
        "failed": "",
    }
    if isinstance(row, ArmResult):
        failures = ((row.diverged, "diverged"), (row.crashed, "crashed"))
        cells["mean"] = number(row.mean, digits=4)
        cells["pairs needed"] = pairs_needed(row)
        cells["failed"] = ", ".join(f"{count} {what}" for count, what in failures if count)
    return cells

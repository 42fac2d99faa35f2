"""Terminal summary of a verdict: the answer, sparklines of the trends, and a table of the arms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from crossnorm.report.formatting import (
    NONE,
    answer_parts,
    contrast_name,
    count,
    endpoint_name,
    interval,
    interval_note,
    number,
    pairs_cost,
    pairs_needed,
    percent,
)
from crossnorm.stats import ArmResult, Contrast, Verdict, brief, dose_words, robustness_checks

if TYPE_CHECKING:
    from rich.panel import Panel
    from rich.table import Table as RichTable
    from rich.text import Text

__all__ = ["answer_panel", "arms_table", "sparkline"]

_BLOCKS = "▁▂▃▄▅▆▇█"
_COLORS = {"better": "green", "worse": "red", "same": "cyan", "undecided": "yellow"}
_MOST = 40  # points in one sparkline


def sparkline(values: Sequence[float | None]) -> str:
    """One block per value, from ▁ (lowest) to █ (highest); a dot for None.

    >>> sparkline([0.0, 0.5, None, 1.0])
    '▁▅·█'
    """
    known = [value for value in values if value is not None]
    low, high = min(known, default=0.0), max(known, default=0.0)
    span = high - low
    return "".join(
        "·" if value is None else _BLOCKS[round((value - low) / span * 7) if span else 3] for value in values
    )


def answer_panel(verdict: Verdict, description: str = "", notes: Sequence[str] = ()) -> Panel:
    """The answer's sentence and notes, its estimate, the trends over α as sparklines, and the study's description."""
    from rich.panel import Panel
    from rich.text import Text

    answer, (lead, rest) = verdict.answer, answer_parts(verdict)
    text = Text(lead, style="bold")
    text.append(rest, style="not bold")
    for note in notes:
        text.append(f"\n\nNote: {note}", style="not bold yellow")
    if answer.estimate is not None:
        unit = f", per unit of {answer.unit}" if answer.unit else ""
        text.append(f"\n\n{contrast_name(answer.contrast)}{unit}: ", style="not bold")
        text.append(number(answer.estimate, sign=True))
        if answer.low is not None:
            text.append(
                f"  {percent(verdict.confidence)} interval {interval(answer.low, answer.high)}", style="not bold"
            )
    for name, line in _trends(verdict):
        text.append(f"\n{line}  {name}", style="not bold")
    for result in robustness_checks(verdict):
        text.append(f"\n\n{result.sentence}", style="not bold")
    if description:
        text.append(f"\n\n{description}", style="not bold dim")
    if not verdict.complete:
        text.append("\n\nProvisional: some runs have not ended.", style="yellow")
    return Panel(text, title=Text(verdict.study), title_align="left", padding=(1, 2))


def _trends(verdict: Verdict) -> list[tuple[str, str]]:
    """Name and sparkline over α, from 0 at α = 0, of every variant and every contrast."""
    groups: dict[str, dict[float, float | None]] = {}
    for row in verdict.arms[1:]:
        if row.variant is not None and row.alpha:
            groups.setdefault(_variant_name(verdict, row), {0.0: 0.0}).setdefault(row.alpha, row.difference)
    by_arm = {row.arm: row for row in verdict.arms}
    for contrast in verdict.contrasts:
        if contrast.alpha:
            names = [_variant_name(verdict, by_arm[name]) for name in (contrast.arm, contrast.against)]
            groups.setdefault(" − ".join(names), {0.0: 0.0}).setdefault(contrast.alpha, contrast.difference)
    found = []
    for name, points in groups.items():
        doses = sorted(points)[:_MOST]
        largest = max(doses, key=abs)
        range_ = f"{verdict.dose_name} from {brief(doses[0])} to {brief(doses[-1])}"
        at = dose_words(verdict.dose_name, largest)
        text = f"{name}, {range_}: {number(points[largest], sign=True)} at {at}"
        found.append((text, sparkline([points[d] for d in doses])))
    return found


def _variant_name(verdict: Verdict, row: ArmResult) -> str:
    several = len({arm.site for arm in verdict.arms[1:]}) > 1
    name = row.variant or row.arm
    return f"{name} at {row.site}" if several and row.site else name


def arms_table(verdict: Verdict, seconds_per_seed: float | None = None, workers: int = 1) -> RichTable:
    """Mean, difference, interval and verdict of each arm, then of each contrast; at most 80 columns wide.

    Some columns are left out if they carry no information: n if equal for all arms, pairs needed and failed runs if
    there are none.

    Args:
        verdict: The verdict.
        seconds_per_seed: Time of one more seed of all arms on one worker; the caption then gives the time of the pairs
            needed.
        workers: Number of worker processes that would share them.
    """
    from rich import box
    from rich.table import Table as RichTable
    from rich.text import Text

    better = "lower is better" if verdict.direction == "lower" else "higher is better"
    table = RichTable(
        title=Text(f"{endpoint_name(verdict)}, {better}", style="bold"),
        caption=Text(_caption(verdict, seconds_per_seed, workers), style="dim"),
        title_justify="left",
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )
    compared: list[ArmResult | Contrast] = [*verdict.arms, *verdict.contrasts]
    shown = {
        "n": len({row.n for row in compared}) > 1,
        "pairs needed": any(pairs_needed(row) != NONE for row in compared),
        "failed": any(row.diverged or row.crashed for row in verdict.arms),
    }
    columns = [name for name in _COLUMNS if shown.get(name, True)]
    for name in columns:
        number_like = name in ("n", "mean", "difference", "interval")
        table.add_column(name, justify="right" if number_like else "left", no_wrap=number_like, overflow="fold")
    for row in verdict.arms:
        cells = _cells(row.arm, row)
        table.add_row(*(cells[name] for name in columns))
    short = not any(row.declared for row in verdict.contrasts)
    if verdict.contrasts:
        table.add_section()
        table.add_row(Text("arm − control:" if short else "between arms:", style="italic"))
    for contrast in verdict.contrasts:
        cells = _cells(contrast.arm if short else f"{contrast.arm} − {contrast.against}", contrast)
        table.add_row(*(cells[name] for name in columns))
    return table


def _caption(verdict: Verdict, seconds_per_seed: float | None, workers: int) -> str:
    """The intervals, the margin, why the answer's interval is narrower, and the pairs needed."""
    notes = [interval_note(verdict)]
    if verdict.margin is not None:
        notes.append(f"Margin: ±{brief(verdict.margin)}")
    if verdict.contrasts and verdict.answer.low is not None:
        notes.append("The answer below is one declared test, so its interval is narrower")
    return ". ".join(notes) + _pairs_caption(verdict, seconds_per_seed, workers) + "."


def _pairs_caption(verdict: Verdict, seconds_per_seed: float | None, workers: int) -> str:
    """Sentences on the pairs needed, with the time for the arm that needs the most."""
    compared: list[ArmResult | Contrast] = [*verdict.arms, *verdict.contrasts]
    rows = [row for row in compared if row.pairs_needed is not None and row.verdict == "undecided"]
    most = max(rows, key=lambda row: (row.pairs_needed or (0,))[0] - row.n, default=None)
    shared = None if seconds_per_seed is None else seconds_per_seed / workers
    cost = "" if most is None else pairs_cost(most, shared)
    if most is None or most.pairs_needed is None or not cost:
        return ""
    more = count(most.pairs_needed[0] - most.n, "more pair")
    meaning = "Pairs needed: the half-width then equals the margin (likely range)"
    by = "on one worker" if workers == 1 else f"with {workers} workers"
    later = "" if verdict.interval == "sequential" else "; added after looking, more are needed (crossnorm plan)"
    return f". {meaning}. {more} for all arms: {cost} {by}{later}"


_COLUMNS = ("arm", "n", "mean", "difference", "interval", "verdict", "pairs needed", "failed")


def _cells(name: str, row: ArmResult | Contrast) -> dict[str, str | Text]:
    """The cells of one row, by column; `Text` protects names from rich's markup."""
    from rich.text import Text

    word = row.verdict or NONE
    cells: dict[str, str | Text] = {
        "arm": Text(name),
        "n": str(row.n),
        "mean": "",
        "difference": number(row.difference, sign=True),
        "interval": interval(row.low, row.high, digits=2),
        "verdict": Text(word, style=_COLORS.get(word, "")),
        "pairs needed": pairs_needed(row),
        "failed": "",
    }
    if isinstance(row, ArmResult):
        failures = ((row.diverged, "diverged"), (row.crashed, "crashed"))
        cells["mean"] = number(row.mean, digits=4)
        cells["failed"] = ", ".join(f"{count} {what}" for count, what in failures if count)
    return cells

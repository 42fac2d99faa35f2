"""Terminal summary of a benchmark: throughput, parts of a training step, overhead of variants."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crossnorm.report.formatting import count, memory, number
from crossnorm.training.benchmark.bench_records import Bench

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table as RichTable

__all__ = ["bench_summary"]

_PARTS = {
    "step": "training step, batch in memory",
    "data": "· batch and augmentation",
    "forward": "· forward",
    "backward": "· backward",
    "optimiser": "· optimizer",
    "evaluation": "evaluation",
}


def bench_summary(found: Bench) -> Group:
    """Tables of throughput and overhead, at most 80 columns wide."""
    from rich.console import Group
    from rich.text import Text

    speed = (_speed_table(found), Text(_peak(found)), Text(_memory(found)))
    return Group(*speed, Text(), _overhead_table(found)) if found.overhead else Group(*speed)


def _title(found: Bench) -> str:
    settings = found.settings
    threads = f", {count(settings.threads, 'thread')}" if found.device == "cpu" else ""
    recipe = f"recipe {settings.recipe.name}, batch {settings.recipe.batch_size}"
    return f"{settings.model['name']}, {recipe}, on {found.device} in {found.precision}{threads}"


def _speed_table(found: Bench) -> RichTable:
    table = _table(_title(found), "", "examples/s", "quartiles", "ms per batch")
    batch = found.settings.recipe.batch_size
    for part in found.speed.parts:
        name = _cohort(found.settings.members) if part.name == "cohort" else _PARTS[part.name]
        quartiles = f"{number(part.rate.low)}–{number(part.rate.high)}"
        milliseconds = number(1e3 * batch * part.seconds.median / part.examples)
        table.add_row(name, number(part.rate.median), quartiles, milliseconds)
    return table


def _cohort(members: int) -> str:
    return "one member, end to end" if members == 1 else f"each of {members} members, end to end"


def _peak(found: Bench) -> str:
    speed = found.speed
    low, high = 100 * speed.share.low, 100 * speed.share.high
    return (
        f"Peak throughput: {number(speed.ceiling.median / 1e9)} GFLOP/s, measured on 2048³ matrix products. A training "
        f"step takes {number(speed.operations / 1e9)} GFLOP (convolutions and matrix products) and reaches "
        f"{100 * speed.share.median:.0f} % of the peak [{low:.0f} to {high:.0f}]."
    )


def _memory(found: Bench) -> str:
    return f"Peak resident memory of the process: {memory(found.peak_memory)}."


def _overhead_table(found: Bench) -> RichTable:
    sites = list(dict.fromkeys(row.site for row in found.overhead))
    names = list(dict.fromkeys(row.variant for row in found.overhead))
    columns = (name for site in sites for name in (site, "quartiles"))
    table = _table("Time of a training step relative to the baseline", "variant", *columns)
    ratio = {(row.variant, row.site): row.ratio for row in found.overhead}
    for name in names:
        cells = (ratio[name, site] for site in sites)
        table.add_row(name, *(text for r in cells for text in (f"{r.median:.3f}", f"{r.low:.3f}–{r.high:.3f}")))
    return table


def _table(title: str, *columns: str) -> RichTable:
    from rich import box
    from rich.table import Table as RichTable
    from rich.text import Text

    table = RichTable(title=Text(title, style="bold"), title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for index, name in enumerate(columns):
        quartiles = name == "quartiles"
        table.add_column(name, justify="left" if index == 0 else "right", style="dim" if quartiles else None)
    return table

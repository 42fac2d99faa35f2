"""A bench for a terminal: throughput, parts of a step, and what the variants cost.

Knows what was measured; knows nothing of how. Returns rich renderables and prints nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from crossnorm.report.formatting import number
from crossnorm.training.benchmark.bench_records import Bench

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table as RichTable

__all__ = ["bench_summary"]

_NOT_MEASURED = "not measured"
_SAID = {
    "step": "training step, on a ready batch",
    "data": "· batch and augmentation",
    "forward": "· forward",
    "backward": "· backward",
    "optimiser": "· optimiser",
    "evaluation": "evaluation",
}


def bench_summary(found: Bench) -> Group:
    """Tables of speed and overhead; within 80 columns."""
    from rich.console import Group
    from rich.text import Text

    speed = (_speed_table(found), Text(_ceiling(found)), Text(_memory(found)))
    return Group(*speed, Text(), _overhead_table(found)) if found.overhead else Group(*speed)


def _title(found: Bench) -> str:
    settings = found.settings
    threads = f", {settings.threads} thread{'' if settings.threads == 1 else 's'}" if found.device == "cpu" else ""
    recipe = f"recipe {settings.recipe.name}, batch {settings.recipe.batch_size}"
    return f"{settings.model['name']}, {recipe}, on {found.device} in {found.precision}{threads}"


def _speed_table(found: Bench) -> RichTable:
    table = _table(_title(found), "", "examples/s", "quartiles", "ms a batch")
    batch = found.settings.recipe.batch_size
    for part in found.speed.parts:
        said = _cohort(found.settings.members) if part.name == "cohort" else _SAID[part.name]
        quartiles = f"{number(part.rate.low)}–{number(part.rate.high)}"
        milliseconds = number(1e3 * batch * part.seconds.median / part.examples)
        table.add_row(said, number(part.rate.median), quartiles, milliseconds)
    return table


def _cohort(members: int) -> str:
    return "one member, end to end" if members == 1 else f"each of {members} members, end to end"


def _ceiling(found: Bench) -> str:
    speed = found.speed
    low, high = 100 * speed.share.low, 100 * speed.share.high
    return (
        f"Ceiling: {number(speed.ceiling.median / 1e9)} GFLOP/s in a 2048³ matrix product. A step is "
        f"{number(speed.operations / 1e9)} GFLOP of convolutions and matrix products and reaches "
        f"{100 * speed.share.median:.0f} % of it [{low:.0f} to {high:.0f}]."
    )


def _memory(found: Bench) -> str:
    peak = _NOT_MEASURED if found.peak_memory is None else f"{found.peak_memory / 2**20:.0f} MiB"
    return f"Peak resident memory of the process: {peak}."


def _overhead_table(found: Bench) -> RichTable:
    sites = list(dict.fromkeys(row.site for row in found.overhead))
    names = list(dict.fromkeys(row.variant for row in found.overhead))
    columns = (name for site in sites for name in (site, "quartiles"))
    table = _table("Time of a training step over the baseline's", "variant", *columns)
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

"""A bench for the terminal: throughput, and the overhead of each variant."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crossnorm.report.formatting import number
from crossnorm.training.benchmark.benchmark import Bench

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table

__all__ = ["bench_summary"]


def bench_summary(found: Bench) -> Group:
    """Tables of throughput and overhead, at most 80 columns wide."""
    from rich.console import Group

    if not found.overhead:
        return Group(_title(found), _throughput(found))
    heading = "Time of a training step, divided by that with plain attention"
    return Group(_title(found), _throughput(found), heading, _overhead(found))


def _title(found: Bench) -> str:
    settings = found.settings
    threads = f", {settings.threads} thread{'' if settings.threads == 1 else 's'}" if found.device == "cpu" else ""
    recipe = f"recipe {settings.recipe.name}, batch {settings.recipe.batch_size}"
    return f"{settings.model['name']}, {recipe}, on {found.device} in {found.precision}{threads}"


def _throughput(found: Bench) -> Table:
    count = found.settings.members
    training = f"training, {count} member{'' if count == 1 else 's'}"
    table = _table("", "examples/s", "quartiles")
    for name, rate in ((training, found.training), ("evaluation", found.evaluation)):
        table.add_row(name, number(rate.median), f"{number(rate.low)}–{number(rate.high)}")
    return table


def _overhead(found: Bench) -> Table:
    sites = next(iter(found.overhead.values()))
    table = _table("variant", *(heading for site in sites for heading in (site, "quartiles")))
    for variant, at in found.overhead.items():
        cells = [(f"{r.median:.3f}", f"{r.low:.3f}–{r.high:.3f}") for r in at.values()]
        table.add_row(variant, *(text for cell in cells for text in cell))
    return table


def _table(*columns: str) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for index, name in enumerate(columns):
        style = "dim" if name == "quartiles" else None
        table.add_column(name, justify="right" if index else "left", style=style)
    return table

"""Print the result of a study."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from crossnorm.api import Result

__all__ = ["show"]


def show(result: Result, folder: Path | None = None) -> None:
    """Print arms and answer; exit with code 1 if runs crashed."""
    from rich.console import Console

    from crossnorm.report import answer_panel, arms_table

    console = Console()
    console.print(arms_table(result.verdict, result.facts.get("seconds_per_seed")))
    console.print(answer_panel(result.verdict, result.facts.get("description", ""), result.notes))
    where = folder or result.folder
    if where is not None:
        console.print(f"Report: {where / 'report.html'}", highlight=False, soft_wrap=True)
    if (result.table.status == "crashed").any():
        raise typer.Exit(1)

"""Print the result of a study, and leave with the exit code that it asks for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from crossnorm.cli.app import print_json, terminal
from crossnorm.errors import printable

if TYPE_CHECKING:
    from crossnorm.api import Result

__all__ = ["show"]


def show(
    result: Result, folder: Path | None = None, *, as_json: bool = False, expected: Sequence[str] = (), workers: int = 1
) -> None:
    """Print arms and answer, or verdict.json.

    Args:
        result: What to print.
        folder: Where the report lies; None: the result's own folder.
        as_json: Print verdict.json and nothing else.
        expected: The words that the answer may be; empty: any.
        workers: Worker processes that would train further pairs.

    Raises:
        typer.Exit: With code 1 if runs crashed, else 3 if the answer is none of the expected words.
    """
    if as_json:
        print_json(result.verdict.to_json())
    else:
        _print(result, folder or result.folder, workers)
    if (result.table.status == "crashed").any():
        raise typer.Exit(1)
    found = result.verdict.answer.verdict
    if expected and found not in expected:
        answer = "there is no single declared comparison" if found is None else f"the answer is {found}"
        typer.echo(f"crossnorm: expected {' or '.join(expected)}; {answer}.", err=True)
        raise typer.Exit(3)


def _print(result: Result, folder: Path | None, workers: int) -> None:
    from crossnorm.report import answer_panel, arms_table

    console = terminal()
    console.print(arms_table(result.verdict, result.facts.get("seconds_per_seed"), workers))
    console.print(answer_panel(result.verdict, result.facts.get("description", ""), result.notes))
    if folder is not None:
        console.print(f"Report: {printable(str(folder / 'report.html'))}", highlight=False, soft_wrap=True)

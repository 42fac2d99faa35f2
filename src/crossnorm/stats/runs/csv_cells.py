"""Text in CSV files: what a spreadsheet would take for a formula has an apostrophe in front of it."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator

__all__ = ["csv_rows", "csv_text"]

_FORMULA = re.compile("'*[=+@\t\r-]")


def csv_text(text: str) -> str:
    """The text as a cell that no spreadsheet evaluates; `csv_rows` gives it back, with apostrophes of its own too."""
    return f"'{text}" if _FORMULA.match(text) else text


def csv_rows(lines: Iterable[str]) -> Iterator[dict[str, str]]:
    """The rows of a CSV file by column; too short ones have None, too long ones the key None, as `csv.DictReader`.

    Raises:
        csv.Error: The file is damaged.
    """
    for row in csv.DictReader(lines, strict=True):
        yield {_plain(key): _plain(cell) for key, cell in row.items()}


def _plain(cell: str) -> str:
    quoted = isinstance(cell, str) and cell.startswith("'") and _FORMULA.match(cell)
    return cell[1:] if quoted else cell

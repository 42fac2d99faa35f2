"""CSV tables: cells that no spreadsheet takes for a formula, and rows whose columns have different names."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterable

from crossnorm.errors import BadInput

__all__ = ["csv_rows", "csv_text"]

_FORMULA = re.compile("'*[=+@\t\r-]")


def csv_text(text: str) -> str:
    """The text as a cell that no spreadsheet evaluates; `csv_rows` gives it back, with apostrophes of its own too."""
    return f"'{text}" if _FORMULA.match(text) else text


def csv_rows(lines: Iterable[str]) -> list[dict[str, str]]:
    """The rows of a table in CSV, by the names in its first line; missing cells at the end of a row are None.

    Raises:
        BadInput: Not CSV, a column that is there twice, or a row with more cells than columns.
    """
    reader = csv.DictReader(lines, strict=True)
    try:
        names = list(reader.fieldnames or ())
        if doubled := next((name for name, count in Counter(names).items() if count > 1), None):
            raise BadInput.because("columns", f"{doubled!r} is there twice")
        rows = list(reader)
    except csv.Error as error:
        raise BadInput(f"after line {reader.line_num}", "a table in CSV", str(error)) from None
    if any(None in row for row in rows):
        raise BadInput("rows", "as many cells as columns", "a row with more")
    return [{_plain(name): _plain(cell) for name, cell in row.items()} for row in rows]


def _plain(cell: str) -> str:
    quoted = isinstance(cell, str) and cell.startswith("'") and _FORMULA.match(cell)
    return cell[1:] if quoted else cell

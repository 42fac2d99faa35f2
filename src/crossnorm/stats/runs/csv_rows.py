"""Rows of a CSV table whose columns have different names."""

from __future__ import annotations

import csv
from collections.abc import Iterable

from crossnorm.errors import BadInput

__all__ = ["csv_rows"]


def csv_rows(lines: Iterable[str]) -> list[dict[str, str]]:
    """The rows of a table in CSV, by the names in its first line.

    Raises:
        BadInput: Not CSV, a column that is there twice, or a row with more cells than columns.
    """
    reader = csv.DictReader(lines, strict=True)
    try:
        names = list(reader.fieldnames or ())
        if doubled := next((name for name in names if names.count(name) > 1), None):
            raise BadInput.because("columns", f"{doubled!r} is there twice")
        rows = list(reader)
    except csv.Error as error:
        raise BadInput(f"after line {reader.line_num}", "a table in CSV", str(error)) from None
    if any(None in row for row in rows):
        raise BadInput("rows", "as many cells as columns", "a row with more")
    return rows

"""Files with tables of runs, as rows: CSV, JSON lines, event files of TensorBoard, exports of Weights & Biases."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from crossnorm.errors import BadInput
from crossnorm.stats import Table, table_from_records
from crossnorm.stats.runs.csv_cells import csv_rows
from crossnorm.stats.runs.tracker_exports import rows_of_export
from crossnorm.study.monitoring.trackers import is_event_log, read_event_log

__all__ = ["read_tables", "refuse_studies"]


def read_tables(files: Sequence[Path], baseline: str | None = None) -> Table:
    """The table of runs in one or several files, whose rows are joined.

    A file is CSV, or JSON lines if its name ends in .jsonl. A folder, or a file of that name, is taken for the event
    files of TensorBoard (`read_event_log`).

    Args:
        files: At least one; two of them cannot give different values to one cell.
        baseline: As in `table_from_records`.

    Raises:
        BadInput: A file cannot be read or is the folder of a study, or what `table_from_records` refuses.
    """
    rows: list[Mapping[str, object]] = []
    places: list[str] = []
    for file in files:
        for number, row in enumerate(_rows(file), start=1):
            rows.append(row)
            places.append(f"{file}: row {number}")
    return table_from_records(rows, baseline=baseline, places=places)


def refuse_studies(files: Sequence[Path]) -> None:
    """Check that no folder of a study is given as a table.

    Raises:
        BadInput: One of them is.
    """
    for file in files:
        if (file / "study.yaml").is_file():
            hint = f"Its report is: crossnorm report {file}"
            raise BadInput.because(str(file), "the folder of a study, not a table of runs", hint)


def _rows(file: Path) -> Iterator[Mapping[str, object]]:
    refuse_studies([file])
    if is_event_log(file):
        yield from read_event_log(file)
        return
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise BadInput.because(str(file), "not a text file") from None
    except OSError as error:
        raise BadInput.because(str(file), f"cannot be read: {error.strerror or error}") from None
    try:
        if file.suffix == ".jsonl":
            rows = [json.loads(line) for line in text.splitlines() if line.strip()]
        else:
            rows = list(csv_rows(io.StringIO(text)))
        if not all(isinstance(row, dict) and None not in row for row in rows):
            raise ValueError("a row with another number of cells than columns")
    except (ValueError, csv.Error) as error:
        raise BadInput(str(file), "a table in CSV or JSON lines", str(error)) from None
    yield from rows_of_export(rows)

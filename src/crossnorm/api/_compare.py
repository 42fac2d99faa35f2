"""`compare` and `report_table`: the verdict on any table of runs."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from crossnorm.api._result import Result
from crossnorm.errors import BadInput
from crossnorm.metric import Metric
from crossnorm.stats import Table, estimate, table_from_records
from crossnorm.stats.runs.tracker_exports import rows_of_export
from crossnorm.study.monitoring.trackers import is_event_log, read_event_log

__all__ = ["compare", "report_table"]


def compare(
    table: Table | Iterable[Mapping[str, object]],
    *,
    metric: str,
    direction: str,
    margin: float | str | None = None,
    confidence: float = 0.95,
    baseline: str | None = None,
    name: str = "comparison",
) -> Result:
    """The verdict on any table of runs, paired by seed.

    Args:
        table: Rows with arm, seed, step and metrics, optionally dose and control, or a pandas DataFrame; or the same of
            an export of Weights & Biases (`rows_of_export`). NaN is an empty cell, except in the column `metric`: a run
            whose last value is NaN has diverged.
        metric: The column to compare, at each run's last step.
        direction: "lower" or "higher": which is better.
        margin: Largest difference that counts as "same"; "1 %" is of the baseline's mean.
        confidence: Confidence level of every interval.
        baseline: The arm to compare with; None: the one called "baseline", else the first of dose 0, else the first.
        name: Names the study in the answer.

    Raises:
        BadInput: The table, the metric or a setting is invalid.
    """
    if hasattr(table, "to_dict"):
        table = _rows_of_frame(table.to_dict("records"), metric)
    runs = table if isinstance(table, Table) else table_from_records(rows_of_export(table), baseline=baseline)
    verdict = estimate(
        runs,
        study=name,
        metric=Metric(metric, direction=direction),  # type: ignore[arg-type]
        margin=margin,
        confidence=confidence,
    )
    return Result(table=runs, verdict=verdict, facts={"title": name})


def _rows_of_frame(rows: Iterable[Mapping[str, object]], metric: str) -> list[dict[str, object]]:
    """Rows with None where a data frame marks an absent cell."""
    return [{key: None if key != metric and _absent(cell) else cell for key, cell in row.items()} for row in rows]


def _absent(cell: object) -> bool:
    try:
        return bool(cell != cell)
    except TypeError:  # pandas.NA, which is neither true nor false
        return True


def report_table(
    file: Path, metric: str, direction: str, margin: float | str | None, baseline: str | None = None
) -> Result:
    """The answer of a table of runs in a file: CSV, or JSON lines if its name ends in .jsonl.

    A folder, or a file of that name, is taken for the event files of TensorBoard (`read_event_log`).

    Raises:
        BadInput: The file cannot be read, or what `compare` refuses.
    """
    rows = read_event_log(file) if is_event_log(file) else _rows(file)
    try:
        return compare(rows, metric=metric, direction=direction, margin=margin, baseline=baseline, name=file.stem)
    except BadInput as error:
        raise error.within(str(file)) from None


def _rows(file: Path) -> list[dict[str, object]]:
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
            rows = list(csv.DictReader(io.StringIO(text), strict=True))
        if not all(isinstance(row, dict) and None not in row for row in rows):
            raise ValueError("a row with another number of cells than columns")
    except (ValueError, csv.Error) as error:
        raise BadInput(str(file), "a table in CSV or JSON lines", str(error)) from None
    return rows

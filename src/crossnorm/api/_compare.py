"""`compare`: the verdict on any table of runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from crossnorm.api._result import Result
from crossnorm.api._table_files import read_tables
from crossnorm.errors import BadInput, printable
from crossnorm.metric import Metric
from crossnorm.stats import Table, absent, estimate, table_from_records, with_endpoint
from crossnorm.stats.runs.tracker_exports import rows_of_export

__all__ = ["compare"]


def compare(
    table: Table | Iterable[Mapping[str, object]] | str | Path | Iterable[str | Path],
    *,
    metric: str,
    direction: str,
    margin: float | str | None = None,
    confidence: float = 0.95,
    baseline: str | None = None,
    name: str | None = None,
) -> Result:
    """The verdict on any table of runs, paired by seed.

    Args:
        table: Rows with arm, seed, step and metrics, optionally dose and control; a pandas DataFrame, in which NaN is
            an empty cell, except in the column `metric` at steps where another run has a value: that is a divergence;
            a file with such rows (CSV, JSON lines, event files of TensorBoard), or several whose rows are joined.
            Exports of Weights & Biases are read too (`rows_of_export`).
        metric: The column to compare, at each run's last step; or COLUMN_auc, the mean of its curve over the steps, or
            COLUMN_steps_to_TARGET, the first step at which it reaches the target.
        direction: "lower" or "higher": which side of the column is better.
        margin: Largest difference that counts as "same"; "1 %" is of the baseline's mean.
        confidence: Confidence level of every interval.
        baseline: The arm to compare with; None: the one called "baseline", else the first of dose 0, else the first.
        name: Names the study in the answer; None: the name of the first file, or "comparison".

    Raises:
        BadInput: The table, the metric or a setting is invalid.
    """
    files, given = _files_or_rows(table, metric)
    try:
        if files:
            runs = read_tables(files, baseline)
        else:
            runs = given if isinstance(given, Table) else table_from_records(rows_of_export(given), baseline=baseline)
        runs, endpoint = with_endpoint(runs, metric, direction)
        study = name or (printable(files[0].stem) if files else "comparison")
        verdict = estimate(runs, study=study, metric=endpoint, margin=margin, confidence=confidence)
    except BadInput as error:
        named = not files or any(error.name.startswith(str(file)) for file in files)
        raise (error if named else error.within(", ".join(map(str, files)))) from None
    return Result(table=runs, verdict=verdict, facts={"title": study})


def _files_or_rows(
    table: Table | Iterable[Mapping[str, object]] | str | Path | Iterable[str | Path], metric: str
) -> tuple[list[Path], Table | list[Mapping[str, object]]]:
    """The files, or else the table or its rows."""
    if isinstance(table, Table):
        return [], table
    if isinstance(table, str | Path):
        return [Path(table)], []
    if hasattr(table, "to_dict"):
        return [], _rows_of_frame(table.to_dict("records"), metric)
    items = list(table)
    files = [Path(item) for item in items if isinstance(item, str | Path)]
    rows = [item for item in items if isinstance(item, Mapping)]
    if len(files) == len(items) or len(rows) == len(items):
        return files, rows
    expected = "rows (mappings from column to value), a data frame, or files of rows"
    other = next((item for item in items if not isinstance(item, str | Path | Mapping)), "rows and files together")
    raise BadInput("table", expected, other if isinstance(other, str) else f"a list with {type(other).__name__}")


def _rows_of_frame(rows: list[Mapping[str, object]], metric: str) -> list[Mapping[str, object]]:
    """Rows with None where a data frame marks an absent cell.

    NaN in the metric, or in the column that it sums up, is a divergence if another run has a value at that step; where
    no run has one, the metric was not measured.
    """
    judged = {metric, Metric.parse(metric).base}
    measured = {(name, _step(row)) for row in rows for name in judged if not absent(row.get(name))}
    return [
        {
            key: None if absent(cell) and (key not in judged or (key, _step(row)) not in measured) else cell
            for key, cell in row.items()
        }
        for row in rows
    ]


def _step(row: Mapping[str, object]) -> object:
    return row.get("step", row.get("_step"))

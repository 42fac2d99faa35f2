"""Rows of a table of runs from what Weights & Biases exports."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from crossnorm.errors import BadInput
from crossnorm.stats.runs.from_records import absent

__all__ = ["rows_of_export"]

Row = Mapping[str, object]

_NAME = re.compile(r"(?P<arm>.+?)(?:[-_ ,/]+(?:seed)?|[-_ ,/]*seed)[-_ =:]*(?P<seed>\d+)", re.IGNORECASE)
_NAME_COLUMNS = ("run", "run_name", "name", "Name")
_ABOUT_RUN = ("control", "site", "status", "variant")
_CURVE = " - "
"""Between the name of a run and that of a metric, in the columns of a panel's export."""


def rows_of_export(rows: Iterable[Row]) -> list[Row]:
    """Rows with arm, seed, step and metrics, from an export; rows of any other table are returned as they are.

    - The CSV file of a panel of Weights & Biases: a column "Step", and a column "RUN - METRIC" for every run.
    - The history of runs, as JSON lines or a data frame: a column ``_step``, with columns arm and seed, or one of
      ``run``, ``run_name``, ``name`` and ``Name`` with the run's name. Columns that begin with ``_`` and cells that are
      not numbers are left out.

    The name of a run ends in its seed: ``convex-0.5, seed 3`` (as crossnorm names it), ``convex-0.5/3``,
    ``convex_seed3``. What stands before is the arm.

    Args:
        rows: The rows of the file.

    Raises:
        BadInput: A panel over another axis than the step, or of groups; a run whose name has no arm or no seed.
    """
    table = list(rows)
    columns = list(dict.fromkeys(key for row in table for key in row if isinstance(key, str)))
    if {"arm", "seed", "step"} <= set(columns):
        return table
    if any(_CURVE in column for column in columns):
        return _rows_of_panel(table, columns)
    return _rows_of_history(table) if "_step" in columns else table


def _rows_of_panel(table: Sequence[Row], columns: Sequence[str]) -> list[Row]:
    curves = {c: c.rpartition(_CURVE) for c in columns if _CURVE in c and not c.endswith(("__MIN", "__MAX"))}
    curves = {column: parts for column, parts in curves.items() if parts[2] != "_step"}
    if "Step" not in columns:
        hint = "Set the panel's x-axis to Step and export it again."
        raise BadInput("columns", "Step, then one column for every run", columns[0], hint)
    found: dict[tuple[object, object, object], dict[str, object]] = {}
    for column, (name, _, metric) in curves.items():
        run = _run_of(name)
        for row in table:
            if not absent(value := row.get(column)):
                key = (run["arm"], run["seed"], row["Step"])
                found.setdefault(key, {**run, "step": row["Step"]})[metric] = value
    return list(found.values())


def _rows_of_history(table: Sequence[Row]) -> list[Row]:
    found: list[Row] = []
    for row in table:
        if {"arm", "seed"} <= row.keys():
            run = {"arm": row["arm"], "seed": row["seed"]}
        else:
            run = _run_of(_name_in(row))
        cells = {key: value for key, value in row.items() if not key.startswith("_") and key not in run}
        kept = {key: value for key, value in cells.items() if key in _ABOUT_RUN or _is_number(value)}
        found.append({**run, "step": row["_step"], **kept})
    return found


def _name_in(row: Row) -> str:
    name = next((row[column] for column in _NAME_COLUMNS if not absent(row.get(column))), None)
    if name is None:
        hint = "Add them when you export: the history of a run does not contain its name."
        raise BadInput("columns", "arm and seed, or run with the run's name", ", ".join(map(str, row)), hint)
    return str(name)


def _run_of(name: str) -> dict[str, object]:
    """Arm and seed of a run from its name.

    Raises:
        BadInput: The name has no arm or no seed, or is that of a group.
    """
    match = _NAME.fullmatch(name.strip())
    if match is None or name.startswith("Group: "):
        hint = "Export ungrouped runs whose names end in the seed."
        raise BadInput("run", "a name with arm and seed, such as 'convex-0.5, seed 3'", name, hint)
    return {"arm": match["arm"], "seed": int(match["seed"])}


def _is_number(cell: object) -> bool:
    if isinstance(cell, bool | list | dict):
        return False
    try:
        float(cell)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return False
    return True

"""A table of runs from long records: one row per (arm, seed, step) with its metrics, as in a CSV file."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from crossnorm.errors import BadInput, is_plain
from crossnorm.stats.runs.dose_names import name_trends
from crossnorm.stats.runs.run_table import STATUSES, ArmInfo, Floats, Table

__all__ = ["absent", "table_from_records"]

_LONGEST_NAME = 500
_LARGEST_WHOLE = 2**63 - 1
_KEYS = ("arm", "seed", "step")
_ABOUT_ARM = ("variant", "dose", "site", "control")
_RESERVED = (*_KEYS, *_ABOUT_ARM, "status")


@dataclass
class _Rows:
    """The cells of all rows, in order of appearance."""

    about: dict[str, dict[str, str]] = field(default_factory=dict)
    status: dict[tuple[str, int], str] = field(default_factory=dict)
    values: dict[str, dict[tuple[str, int, int], float]] = field(default_factory=dict)
    runs: dict[tuple[str, int], set[int]] = field(default_factory=dict)


def table_from_records(
    records: Iterable[Mapping[str, object]], *, baseline: str | None = None, places: Iterable[str] | None = None
) -> Table:
    """Build a table from rows with columns arm, seed, step and metrics, and optionally dose and control.

    Further optional columns: variant, site and status (one of `STATUSES`). An empty cell or None means "not measured";
    in a column other than a metric so does nan.
    Seeds are sorted, because pairs enter sequential tests in seed order.

    A run without a status is "diverged" if its last value of any metric is nan or infinite, "missing" if it has no row
    at the last step that any run of its arm reached, and "complete" otherwise. A nan at a step where no run has a value
    means "not measured" if some run has a later value.

    An arm with a dose and no variant gets as variant its name without the trailing dose ("convex-0.5" → "convex"), or
    the joined names of such arms (`name_trends`). Trends start at dose 0: if the baseline has another dose, doses and
    variants of all arms are dropped. Doses are called α if there is a column `variant` with a name.

    Args:
        records: The rows; numbers may be text.
        baseline: The baseline's name; None: the arm called "baseline", else the first with dose 0, else the first.
        places: Where each row stands, for errors; None: "row 1", "row 2" and so on.

    Raises:
        BadInput: There are no rows, a column is missing, a cell is not a number, a cell has two values, an arm has two
            doses, or a control or baseline is unknown.
    """
    rows = _read(records, itertools.repeat(None) if places is None else places)
    if not rows.runs:
        raise BadInput("table", "at least one row with arm, seed and step", "none")
    names = _baseline_first(rows, baseline)
    seeds = sorted({seed for _, seed in rows.runs})
    steps = sorted(set().union(*rows.runs.values()))
    shape = (len(names), len(seeds), len(steps))
    of_arm, of_seed, of_step = ({key: i for i, key in enumerate(axis)} for axis in (names, seeds, steps))
    metrics: dict[str, Floats] = {}
    for metric, cells in rows.values.items():
        metrics[metric] = np.full(shape, np.nan)
        for (arm, seed, step), value in cells.items():
            metrics[metric][of_arm[arm], of_seed[seed], of_step[step]] = value
    status = np.array([[_status(rows, arm, seed) for seed in seeds] for arm in names])
    return Table(
        arms=_arms(rows, names),
        seeds=tuple(seeds),
        steps=tuple(steps),
        metrics=metrics,
        status=status,
        dose_name=_dose_name(rows),
    )


def _read(records: Iterable[Mapping[str, object]], places: Iterable[str | None]) -> _Rows:
    rows = _Rows()
    for line, (record, place) in enumerate(zip(records, places, strict=False), start=1):
        try:
            _read_row(rows, record)
        except BadInput as error:
            raise error.within(place or f"row {line}") from None
    return rows


def _read_row(rows: _Rows, record: Mapping[str, object]) -> None:
    if unnamed := [key for key in _KEYS if key not in record]:
        raise BadInput("columns", f"arm, seed, step and metrics ({unnamed[0]} is missing)", ", ".join(map(str, record)))
    if lacking := [key for key in _KEYS if absent(record.get(key))]:
        raise BadInput(lacking[0], "a value in every row", "an empty cell", "Columns: arm, seed, step, then metrics.")
    arm = _name("arm", record["arm"])
    seed, step = _integer("seed", record["seed"]), _integer("step", record["step"])
    about = rows.about.setdefault(arm, {})
    for key in _ABOUT_ARM:
        if absent(value := record.get(key)):
            continue
        text = _name(key, value)
        before = about.setdefault(key, text)
        if _number(key, before) != _number(key, text) if key == "dose" else before != text:
            raise BadInput(key, f"one {key} per arm ({arm}: {before})", text)
    if not absent(value := record.get("status")):
        if str(value) not in STATUSES:
            raise BadInput("status", "one of " + ", ".join(STATUSES), value)
        if rows.status.setdefault((arm, seed), str(value)) != str(value):
            raise BadInput("status", f"one status for arm {arm}, seed {seed}", f"{rows.status[arm, seed]} and {value}")
    rows.runs.setdefault((arm, seed), set()).add(step)
    for metric, cell in record.items():
        if metric in _RESERVED or _empty(cell):
            continue
        number, metric = _number(metric, cell), _name("columns", metric)
        cells = rows.values.setdefault(metric, {})
        known = cells.setdefault((arm, seed, step), number)
        if known != number and not (math.isnan(known) and math.isnan(number)):
            raise BadInput(metric, f"one value for arm {arm}, seed {seed}, step {step}", f"{known} and {number}")


def _name(key: str, cell: object) -> str:
    """The text of a cell that is a name."""
    text = str(cell)
    if len(text) > _LONGEST_NAME or not is_plain(text):
        expected = f"a name of at most {_LONGEST_NAME} characters, none of them a control character"
        raise BadInput(key, expected, repr(text[:60]))
    return text


def _empty(cell: object) -> bool:
    return cell is None or (isinstance(cell, str) and not cell.strip())


def absent(cell: object) -> bool:
    """Whether a cell is empty or marked as absent, as pandas does: nan, NaT or NA."""
    try:
        return _empty(cell) or bool(cell != cell)
    except TypeError:  # pandas.NA, which is neither true nor false
        return True


def _number(name: str, cell: object) -> float:
    try:
        return float(cell)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        raise BadInput(name, "a number", str(cell)[:40]) from None


def _integer(name: str, cell: object) -> int:
    try:
        whole = int(str(cell))  # exactly; by way of a float, large seeds would become equal
    except ValueError:
        number = _number(name, cell)
        if not math.isfinite(number) or number != int(number):
            raise BadInput(name, "a whole number", str(cell)[:40]) from None
        whole = int(number)
    if abs(whole) > _LARGEST_WHOLE:
        raise BadInput(name, f"a whole number of at most {_LARGEST_WHOLE}", str(cell)[:40])
    return whole


def _baseline_first(rows: _Rows, baseline: str | None) -> list[str]:
    names = list(rows.about)
    if baseline is not None and baseline not in names:
        raise BadInput("baseline", "one of " + ", ".join(names), baseline)
    zero = [name for name in names if _dose(rows, name) == 0]
    first = baseline or ("baseline" if "baseline" in names else (zero or names)[0])
    return [first, *(name for name in names if name != first)]


def _dose(rows: _Rows, name: str) -> float | None:
    text = rows.about[name].get("dose")
    return None if text is None else _number(f"arm {name}: dose", text)


def _arms(rows: _Rows, names: list[str]) -> tuple[ArmInfo, ...]:
    baseline, undosed = names[0], bool(_dose(rows, names[0]))
    arms = []
    for name in names:
        about, control = rows.about[name], rows.about[name].get("control")
        arms.append(
            ArmInfo(
                name=name,
                variant=None if undosed else about.get("variant"),
                alpha=None if undosed else _dose(rows, name),
                site=about.get("site"),
                control=None if name == baseline or control == baseline else control,
            )
        )
    return name_trends(arms, {arm.name for arm in arms if arm.variant is None})


def _dose_name(rows: _Rows) -> str:
    """Doses of named variants are α; those of other arms are doses."""
    return "α" if any("variant" in about for about in rows.about.values()) else "dose"


def _status(rows: _Rows, arm: str, seed: int) -> str:
    if (arm, seed) in rows.status:
        return rows.status[arm, seed]
    steps = rows.runs.get((arm, seed), set())
    if any(_ends_non_finite(cells, arm, seed, steps) for cells in rows.values.values()):
        return "diverged"
    reached = max(max(found) for (name, _), found in rows.runs.items() if name == arm)
    measured = any((arm, seed, step) in cells for cells in rows.values.values() for step in steps)
    return "complete" if measured and reached in steps else "missing"


def _ends_non_finite(cells: dict[tuple[str, int, int], float], arm: str, seed: int, steps: set[int]) -> bool:
    finite = {step for (_, _, step), value in cells.items() if math.isfinite(value)}
    for step in sorted(steps, reverse=True):
        value = cells.get((arm, seed, step))
        if value is None:
            continue
        if math.isfinite(value):
            return False
        if math.isinf(value) or step in finite or step > max(finite, default=-1):
            return True
    return False

"""Files with tables of runs, as rows: CSV, JSON lines, event files of TensorBoard, exports of Weights & Biases."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from crossnorm.errors import BadInput
from crossnorm.io import regular_file
from crossnorm.stats import Table, table_from_records
from crossnorm.stats.runs.csv_cells import csv_rows
from crossnorm.stats.runs.tracker_exports import rows_of_export
from crossnorm.study.monitoring.trackers import is_event_log, read_event_log
from crossnorm.study.storage.study_folder import note_results_seen
from crossnorm.study.storage.study_record import read_folder

__all__ = ["read_tables", "refuse_studies"]

_MOST_BYTES = 500_000_000  # a table is read into memory


def read_tables(files: Sequence[Path], baseline: str | None = None) -> Table:
    """The table of runs in one or several files, whose rows are joined.

    A file is CSV, or JSON lines if its name ends in .jsonl. A folder, or a file of that name, is taken for the event
    files of TensorBoard (`read_event_log`). Studies in whose runs they lie count as seen.

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
    table = table_from_records(rows, baseline=baseline, places=places)
    for file in files:
        _note_look(file)
    return table


def _note_look(file: Path) -> None:
    """Record that results were seen of the studies to whose runs a file, or what a folder holds, belongs."""
    paths = {path.resolve() for path in (file, *(path.parent for path in file.rglob("*") if is_event_log(path)))}
    runs = {each for path in paths for each in (path, *path.parents) if each.name == "runs"}
    for study in (each.parent for each in runs):
        with suppress(BadInput):  # another file named study.yaml
            if read_folder(study) is not None:
                note_results_seen(study)


def refuse_studies(files: Sequence[Path]) -> None:
    """Check that no folder of a study is given as a table.

    Raises:
        BadInput: One of them is.
    """
    for file in files:
        if (file / "study.yaml").is_file():
            hint = f"Its report is: crossnorm report {file}"
            raise BadInput.because(str(file), "the folder of a study, not a table of runs", hint)


def _distinct(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a line with a name twice")
    return found


def _rows(file: Path) -> Iterator[Mapping[str, object]]:
    refuse_studies([file])
    if is_event_log(file):
        yield from read_event_log(file)
        return
    try:
        text = regular_file(file, most=_MOST_BYTES).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise BadInput.because(str(file), "not a text file") from None
    try:
        if file.suffix == ".jsonl":
            rows = [json.loads(line, object_pairs_hook=_distinct) for line in text.splitlines() if line.strip()]
            if not all(isinstance(row, dict) for row in rows):
                raise ValueError("a line that is not an object")
        else:
            rows = csv_rows(io.StringIO(text, newline=""))
    except BadInput as error:
        raise error.within(str(file)) from None
    except (ValueError, RecursionError) as error:
        raise BadInput(str(file), "a table in CSV or JSON lines", str(error)) from None
    yield from rows_of_export(rows)

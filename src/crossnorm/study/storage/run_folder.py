"""A study's folder: what lies where, read and written one run at a time.

The layout, all of it readable by people and safe to kill at any instant:

    study.yaml                       the resolved plan, its extensions, the environment
    status.json                      what its main process is doing, while it runs
    runs/<arm>/<seed>/metrics.jsonl  a line per evaluation; the last line of a step wins
    runs/<arm>/<seed>/checkpoint.*   resume point of an unfinished run, and the one before it
    runs/<arm>/<seed>/result.json    the outcome of a finished one

Knows runs by name only; knows nothing of how they are trained or executed.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from crossnorm.io import encoded_name, read_json, write_atomically, write_json
from crossnorm.study.spec.plan import Run
from crossnorm.training.checkpoint.file_format import remove_state

__all__ = [
    "FINISHED",
    "Curve",
    "append_metrics",
    "append_row",
    "checkpoint_of",
    "checkpoint_path",
    "damaged",
    "finish",
    "read_metrics",
    "read_outcome",
    "read_result",
    "read_rows",
    "rewind_metrics",
    "rewind_rows",
    "run_folder",
    "sealed",
    "stands",
    "unfinished",
]

FINISHED = ("complete", "diverged")
"""Outcomes that stand. A crash is the machine's doing: the run is tried again by the next call."""

KNOWN = (*FINISHED, "crashed")

Row = dict[str, Any]
Seal = dict[str, Any]


def run_folder(folder: Path, run: Run) -> Path:
    """``runs/<arm>/<seed>`` of a study's folder."""
    return folder / "runs" / encoded_name(run.arm) / str(run.seed)


def checkpoint_path(folder: Path, run: Run) -> Path:
    """Where the run's resume point is."""
    return checkpoint_of(run_folder(folder, run))


def checkpoint_of(own: Path) -> Path:
    """`checkpoint_path` of the run whose own folder this is."""
    return own / "checkpoint.safetensors"


class Curve:
    """A learning curve while it is written, and the seal of what has been written.

    Args:
        own: The run's folder; made if missing.
        step: Where the run resumes: what is stored up to it is kept. None: it starts anew.
        seal: What had been written there, where that is known: exactly this is kept.
    """

    def __init__(self, own: Path, step: int | None = None, seal: object = None) -> None:
        rewind_rows(own, step, seal)
        self._file = own / "metrics.jsonl"
        written = self._file.read_bytes()
        self._bytes, self._digest = len(written), hashlib.sha256(written)

    def append(self, row: Row) -> None:
        """Add an evaluation in one write; it is durable when this returns."""
        line = (json.dumps(row, allow_nan=False) + "\n").encode()
        with self._file.open("ab") as file:
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
        self._bytes += len(line)
        self._digest.update(line)

    @property
    def seal(self) -> Seal:
        """What checkpoints and outcomes carry to tell a damaged curve by."""
        return {"bytes": self._bytes, "sha256": self._digest.hexdigest()}


def sealed(own: Path, seal: object) -> bool:
    """Whether the curve in a run's folder begins with what was sealed; None seals nothing."""
    if not isinstance(seal, dict):
        return seal is None
    try:
        written = (own / "metrics.jsonl").read_bytes()
    except OSError:
        written = b""
    size = seal.get("bytes")
    return isinstance(size, int) and _seal(written[: max(0, size)]) == seal


def _seal(written: bytes) -> Seal:
    return {"bytes": len(written), "sha256": hashlib.sha256(written).hexdigest()}


def append_metrics(folder: Path, run: Run, row: Row) -> None:
    """Add an evaluation to the learning curve, in one write."""
    append_row(run_folder(folder, run), row)


def append_row(own: Path, row: Row) -> None:
    """`append_metrics` of the run whose own folder this is."""
    with (own / "metrics.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(row, allow_nan=False) + "\n")


def read_metrics(folder: Path, run: Run) -> list[Row]:
    """The learning curve by increasing step; torn or damaged lines are left out, the last line of a step wins."""
    return read_rows(run_folder(folder, run))


def read_rows(own: Path) -> list[Row]:
    """`read_metrics` of the run whose own folder this is."""
    try:
        text = (own / "metrics.jsonl").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    rows: dict[int, Row] = {}
    for line in text.splitlines():
        row = _row(line)
        if row is not None:
            rows[row["step"]] = row
    return [rows[step] for step in sorted(rows)]


def _row(line: str) -> Row | None:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    is_row = isinstance(row, dict) and type(row.get("step")) is int and row["step"] >= 0
    return row if is_row else None


def rewind_metrics(folder: Path, run: Run, step: int | None) -> None:
    """Rewrite the learning curve up to and with `step`, where the run resumes; None: it starts anew."""
    rewind_rows(run_folder(folder, run), step)


def rewind_rows(own: Path, step: int | None, seal: object = None) -> None:
    """`rewind_metrics` of the run whose own folder this is.

    What is kept stays as it was written, so that a seal of it still holds. A seal, where one is given, says more
    exactly than the step what had been written.
    """
    own.mkdir(parents=True, exist_ok=True)
    file = own / "metrics.jsonl"
    written = file.read_bytes() if file.exists() else b""
    if isinstance(seal, dict):
        kept = written[: seal["bytes"]]
    else:
        rows = ((line, _row(line.decode(errors="replace"))) for line in written.split(b"\n"))
        kept = b"".join(line + b"\n" for line, row in rows if row and step is not None and row["step"] <= step)
    write_atomically(file, kept)


def finish(folder: Path, run: Run, status: str, reason: str | None, details: Row) -> None:
    """Record the outcome of a run; one that stands needs no resume point any more."""
    own = run_folder(folder, run)
    own.mkdir(parents=True, exist_ok=True)
    curve = own / "metrics.jsonl"
    seal = _seal(curve.read_bytes()) if curve.exists() else None
    write_json(own / "result.json", {"status": status, "reason": reason, **details, "curve": seal})
    if status in FINISHED:
        remove_state(checkpoint_path(folder, run))


def read_result(folder: Path, run: Run) -> Row | None:
    """The outcome, ``{"status": …, "reason": …, …}``; None while there is none, or if it or the curve is damaged."""
    own = run_folder(folder, run)
    result = read_outcome(own)
    return result if result is not None and sealed(own, result.get("curve")) else None


def unfinished(folder: Path, runs: Sequence[Run]) -> list[Run]:
    """The runs without an outcome that stands; of the others, what an interrupted end left is removed."""
    todo = [run for run in runs if not stands(folder, run)]
    for run in set(runs).difference(todo):
        remove_state(checkpoint_path(folder, run))
    return todo


def damaged(folder: Path, run: Run) -> bool:
    """Whether the run had an outcome that can no longer be read or no longer fits its curve."""
    return (run_folder(folder, run) / "result.json").exists() and read_result(folder, run) is None


def read_outcome(own: Path) -> Row | None:
    """`read_result` of the run whose own folder this is."""
    result = read_json(own / "result.json")
    return result if isinstance(result, dict) and result.get("status") in KNOWN else None


def stands(folder: Path, run: Run) -> bool:
    """Whether the run has an outcome that need not be computed again."""
    result = read_result(folder, run)
    return result is not None and result["status"] in FINISHED

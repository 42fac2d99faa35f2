"""The folder of one run, ``runs/<arm>/<seed>``: learning curve, checkpoint, outcome.

    metrics.jsonl   one line per evaluation; if a step occurs twice, the last line counts
    checkpoint.*    the state of an unfinished run, and the state before it
    result.json     the outcome of a finished run
    log.txt         what was printed while it trained, and the traceback of a crash

A process may be killed at any instant: a reader never sees a half-written file, and a damaged one is detected.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crossnorm.errors import BadInput, is_plain
from crossnorm.io import encoded_name, read_json, regular_file, write_atomically, write_json
from crossnorm.study.spec.plan import Run
from crossnorm.training.loop.outcome import Outcome, RunStatus

if TYPE_CHECKING:
    from crossnorm.training.checkpoint.file_format import State

__all__ = ["Row", "RunFolder"]

_LARGEST_WHOLE = 2**63

Row = dict[str, Any]
Seal = dict[str, Any]


class RunFolder:
    """Reads and writes the folder of one run; `RunFolder.of` finds it in a study's folder.

    Checkpoints and outcomes contain a seal of the learning curve: its length and SHA-256. A curve that does not match
    is damaged.

    Args:
        path: The run's folder; created by the first write.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._size = 0
        self._sha256 = hashlib.sha256()
        self._writing = False

    @classmethod
    def of(cls, study: Path, run: Run) -> RunFolder:
        """The folder of a run in the folder of its study."""
        return cls(study / "runs" / encoded_name(run.arm) / str(run.seed))

    @property
    def curve(self) -> Path:
        """The file of the learning curve."""
        return self.path / "metrics.jsonl"

    @property
    def checkpoint(self) -> Path:
        """The file of the newest checkpoint."""
        return self.path / "checkpoint.safetensors"

    @property
    def log(self) -> Path:
        """The file of what was printed, see `storage.run_log`."""
        return self.path / "log.txt"

    @property
    def writing(self) -> bool:
        """Whether `rewind` or `append` has been called."""
        return self._writing

    def rewind(self, step: int | None = None, seal: object = None) -> None:
        """Start to write: cut the stored curve back to where the run continues.

        Lines that are kept stay byte for byte, so earlier seals still match.

        Args:
            step: The last step to keep; None: start with an empty curve.
            seal: The seal of the curve to keep, if known; it takes precedence over `step`.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        stored = self._curve_to_keep()
        if isinstance(seal, dict):
            kept = stored[: seal["bytes"]]
        else:
            rows = ((line, _parsed(line.decode(errors="replace"))) for line in stored.split(b"\n"))
            kept = b"".join(line + b"\n" for line, row in rows if row and step is not None and row["step"] <= step)
        write_atomically(self.curve, kept)
        self._start(kept)

    def append(self, row: Mapping[str, Any]) -> None:
        """Add an evaluation to the curve; it is on disk when this returns."""
        if not self._writing:
            self.path.mkdir(parents=True, exist_ok=True)
            self._start(self._curve_to_keep())
        line = (json.dumps(row, allow_nan=False) + "\n").encode()
        with self.curve.open("ab") as file:
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
        self._size += len(line)
        self._sha256.update(line)

    @property
    def seal(self) -> Seal:
        """The seal of the curve as written so far."""
        return {"bytes": self._size, "sha256": self._sha256.hexdigest()}

    def sealed(self, seal: object) -> bool:
        """Whether the stored curve begins with the sealed content; always true without a seal (None)."""
        if not isinstance(seal, dict):
            return seal is None
        size = seal.get("bytes")
        return isinstance(size, int) and _seal(self._stored_curve()[: max(0, size)]) == seal

    def read_rows(self) -> list[Row]:
        """The learning curve by increasing step, without damaged lines; if a step occurs twice, its last line."""
        rows: dict[int, Row] = {}
        for line in self._stored_curve().decode("utf-8", errors="replace").splitlines():
            row = _parsed(line)
            if row is not None:
                rows[row["step"]] = row
        return [rows[step] for step in sorted(rows)]

    def load_checkpoint(self, note: Callable[[str], None], load: Callable[[State], None]) -> State | None:
        """Load the newest intact checkpoint whose curve is intact too; None if there is none.

        Args:
            note: Called with a message for every damaged checkpoint.
            load: Loads a state; raises `BadInput` if it is not one of this run.
        """
        from crossnorm.training.checkpoint.file_format import read_newest  # here: it needs torch, curves do not

        def fits(state: State) -> bool:
            if not self.sealed(state.about.get("curve")):
                return False
            load(state)
            return True

        return read_newest(self.checkpoint, note, fits)

    def remove_checkpoint(self) -> None:
        """Remove the checkpoints and what an interrupted write left."""
        from crossnorm.training.checkpoint.file_format import remove_state

        remove_state(self.checkpoint)

    def finish(self, outcome: Outcome, details: Mapping[str, Any]) -> None:
        """Write result.json, and remove the checkpoints if the outcome is final."""
        self.path.mkdir(parents=True, exist_ok=True)
        seal = _seal(self.curve.read_bytes()) if self.curve.exists() else None
        fields = {"status": outcome.status.value, "reason": outcome.reason, **details, "curve": seal}
        write_json(self.path / "result.json", fields)
        if outcome.status.is_final:
            self.remove_checkpoint()

    def read_result(self, *, check_curve: bool = True) -> Row | None:
        """The fields of result.json, `status` as a `RunStatus`; None without an outcome.

        Args:
            check_curve: Give None too if the curve does not match the outcome's seal.
        """
        result = read_json(self.path / "result.json")
        if not isinstance(result, dict) or result.get("status") not in list(RunStatus):
            return None
        numbers = result.get("step"), result.get("seconds")
        if not isinstance(result.get("reason"), str | None) or not all(map(_is_number, numbers)):
            return None
        if check_curve and not self.sealed(result.get("curve")):
            return None
        return {**result, "status": RunStatus(result["status"])}

    @property
    def finished(self) -> bool:
        """Whether the run has an intact, final outcome."""
        result = self.read_result()
        return result is not None and bool(result["status"].is_final)

    @property
    def damaged(self) -> bool:
        """Whether there is a result.json that cannot be read or does not match its curve."""
        return (self.path / "result.json").exists() and self.read_result() is None

    def _start(self, content: bytes) -> None:
        self._size, self._sha256, self._writing = len(content), hashlib.sha256(content), True

    def _curve_to_keep(self) -> bytes:
        """The content of the curve's file before it is written; an I/O error ends the run."""
        return self.curve.read_bytes() if self.curve.exists() else b""

    def _stored_curve(self) -> bytes:
        """The content of the curve's file; empty if it is missing or cannot be read."""
        try:
            return regular_file(self.curve).read_bytes()
        except (OSError, BadInput):
            return b""


def _seal(content: bytes) -> Seal:
    return {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def _parsed(line: str) -> Row | None:
    """A row of a curve; None for a torn or damaged line."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(row, dict) or type(row.get("step")) is not int or not 0 <= row["step"] < _LARGEST_WHOLE:
        return None
    return row if all(is_plain(name) and _is_number(value) for name, value in row.items()) else None


def _is_number(value: object) -> bool:
    """Whether a value of a curve is one that `append` writes: a number, true, false or null."""
    return value is None or isinstance(value, float) or (isinstance(value, int) and abs(value) < _LARGEST_WHOLE)

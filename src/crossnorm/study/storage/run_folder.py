"""The folder of one run, ``runs/<arm>/<seed>``: learning curve, checkpoint, outcome.

    metrics.jsonl   one line per evaluation; if a step occurs twice, the last line counts
    checkpoint.*    the state of an unfinished run, and the state before it
    result.json     the outcome of a finished run
    log.txt         what was printed while it trained, and the traceback of a crash

A process may be killed at any instant: a reader never sees a half-written file, and a damaged one is detected.

Outcomes and checkpoints are sealed (`run_seals`): they carry the study, the arm and the seed, and SHA-256 digests of
the curve, of the kept model and of themselves. A run whose files do not match their seals does not count.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import stat
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crossnorm.errors import is_plain
from crossnorm.io import (
    encoded_name,
    file_sha256,
    open_to_append,
    refuse_link,
    remove_leftovers,
    storing,
    write_atomically,
    write_json,
)
from crossnorm.study.spec.plan import Plan, Run
from crossnorm.study.storage.run_seals import Owner, checkpoint_problem, result_problem, sealed_result
from crossnorm.training.loop.outcome import Outcome, RunStatus

if TYPE_CHECKING:
    from crossnorm.training.checkpoint.file_format import State

__all__ = ["Row", "RunFolder", "StoredRun"]

_LARGEST_WHOLE = 2**63

Row = dict[str, Any]

_MODELS = ("model.safetensors", "model")
"""What a run keeps: a file, or a folder."""


@dataclass(frozen=True, kw_only=True)
class StoredRun:
    """What the folder of a run holds.

    Attributes:
        result: The fields of result.json, `status` as a `RunStatus`; None without an outcome that counts.
        rows: The learning curve by increasing step, without damaged lines; empty if the outcome does not count.
        problem: Why the stored outcome does not count; None if it does or there is none.
        unreadable: Whether the problem is a file that exists but cannot be read.
    """

    result: Row | None = None
    rows: list[Row] = field(default_factory=list)
    problem: str | None = None
    unreadable: bool = False

    @property
    def finished(self) -> bool:
        """Whether there is a final outcome that counts."""
        return self.result is not None and bool(self.result["status"].is_final)


class RunFolder:
    """Reads and writes the folder of one run of a study.

    Args:
        study: The study's folder.
        run: The run; its folder is created by the first write.
        plan: The plan of the folder, for the number that the run's files carry; None, or one without numbers: files of
            any study count.
    """

    def __init__(self, study: Path, run: Run, plan: Plan | None = None) -> None:
        self._study = study
        self.path = study / "runs" / encoded_name(run.arm) / str(run.seed)
        number = None if plan is None else plan.numbers.get(run.arm)
        self._owner: Owner = {"study": number, "arm": run.arm, "seed": run.seed}
        self._size = 0
        self._sha256 = hashlib.sha256()
        self._writing = False

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

    def rewind(self, seal: object = None) -> None:
        """Start to write: cut the stored curve back to where the run continues, and forget an earlier outcome.

        Bytes that are kept stay as they are, so earlier seals still match.

        Args:
            seal: The seal of the curve to keep, from a checkpoint; None: start with an empty curve.
        """
        self.make()
        with self.storing():
            remove_leftovers(self.path)
            (self.path / "result.json").unlink(missing_ok=True)  # of a crash, which was sealed with another curve
            kept = (_content(self.curve) or b"")[: seal["bytes"]] if isinstance(seal, dict) else b""
            write_atomically(self.curve, kept)
        self._start(kept)

    def append(self, row: Mapping[str, Any]) -> None:
        """Add an evaluation to the curve; it is on disk when this returns."""
        if not self._writing:
            self.make()
            self._start(_content(self.curve) or b"")
        line = (json.dumps(row, allow_nan=False) + "\n").encode()
        with self.storing(), open_to_append(self.curve) as file:
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
        self._size += len(line)
        self._sha256.update(line)

    @property
    def checkpoint_seal(self) -> dict[str, Any]:
        """What a checkpoint carries: whose it is, and the seal of the curve as written so far."""
        return {"run": self._owner, "curve": {"bytes": self._size, "sha256": self._sha256.hexdigest()}}

    def read(self) -> StoredRun:
        """What the folder holds; files that do not match their seals do not count."""
        try:
            text, curve = _content(self.path / "result.json"), _content(self.curve) or b""
        except OSError as error:
            return StoredRun(problem=_unreadable(error), unreadable=True)
        if text is None:
            return StoredRun(rows=_rows(curve))
        result = _parsed_outcome(text)
        if result is None:
            return StoredRun(problem="result.json is damaged")
        problem = result_problem(result, self._owner, curve)
        if problem is not None:
            return StoredRun(problem=problem)
        return StoredRun(result={**result, "status": RunStatus(result["status"])}, rows=_rows(curve))

    @property
    def finished(self) -> bool:
        """Whether the run has a final outcome that counts."""
        return self.read().finished

    def model_problem(self) -> str | None:
        """What is wrong with the model that the run keeps, by the digest in its result.json; None if nothing is.

        Runs of versions before 0.3 have no digest: then nothing is known to be wrong.
        """
        stored = self.read()
        if stored.problem is not None:
            return stored.problem
        if self._owner["study"] is None:
            return None
        expected, found = (stored.result or {}).get("model"), _model_digest(self.path)
        if found is None:
            return "the run's model is missing, or is a symbolic link"
        return None if found == expected else "the model is not the one that the run wrote"

    def load_checkpoint(self, note: Callable[[str], None], load: Callable[[State], None]) -> State | None:
        """Load the newest intact checkpoint of this run whose curve is intact too; None if there is none.

        Args:
            note: Called with a message for every checkpoint that is not used.
            load: Loads a state; raises `BadInput` if it is not one of this run.
        """
        from crossnorm.training.checkpoint.file_format import read_newest  # here: it needs torch, curves do not

        def problem(state: State) -> str | None:
            reason = checkpoint_problem(state.about, self._owner, self._stored_curve())
            if reason is None:
                load(state)
            return reason

        return read_newest(self.checkpoint, note, problem)

    def remove_checkpoint(self) -> None:
        """Remove the checkpoints and what an interrupted write left."""
        from crossnorm.training.checkpoint.file_format import remove_state

        remove_state(self.checkpoint)

    def finish(self, outcome: Outcome, details: Mapping[str, Any]) -> None:
        """Write result.json, and remove the checkpoints if the outcome is final."""
        self.make()
        with self.storing():
            self._write_result({"status": outcome.status.value, "reason": outcome.reason, **details})
            if outcome.status.is_final:
                self.remove_checkpoint()

    def forget(self) -> None:
        """Remove outcome and checkpoints: the run starts from the beginning."""
        (self.path / "result.json").unlink(missing_ok=True)
        self.remove_checkpoint()

    def adopt(self, unsealed: RunFolder, note: Callable[[str], None]) -> bool:
        """Seal outcome and checkpoint of a version before 0.3 as they are; returns whether there were any.

        Args:
            unsealed: The same folder, read without the study's number.
            note: Called with a message for every checkpoint that is not used.
        """
        stored = unsealed.read()
        if stored.result is not None:
            self._write_result({**stored.result, "status": stored.result["status"].value})
        if stored.finished or not self.checkpoint.exists():
            return stored.finished
        from crossnorm.training.checkpoint.file_format import State, write_state

        state = unsealed.load_checkpoint(note, lambda state: None)
        if state is not None:
            write_state(self.checkpoint, State({**state.about, "run": self._owner}, state.tensors))
        return state is not None

    def refuse_links(self) -> None:
        """Check that no folder between the study's folder and the run's files is a symbolic link.

        Raises:
            BadInput: One is.
        """
        for path in (self.path, self.path.parent, self.path.parent.parent):
            refuse_link(path)

    def make(self) -> None:
        """Create the folder, but not that of the study, which may have been moved while it is trained.

        Raises:
            BadInput: A symbolic link stands in place of a folder.
            StorageError: The study's folder is gone, or cannot be written.
        """
        self.refuse_links()
        with self.storing():
            for folder in (self.path.parent.parent, self.path.parent, self.path):
                folder.mkdir(exist_ok=True)

    def storing(self) -> AbstractContextManager[None]:
        """The context for writing files into the folder; see `crossnorm.io.storing`."""
        return storing(self._study)

    def _write_result(self, fields: Mapping[str, Any]) -> None:
        sealed = sealed_result(fields, self._owner, _content(self.curve), _model_digest(self.path))
        write_json(self.path / "result.json", sealed)

    def _start(self, content: bytes) -> None:
        self._size, self._sha256, self._writing = len(content), hashlib.sha256(content), True

    def _stored_curve(self) -> bytes:
        """The content of the curve's file; empty if it is missing or cannot be read."""
        try:
            return _content(self.curve) or b""
        except OSError:
            return b""


def _model_digest(run: Path) -> str | None:
    """SHA-256 of the kept model, a file or all files of a folder; None without one. What a link points to is none."""
    place = next((run / name for name in _MODELS if (run / name).exists()), None)
    if place is None or place.is_symlink():
        return None
    if place.is_file():
        return file_sha256(place)
    paths = sorted(place.rglob("*"))
    linked = any(path.is_symlink() for path in paths)
    return None if linked else file_sha256(*(path for path in paths if path.is_file()))


def _content(path: Path) -> bytes | None:
    """The content of a file; None if there is none.

    Raises:
        OSError: It exists but cannot be read.
    """
    try:
        kind = path.stat().st_mode
        if not stat.S_ISREG(kind) and not stat.S_ISDIR(kind):  # to open a named pipe may block for ever
            raise OSError(errno.EINVAL, "not a regular file", str(path))
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _unreadable(error: OSError) -> str:
    name = Path(str(error.filename)).name
    return f"{name} cannot be read: {error.strerror}"


def _rows(curve: bytes) -> list[Row]:
    rows: dict[int, Row] = {}
    for line in curve.decode("utf-8", errors="replace").splitlines():
        row = _parsed_row(line)
        if row is not None:
            rows[row["step"]] = row
    return [rows[step] for step in sorted(rows)]


def _parsed_object(text: str | bytes) -> Row | None:
    """A JSON object; None for anything else."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _parsed_row(line: str) -> Row | None:
    """A row of a curve; None for a torn or damaged line."""
    row = _parsed_object(line)
    if row is None or type(row.get("step")) is not int or not 0 <= row["step"] < _LARGEST_WHOLE:
        return None
    return row if all(is_plain(name) and _is_number(value) for name, value in row.items()) else None


def _parsed_outcome(text: bytes) -> Row | None:
    """The fields of a result.json; None if those that are read have other types than `finish` writes."""
    result = _parsed_object(text)
    if result is None or result.get("status") not in list(RunStatus):
        return None
    known = isinstance(result.get("reason"), str | None)
    return result if known and all(_is_number(result.get(key)) for key in ("step", "seconds", "threads")) else None


def _is_number(value: object) -> bool:
    """Whether a value of a curve is one that `append` writes: a number, true, false or null."""
    return value is None or isinstance(value, float) or (isinstance(value, int) and abs(value) < _LARGEST_WHOLE)

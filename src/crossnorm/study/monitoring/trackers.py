"""Log learning curves to TensorBoard, Weights & Biases or Trackio, and read the event files of TensorBoard.

The files in the study's folder do not depend on trackers.
"""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, redirect_stdout
from contextvars import Context
from pathlib import Path
from typing import Any, Protocol

from crossnorm.errors import BadInput, unknown_name
from crossnorm.io import refuse_link
from crossnorm.study.events import Evaluated, Event, Finished, Listener
from crossnorm.study.spec.plan import Run
from crossnorm.study.storage.run_folder import RunFolder

__all__ = ["TRACKERS", "Tracker", "is_event_log", "open_tracker", "opened_tracker", "read_event_log", "tracked"]

_MOST_CHARACTERS = 128  # of the name of a project or run
_EVENTS = "events.out.tfevents"
_SEED = re.compile(r"(?:(?P<arm>.*?)[-_ .]?)?(?:seed)?[-_ =.]?(?P<seed>\d+)", re.IGNORECASE)


class Tracker(Protocol):
    """Receives every evaluation of a study."""

    def evaluated(self, run: Run, row: Mapping[str, Any]) -> None:
        """Log a row of the run's learning curve; a resumed run repeats steps."""

    def finished(self, run: Run) -> None:
        """End the log of a run."""

    def close(self) -> None:
        """End the logs of all runs."""


def open_tracker(name: str, folder: Path, study: str) -> Tracker:
    """A tracker: "tensorboard", "wandb" or "trackio".

    Args:
        name: A name of `TRACKERS`.
        folder: The study's folder.
        study: The study's name.

    Raises:
        BadInput: An unknown name, or a client that is not installed.
    """
    if name not in TRACKERS:
        raise unknown_name("track", name, TRACKERS)
    try:
        return TRACKERS[name](folder, study)
    except ImportError as error:
        hint = "Install it with: pip install 'crossnorm[track]'."
        raise BadInput.because("track", f"{name} is not installed ({error})", hint) from None


@contextmanager
def opened_tracker(name: str | None, folder: Path, study: str) -> Iterator[list[Tracker]]:
    """`open_tracker`, closed at the end of a ``with`` block; no tracker if `name` is None."""
    if name is None:
        yield []
        return
    with closing(open_tracker(name, folder, study)) as tracker:
        yield [tracker]


def tracked(listen: Listener, trackers: Sequence[Tracker]) -> Listener:
    """A listener that passes every event on, and logs to the trackers."""

    def both(number: int, event: Event) -> None:
        listen(number, event)
        for tracker in trackers:
            if isinstance(event, Evaluated):
                tracker.evaluated(event.run, event.row)
            elif isinstance(event, Finished):
                tracker.finished(event.run)

    return both


def _metrics(row: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of a row, without null."""
    return {key: float(value) for key, value in row.items() if key != "step" and isinstance(value, int | float)}


class _TensorBoard:
    """Event files in the folders of the runs: ``tensorboard --logdir FOLDER/runs``."""

    def __init__(self, folder: Path, study: str) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._folder, self._make = folder, SummaryWriter
        self._writers: dict[Run, Any] = {}

    def evaluated(self, run: Run, row: Mapping[str, Any]) -> None:
        if run not in self._writers:  # purge_step hides what an earlier try wrote from this step on
            own = RunFolder(self._folder, run)
            self._writers[run] = self._make(str(own.path), purge_step=row["step"])  # type: ignore[no-untyped-call]
        for name, value in _metrics(row).items():
            self._writers[run].add_scalar(name, value, row["step"])
        self._writers[run].flush()

    def finished(self, run: Run) -> None:
        if run in self._writers:
            self._writers.pop(run).close()

    def close(self) -> None:
        for run in list(self._writers):
            self.finished(run)


class _Wandb:
    """One Weights & Biases run per run, grouped by arm; WANDB_MODE=offline keeps them on this machine."""

    def __init__(self, folder: Path, study: str) -> None:
        import wandb

        refuse_link(folder / "wandb")
        self._client, self._folder = wandb, folder
        self._project = _project_name(study)
        self._runs: dict[Run, Any] = {}

    def evaluated(self, run: Run, row: Mapping[str, Any]) -> None:
        if run not in self._runs:
            self._runs[run] = self._open(run)
        self._runs[run].log(_metrics(row), step=row["step"])

    def _open(self, run: Run) -> Any:
        identity = f"{self._folder.resolve()}\0{run.arm}\0{run.seed}"
        try:
            return self._client.init(
                project=self._project,
                group=run.arm,
                name=_run_name(run),
                id=hashlib.sha256(identity.encode()).hexdigest()[:16],
                config={"arm": run.arm, "seed": run.seed},
                resume="allow",
                reinit="create_new",
                dir=str(self._folder),
                settings={"console": "off", "quiet": True},  # neither print messages nor capture the output
            )
        except self._client.Error as error:
            hint = "Log in, or set WANDB_MODE=offline. The study's own folder keeps its runs."
            raise BadInput.because("track", f"wandb cannot open a run: {str(error).rstrip('.')}", hint) from None

    def finished(self, run: Run) -> None:
        if run in self._runs:
            self._runs.pop(run).finish()

    def close(self) -> None:
        for run in list(self._runs):
            self.finished(run)


class _Trackio:
    """One Trackio run per run, grouped by arm, in Trackio's own folder: ``trackio show``."""

    def __init__(self, folder: Path, study: str) -> None:
        import trackio

        self._client, self._project = trackio, _project_name(study)
        self._runs: dict[Run, Any] = {}

    def evaluated(self, run: Run, row: Mapping[str, Any]) -> None:
        if run not in self._runs:
            self._runs[run] = self._open(run)
        self._quietly(self._runs[run].log, _metrics(row), step=row["step"])

    def _open(self, run: Run) -> Any:
        try:
            return self._quietly(
                self._client.init,
                project=self._project,
                group=run.arm,
                name=_run_name(run),
                config={"arm": run.arm, "seed": run.seed},
                resume="allow",
                embed=False,
                auto_log_gpu=False,
                auto_log_cpu=False,
            )
        except ValueError as error:  # names that Trackio reserves
            raise BadInput.because("track", f"trackio cannot open a run: {str(error).rstrip('.')}") from None

    def finished(self, run: Run) -> None:
        if run in self._runs:
            self._quietly(self._runs.pop(run).finish)

    def close(self) -> None:
        for run in list(self._runs):
            self.finished(run)

    def _quietly(self, call: Callable[..., Any], *arguments: Any, **keywords: Any) -> Any:
        """Call Trackio without its messages, which go to standard output.

        Each call has a context of its own, since a new run ends the one that is current in its context.
        """
        with redirect_stdout(io.StringIO()):
            return Context().run(call, *arguments, **keywords)


def _project_name(study: str) -> str:
    return re.sub(r"[/\\#?%:]", "-", study)[:_MOST_CHARACTERS]


def _run_name(run: Run) -> str:
    return f"{run.arm}, seed {run.seed}"[:_MOST_CHARACTERS]


TRACKERS: dict[str, Callable[[Path, str], Tracker]] = {
    "tensorboard": _TensorBoard,
    "trackio": _Trackio,
    "wandb": _Wandb,
}
"""Constructors by name."""


def is_event_log(path: Path) -> bool:
    """Whether the path is a folder or an event file of TensorBoard."""
    return path.is_dir() or path.name.startswith(_EVENTS)


def read_event_log(path: Path) -> list[dict[str, Any]]:
    """Rows with arm, seed, step and metrics, from the event files of TensorBoard.

    Every folder with event files is a run. The last number of its path is the seed, the part before it the arm:
    ``convex-0.5/3``, ``convex/seed_3``, ``runs/baseline-seed3``.

    Args:
        path: The folder of the runs, or the event file of one run.

    Raises:
        BadInput: tensorboard is not installed, there are no event files, or a path has no arm or seed.
    """
    try:
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    except ImportError as error:
        hint = "Install it with: pip install 'crossnorm[track]'."
        raise BadInput.because(str(path), f"tensorboard is not installed ({error})", hint) from None
    root = path if path.is_dir() else path.parent.parent.parent
    folders = sorted({f.parent for f in path.rglob(f"{_EVENTS}*")}) if path.is_dir() else [path.parent]
    if not folders:
        hint = "A table of runs may also be a CSV or JSON lines file."
        raise BadInput.because(str(path), f"the folder has no event files ({_EVENTS}*)", hint)
    rows = []
    for folder in folders:
        events = EventAccumulator(str(folder), size_guidance={"scalars": 0, "tensors": 0})
        events.Reload()
        run = _run_of(folder, root)
        rows += [run | {"step": step} | metrics for step, metrics in sorted(_scalars(events).items())]
    return rows


def _run_of(folder: Path, root: Path) -> dict[str, Any]:
    parts = folder.relative_to(root).parts
    match = _SEED.fullmatch(parts[-1]) if parts else None
    arm = "/".join([*parts[:-1], *([match["arm"]] if match and match["arm"] else [])])
    if match is None or not arm:
        raise BadInput(str(folder), "a path that ends in arm and seed, such as convex-0.5/3", "/".join(parts) or ".")
    return {"arm": arm, "seed": int(match["seed"])}


def _scalars(events: Any) -> dict[int, dict[str, float]]:
    """Values by step and tag; newer writers store scalars as tensors of one number."""
    from tensorboard.util.tensor_util import make_ndarray

    found: dict[int, dict[str, float]] = {}
    tags = events.Tags()
    for tag in tags["scalars"]:
        for event in events.Scalars(tag):
            found.setdefault(event.step, {})[tag] = event.value
    for tag in tags["tensors"]:
        for event in events.Tensors(tag):
            array = make_ndarray(event.tensor_proto)
            if array.size == 1 and array.dtype.kind in "fiu":
                found.setdefault(event.step, {})[tag] = float(array.reshape(()))
    return found

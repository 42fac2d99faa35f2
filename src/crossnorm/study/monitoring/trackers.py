"""Learning curves to and from other people's trackers, through their own clients.

Trackers listen to a study's events while it runs; event files of TensorBoard are read back as a table of runs. What is
stored in the study's folder does not depend on any of it. Knows nothing of plans or verdicts.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from crossnorm.errors import BadInput, unknown_name
from crossnorm.study.spec.plan import Run
from crossnorm.study.storage import run_folder as store

__all__ = ["TRACKERS", "Tracker", "is_event_log", "open_tracker", "read_event_log", "tracked"]

_LONGEST = 128  # characters of a project's or run's name at Weights & Biases
_EVENTS = "events.out.tfevents"
_SEED = re.compile(r"(?:(?P<arm>.*?)[-_ .]?)?(?:seed)?[-_ =.]?(?P<seed>\d+)", re.IGNORECASE)

Listen = Callable[[int, dict[str, Any]], None]


class Tracker(Protocol):
    """Who is told of every evaluation beside the store."""

    def evaluated(self, run: Run, row: Mapping[str, Any]) -> None:
        """A line of the run's learning curve; after a resume steps come again."""

    def finished(self, run: Run) -> None:
        """The run has an outcome."""

    def close(self) -> None:
        """Nothing more will come."""


def open_tracker(name: str, folder: Path, study: str) -> Tracker:
    """The tracker of that name: "tensorboard" or "wandb".

    Args:
        name: Of `TRACKERS`.
        folder: The study's.
        study: Its name.

    Raises:
        BadInput: An unknown name, or a client that is not installed.
    """
    if name not in TRACKERS:
        raise unknown_name("--track", name, TRACKERS)
    try:
        return TRACKERS[name](folder, study)
    except ImportError as error:
        hint = "Install it with: pip install 'crossnorm[track]'."
        raise BadInput("--track", f"{name} to be installed", str(error), hint) from None


def tracked(listen: Listen, trackers: Sequence[Tracker]) -> Listen:
    """A listener to a study's events that tells trackers too."""

    def both(number: int, event: dict[str, Any]) -> None:
        listen(number, event)
        for tracker in trackers:
            if event["event"] == "evaluated":
                tracker.evaluated(Run(event["arm"], event["seed"]), event["row"])
            elif event["event"] == "finished":
                tracker.finished(Run(event["arm"], event["seed"]))

    return both


def _metrics(row: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of a line; what is null there is not told."""
    return {key: float(value) for key, value in row.items() if key != "step" and isinstance(value, int | float)}


class _TensorBoard:
    """Event files in the runs' own folders: ``tensorboard --logdir FOLDER/runs``."""

    def __init__(self, folder: Path, study: str) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._folder, self._make = folder, SummaryWriter
        self._writers: dict[Run, Any] = {}

    def evaluated(self, run: Run, row: Mapping[str, Any]) -> None:
        if run not in self._writers:  # what an earlier try wrote from this step on no longer counts
            self._writers[run] = self._make(str(store.run_folder(self._folder, run)), purge_step=row["step"])  # type: ignore[no-untyped-call]
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
    """A Weights & Biases run for every run, grouped by arm; WANDB_MODE=offline keeps them on this machine."""

    def __init__(self, folder: Path, study: str) -> None:
        import wandb

        self._client, self._folder = wandb, folder
        self._project = re.sub(r"[/\\#?%:]", "-", study)[:_LONGEST]
        self._runs: dict[Run, Any] = {}

    def evaluated(self, run: Run, row: Mapping[str, Any]) -> None:
        if run not in self._runs:
            self._runs[run] = self._open(run)
        self._runs[run].log(_metrics(row), step=row["step"])

    def _open(self, run: Run) -> Any:
        place = f"{self._folder.resolve()}\0{run.arm}\0{run.seed}"
        try:
            return self._client.init(
                project=self._project,
                group=run.arm,
                name=f"{run.arm}, seed {run.seed}"[:_LONGEST],
                id=hashlib.sha256(place.encode()).hexdigest()[:16],
                config={"arm": run.arm, "seed": run.seed},
                resume="allow",
                reinit="create_new",
                dir=str(self._folder),
                settings={"console": "off", "quiet": True},  # or each prints a page and records what others print
            )
        except self._client.Error as error:
            hint = "Log in, or set WANDB_MODE=offline. What the study's own folder holds is kept."
            raise BadInput("--track", "wandb to open a run", str(error).rstrip("."), hint) from None

    def finished(self, run: Run) -> None:
        if run in self._runs:
            self._runs.pop(run).finish()

    def close(self) -> None:
        for run in list(self._runs):
            self.finished(run)


TRACKERS: dict[str, Callable[[Path, str], Tracker]] = {"tensorboard": _TensorBoard, "wandb": _Wandb}
"""Name → how it is opened."""


def is_event_log(path: Path) -> bool:
    """Whether it is an event file of TensorBoard, or a folder."""
    return path.is_dir() or path.name.startswith(_EVENTS)


def read_event_log(path: Path) -> list[dict[str, Any]]:
    """Rows of arm, seed, step and metrics from the event files of TensorBoard.

    Every folder with event files is a run; the last number in its path is the seed and what stands before it the arm:
    ``convex-0.5/3``, ``convex/seed_3``, ``runs/baseline-seed3``.

    Args:
        path: The folder that holds the runs, or the event file of one.

    Raises:
        BadInput: tensorboard is not installed, there are no event files, or a folder's name has no seed.
    """
    try:
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    except ImportError as error:
        hint = "Install it with: pip install 'crossnorm[track]'."
        raise BadInput("--from", "tensorboard to be installed", str(error), hint) from None
    root = path if path.is_dir() else path.parent.parent.parent
    folders = sorted({f.parent for f in path.rglob(f"{_EVENTS}*")}) if path.is_dir() else [path.parent]
    if not folders:
        raise BadInput(str(path), f"folders with files {_EVENTS}*", "none", "A table may be CSV or JSON lines too.")
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
    """Step → tag → value; scalars are written as such or, by newer writers, as tensors of one number."""
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

"""One run of a user's own training function: what the function sees of it, and what becomes of it.

Knows the store and resume points; knows nothing of what is trained, or in which process.
"""

from __future__ import annotations

import math
import operator
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from crossnorm.errors import BadInput
from crossnorm.functional import Variant
from crossnorm.io import storage_fault
from crossnorm.study.spec.plan import Arm, Plan, Run
from crossnorm.study.storage import run_folder as store
from crossnorm.study.workload.function_loading import Train
from crossnorm.training.checkpoint.file_format import State, read_newest, write_state
from crossnorm.training.checkpoint.state_tree import flatten, restore
from crossnorm.training.runtime.rng_state import generators_now, seed_generators, set_generators

__all__ = ["FunctionRun", "run_function"]

_FORMAT = "crossnorm-function-1"
_OURS = ("alpha", "seconds", "step")

Tell = Callable[[dict[str, Any]], None]


class _Ended(BaseException):
    """Leaves a function that goes on logging after its run has ended; no `except Exception` holds it up."""


@dataclass(kw_only=True, eq=False)
class FunctionRun:
    """One run, as the function that trains it sees it: ``def train(run): …``.

    Python, numpy and torch are seeded before the function is called, alike for every arm of the seed.

    Attributes:
        seed: The same for every arm of a pair.
        arm: The arm's name; "baseline" for the arm that all are compared with.
        settings: The study's settings, changed by the arm's.
        variant: The arm's `Variant`; where the arm has none, the study's first variant at α = 0. None in a study
            without variants.
        dose: The arm's α, or the dose it was given; None: it has none.
        directory: The run's own folder, for whatever else the function writes.
        device: Where to train.
        stop: Whether nothing that the run does counts any more: it has diverged. The next `log` does not return.
    """

    seed: int
    arm: str
    settings: Mapping[str, Any]
    variant: Variant | None
    dose: float | None
    directory: Path
    device: torch.device
    stop: bool = False
    _metric: str = ""
    _tell: Tell = lambda event: None
    _row: dict[str, Any] = field(default_factory=dict)
    _curve: store.Curve | None = None
    _started: float = field(default_factory=time.monotonic)
    _failure: str | None = None

    def log(self, step: int, **metrics: float) -> None:
        """Store metrics of a step: a point of the learning curve, on disk when this returns.

        Logged twice at one step, metrics are joined. A value of the study's metric that is nan or infinite means that
        the run has diverged.

        Args:
            step: From 0; never less than the step logged before.
            metrics: Numbers by name; tensors and arrays of one number will do.

        Raises:
            BadInput: A step that goes back, a name that crossnorm uses itself, or a value that is no number.
        """
        if self.stop:
            raise _Ended
        curve = self._begin(None)
        place = _step(step, self._row.get("step", 0))
        values = {name: _number(name, value) for name, value in metrics.items()}
        before = {k: v for k, v in self._row.items() if k not in _OURS} if self._row.get("step") == place else {}
        about = {} if self.dose is None else {"alpha": self.dose}
        finite = {name: value if math.isfinite(value) else None for name, value in values.items()}
        self._row = {"step": place, "seconds": round(self._seconds, 3), **about, **before, **finite}
        curve.append(self._row)
        self._tell({"event": "evaluated", "arm": self.arm, "seed": self.seed, "row": self._row})
        if not math.isfinite(values.get(self._metric, 0.0)):
            self.stop, self._failure = True, f"diverged: {self._metric} not finite at step {place}"

    def save(self, state: object) -> None:
        """Store where training stands, with the generators of python, numpy and torch; log the step before.

        The file is whole or not there, carries a checksum, and the one before it is kept.

        Args:
            state: Nested dicts, lists and tuples of numbers, text, None, tensors and arrays, such as
                ``{"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": step}``.

        Raises:
            BadInput: It holds anything else; nothing is pickled.
        """
        curve = self._begin(None)
        content, tensors = flatten(state)
        generators, draws = flatten(generators_now(), prefix="generators.")
        about = {
            "format": _FORMAT,
            "step": self._row.get("step"),
            "seconds": self._seconds,
            "curve": curve.seal,
            "content": content,
            "generators": generators,
        }
        write_state(store.checkpoint_of(self.directory), State(about, tensors | draws))

    def resume(self) -> Any | None:
        """What was last saved; None: the run begins.

        Call it when model and optimiser are built: the generators are put back to where they stood, and what was
        logged after the save is taken back.
        """
        if self._curve is not None:
            raise BadInput("run.resume", "a call before the first log and save", "one after them")

        def fits(state: State) -> bool:
            return store.sealed(self.directory, state.about.get("curve"))

        state = read_newest(store.checkpoint_of(self.directory), self._note, fits)
        if state is None or state.about.get("format") != _FORMAT:
            self._begin(None)
            return None
        self._begin(state.about["step"], state.about["curve"])
        self._row = (store.read_rows(self.directory) or [{}])[-1]
        self._started = time.monotonic() - state.about["seconds"]
        set_generators(restore(state.about["generators"], state.tensors))
        return restore(state.about["content"], state.tensors)

    @property
    def _seconds(self) -> float:
        return time.monotonic() - self._started

    def _begin(self, step: int | None, seal: object = None) -> store.Curve:
        """The run's curve; at first, what an earlier try logged after `step` is taken back (None: all of it)."""
        if self._curve is None:
            self._curve = store.Curve(self.directory, step, seal)
        return self._curve

    def _note(self, text: str) -> None:
        self._tell({"event": "note", "text": f"{self.arm}, seed {self.seed}: {text}"})

    def outcome(self, failure: str | None) -> tuple[str, str | None, dict[str, Any]]:
        """Status, reason and details of the run whose function has ended, for result.json."""
        failure = self._failure or failure
        if failure is None and not any(row.get(self._metric) is not None for row in store.read_rows(self.directory)):
            logged = ", ".join(key for key in self._row if key not in _OURS) or "nothing"
            failure = f"crashed: it ended and never logged {self._metric}; last logged: {logged}"
        status, _, reason = (failure or "complete").partition(": ")
        details = {"step": self._row.get("step"), "seconds": round(self._seconds, 3), "device": str(self.device)}
        return status, reason or None, details | {"torch": torch.__version__}


def run_function(plan: Plan, train: Train, run: Run, folder: Path, device: torch.device, tell: Tell) -> None:
    """Call the function for one run and store the outcome: complete, diverged, or crashed with its reason."""
    own = store.run_folder(folder, run)
    own.mkdir(parents=True, exist_ok=True)
    seen = _seen(plan, plan.arm(run.arm), run, own, device, tell)
    seed_generators(seen.seed)
    failure = None
    try:
        train(seen)
    except _Ended:
        pass
    except BaseException as error:
        if storage_fault(error):
            raise
        failure = f"crashed: {_where(error)}"
    status, reason, details = seen.outcome(failure)
    store.finish(folder, run, status, reason, details)
    tell({"event": "step", "members": 1})
    tell({"event": "finished", "arm": run.arm, "seed": run.seed, "status": status, "reason": reason})


def _seen(plan: Plan, arm: Arm, run: Run, own: Path, device: torch.device, tell: Tell) -> FunctionRun:
    first = next((other.variant for other in plan.arms if other.variant is not None), None)
    return FunctionRun(
        seed=run.seed + arm.seed_offset,
        arm=arm.name,
        settings=dict(arm.settings),
        variant=arm.variant or (None if first is None else replace(first, alpha=0.0)),
        dose=arm.dose,
        directory=own.resolve(),
        device=device,
        _metric=plan.spec.metric,
        _tell=tell,
    )


def _step(step: object, before: int) -> int:
    try:
        place = operator.index(step)  # type: ignore[arg-type]
    except TypeError:
        raise BadInput("run.log: step", "a whole number", step) from None
    if place < before or place < 0:
        raise BadInput("run.log: step", f"at least {before}, the step logged before", place)
    return place


def _number(name: str, value: object) -> float:
    if name in _OURS:
        raise BadInput("run.log", "names that crossnorm does not use itself", name)
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, RuntimeError):
        raise BadInput(f"run.log: {name}", "a number", type(value).__name__) from None


def _where(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    ours = Path(__file__).parents[2]
    last = ([frame for frame in frames if not Path(frame.filename).is_relative_to(ours)] or list(frames))[-1]
    file = Path(last.filename).name
    said = "".join(c if c.isprintable() else " " for c in str(error))  # it will be shown on terminals
    return f"{type(error).__name__}: {said or 'no message'} ({last.name}, line {last.lineno} of {file})"

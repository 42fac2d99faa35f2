"""One run of a user's training function: the `run` object that the function gets, and its outcome."""

from __future__ import annotations

import math
import operator
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from crossnorm.data import Task
from crossnorm.errors import BadInput, unknown_name
from crossnorm.functional import Variant
from crossnorm.io import storage_fault
from crossnorm.metric import Metric
from crossnorm.study.events import Emit, Evaluated, Finished, Note, Stepped
from crossnorm.study.spec.plan import Arm, Plan, Run
from crossnorm.study.storage.run_folder import RunFolder
from crossnorm.study.storage.run_log import append_to_log
from crossnorm.study.workload.function_loading import Train
from crossnorm.training.checkpoint.file_format import State, seconds_of, step_of, write_state
from crossnorm.training.checkpoint.state_tree import flatten, restore
from crossnorm.training.loop.outcome import Cause, Outcome, RunStatus, cause_of
from crossnorm.training.recipe.schedules import AlphaSchedule
from crossnorm.training.runtime.devices import describe_device
from crossnorm.training.runtime.rng_state import generators_now, seed_generators, set_generators

__all__ = ["FunctionRun", "run_function"]

_FORMAT = "crossnorm-function-1"
_RESERVED = ("alpha", "seconds", "step")
_DOSE_TOLERANCE = 0.01
"""Fraction of a schedule's rise by which the last α may miss the dose."""


class _Ended(BaseException):
    """Leaves a function that logs after its run has diverged; not caught by ``except Exception``."""


@dataclass(kw_only=True, eq=False)
class FunctionRun:
    """One run, as the training function sees it: ``def train(run): …``.

    The generators of Python, NumPy and PyTorch are seeded before the call, with the same seed in every arm of a pair.

    Attributes:
        seed: The run's seed, the same for every arm of a pair.
        arm: The arm's name; "baseline" for the arm that all are compared with.
        settings: The study's settings with the arm's changes.
        variant: The arm's `Variant`; if the arm has none, the study's first variant at α = 0. None in a study without
            variants. Its α is constant, or with a schedule the last one: read `alpha`.
        schedule: How α rises in this arm; None: it is constant.
        task: The task that the study names, with arrays and batches; None if it names none.
        dose: The arm's α, or the dose it was given; None if it has none.
        directory: The run's folder, for other files of the function.
        device: The device to train on.
        stop: Whether the run has diverged: return, since the next `log` does not.
    """

    seed: int
    arm: str
    settings: Mapping[str, Any]
    variant: Variant | None
    dose: float | None
    directory: Path
    device: torch.device
    schedule: AlphaSchedule | None = None
    task: Task | None = None
    stop: bool = False
    _run: Run
    _folder: RunFolder
    _metric: str
    _emit: Emit
    _row: dict[str, Any] = field(default_factory=dict)
    _started: float = field(default_factory=time.monotonic)
    _failure: Outcome | None = None
    _alpha: float | None = None

    def alpha(self, progress: float) -> float:
        """α at a fraction of training: by the arm's schedule, else its variant's; 0 in the baseline.

        With a schedule, `log` stores the α that was read last. Read it after every step, before you evaluate:
        ``run.alpha(step / steps)``, so that the last evaluation is at the dose.

        Args:
            progress: Fraction of training done, 0 to 1.

        Raises:
            BadInput: A fraction outside 0 to 1.
        """
        if not 0 <= progress <= 1:
            raise BadInput("run.alpha: progress", "a fraction of training, 0 to 1", progress)
        if self.schedule is not None:
            self._alpha = self.schedule.at(progress)
            return self._alpha
        return 0.0 if self.variant is None else self.variant.alpha

    def log(self, step: int, **metrics: float) -> None:
        """Store metrics of a step, a point of the learning curve; they are on disk when this returns.

        Several calls at one step add to one point. If the study's metric is nan or infinite, the run has diverged.

        Args:
            step: Step from 0; never less than the step before.
            metrics: Numbers by name, or tensors and arrays of one number.

        Raises:
            BadInput: A step that goes back, a reserved name, a value that is not a number, or a schedule whose α was
                never read.
        """
        if self.stop:
            raise _Ended
        self._begin()
        step = _step(step, self._row.get("step", 0))
        values = {name: _number(name, value) for name, value in metrics.items()}
        logged = {k: v for k, v in self._row.items() if k not in _RESERVED} if self._row.get("step") == step else {}
        in_force = self.dose if self.schedule is None else self._scheduled_alpha()
        alpha = {} if in_force is None else {"alpha": in_force}
        finite = {name: value if math.isfinite(value) else None for name, value in values.items()}
        self._row = {"step": step, "seconds": round(self._seconds, 3), **alpha, **logged, **finite}
        self._folder.append(self._row)
        self._emit(Evaluated(self._run, self._row))
        if not math.isfinite(values.get(self._metric, values.get(Metric.parse(self._metric).base, 0.0))):
            self.stop = True
            self._failure = Outcome(RunStatus.DIVERGED, f"{self._metric} not finite at step {step}")

    def save(self, state: object) -> None:
        """Write a checkpoint with the state and the generators of Python, NumPy and PyTorch; call `log` first.

        The file is written atomically and has a checksum; the checkpoint before it is kept.

        Args:
            state: Nested dicts, lists and tuples of numbers, text, None, tensors and arrays, such as
                ``{"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": step}``.

        Raises:
            BadInput: The state contains any other object; nothing is pickled.
        """
        self._begin()
        content, tensors = flatten(state)
        generators, draws = flatten(generators_now(), prefix="generators.")
        about = {
            "format": _FORMAT,
            "step": self._row.get("step"),
            "seconds": self._seconds,
            **self._folder.checkpoint_seal,
            "content": content,
            "generators": generators,
        }
        with self._folder.storing():
            write_state(self._folder.checkpoint, State(about, tensors | draws))

    def resume(self) -> Any | None:
        """The state that was last saved; None at the start of a run.

        Call it after building model and optimizer, before the first `log`: it also restores the generators, and
        removes what was logged after the save.

        Raises:
            BadInput: Called after `log` or `save`.
        """
        if self._folder.writing:
            raise BadInput.because("run.resume", "called after run.log or run.save", "Call it first.")
        restored: list[Any] = []
        state = self._folder.load_checkpoint(self._note, lambda found: restored.append(self._restored(found)))
        if state is None:
            self._begin()
            return None
        self._folder.rewind(state.about["curve"])
        self._row = (self._folder.read().rows or [{}])[-1]
        self._alpha = self._row.get("alpha")
        self._started = time.monotonic() - seconds_of(state)
        return restored[0]

    def _restored(self, state: State) -> Any:
        """Set the generators and return the user's state."""
        source = str(self._folder.checkpoint)
        if state.about.get("format") != _FORMAT:
            raise BadInput(source, f"a file of the format {_FORMAT}", str(state.about.get("format")))
        before = generators_now()
        try:
            seconds_of(state)
            if state.about.get("step") is not None:
                step_of(state)
            content = restore(state.about["content"], state.tensors)
            set_generators(restore(state.about["generators"], state.tensors))
        except (RuntimeError, LookupError, TypeError, ValueError, AttributeError) as error:
            set_generators(before)
            raise BadInput(source, "a checkpoint of this function", str(error)) from None
        return content

    def _scheduled_alpha(self) -> float:
        if self._alpha is None:
            hint = "Set α of the model to run.alpha(fraction of training done) at every step."
            raise BadInput.because("run.log", "the arm has an alpha_schedule, and run.alpha was never read", hint)
        return self._alpha

    @property
    def _seconds(self) -> float:
        return time.monotonic() - self._started

    def _begin(self) -> None:
        """Remove the curve of an earlier try, unless `resume` continues it."""
        if not self._folder.writing:
            self._folder.rewind()

    def _note(self, text: str) -> None:
        self._emit(Note(f"{self.arm}, seed {self._run.seed}: {text}"))

    def _finish(self, crash: Outcome | None) -> Outcome:
        """Store the outcome of the run whose function has ended."""
        outcome = self._outcome(crash)
        details = {"step": self._row.get("step"), "seconds": round(self._seconds, 3), **describe_device(self.device)}
        self._folder.finish(outcome, details)
        return outcome

    def _outcome(self, crash: Outcome | None) -> Outcome:
        if self._failure is not None or crash is not None:
            return self._failure or crash or Outcome(RunStatus.COMPLETE)
        short = None if self.schedule is None else _short_of_dose(self.schedule, self._row.get("alpha"))
        if short is not None:
            return Outcome(RunStatus.CRASHED, short, Cause.CODE)
        judged = (self._metric, Metric.parse(self._metric).base)  # a summary is made from its column's curve
        rows = self._folder.read().rows
        if any(row.get(name) is not None for row in rows for name in judged):
            return Outcome(RunStatus.COMPLETE)
        logged = dict.fromkeys(key for row in rows for key in row if key not in _RESERVED)
        near = unknown_name("metric", self._metric, logged).hint
        near = f" (d{near[1:]})" if near else ""
        reason = (
            f"the function returned without logging {self._metric}; it logged {', '.join(logged) or 'nothing'}{near}"
        )
        return Outcome(RunStatus.CRASHED, reason, Cause.METRIC)


def run_function(
    plan: Plan, train: Train, run: Run, folder: Path, device: torch.device, emit: Emit, task: Task | None = None
) -> None:
    """Call the function for one run, and store the outcome: complete, diverged, or crashed with its reason.

    Args:
        plan: The compiled study.
        train: The function.
        run: The run.
        folder: The study's folder.
        device: The device to train on.
        emit: Receives the events.
        task: The task that the study names, if any.
    """
    own = RunFolder(folder, run, plan)
    own.make()
    function_run = _function_run(plan, plan.arm(run.arm), run, own, device, emit, task)
    seed_generators(function_run.seed)
    crash = None
    try:
        train(function_run)
    except _Ended:
        pass
    except BaseException as error:
        if storage_fault(error):
            raise
        crash = Outcome(RunStatus.CRASHED, _described(error), cause_of(error))
        with own.storing():
            append_to_log(own.log, "".join(traceback.format_exception(error)), f"{run.arm}, seed {run.seed}, crashed")
    outcome = function_run._finish(crash)
    if outcome.status is not RunStatus.CRASHED:
        emit(Stepped(run.seed, {run.arm: 1}))
    emit(Finished(run, outcome))


def _function_run(
    plan: Plan, arm: Arm, run: Run, own: RunFolder, device: torch.device, emit: Emit, task: Task | None
) -> FunctionRun:
    first = next((other.variant for other in plan.arms if other.variant is not None), None)
    return FunctionRun(
        seed=run.seed + arm.seed_offset,
        arm=arm.name,
        settings=dict(arm.settings),
        variant=arm.variant or (None if first is None else replace(first, alpha=0.0)),
        dose=arm.dose,
        directory=own.path.resolve(),
        device=device,
        schedule=None if arm.schedule is None or arm.schedule.kind == "constant" else arm.schedule,
        task=task,
        _run=run,
        _folder=own,
        _metric=plan.spec.metric,
        _emit=emit,
    )


def _short_of_dose(schedule: AlphaSchedule, alpha: float | None) -> str | None:
    """Why the last evaluation was not at the arm's dose, which it is compared as; None if it was."""
    if alpha is None or abs(alpha - schedule.final) <= _DOSE_TOLERANCE * abs(schedule.final - schedule.initial):
        return None
    return f"α ended at {alpha:.6g}, not at the dose {schedule.final:.6g}: read run.alpha(1) before the last run.log"


def _step(step: object, before: int) -> int:
    try:
        number = operator.index(step)  # type: ignore[arg-type]
    except TypeError:
        raise BadInput("run.log: step", "a whole number", step) from None
    if number < before or number < 0:
        raise BadInput("run.log: step", f"at least {before}, the step logged before", number)
    return number


def _number(name: str, value: object) -> float:
    if name in _RESERVED:
        raise BadInput.because("run.log", f"crossnorm itself stores a value named {name!r}", "Use another name.")
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, RuntimeError):
        raise BadInput(f"run.log: {name}", "a number", type(value).__name__) from None


def _described(error: BaseException) -> str:
    """An exception with its message and the last line of the user's code."""
    frames = traceback.extract_tb(error.__traceback__)
    package = Path(__file__).parents[2]
    last = ([frame for frame in frames if not Path(frame.filename).is_relative_to(package)] or list(frames))[-1]
    file = Path(last.filename).name
    message = "".join(c if c.isprintable() else " " for c in str(error))  # it is shown on terminals
    return f"{type(error).__name__}: {message or 'no message'} ({last.name}, line {last.lineno} of {file})"

"""The Trainer of Hugging Face transformers inside a training function."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import transformers

from crossnorm.errors import BadInput
from crossnorm.integrations.callback_parts import (
    alpha_setter,
    check_folder,
    log_numbers,
    save_resume_point,
    saved_checkpoint,
)
from crossnorm.study.workload.function_run import FunctionRun

__all__ = ["TrainerCallback"]

_SPEED = ("_runtime", "_per_second", "_compilation_time")
"""Ends of the names under which the Trainer reports times, which differ between equal runs."""


class TrainerCallback(transformers.TrainerCallback):  # type: ignore[misc]
    """Connects a Trainer with a run: logs its evaluations, raises α, resumes, and stops a run that has diverged.

    - Every evaluation is logged at its step, under the Trainer's names: ``metric: eval_loss``. Times are left out.
    - α of a converted model is that of the arm's schedule, at every step.
    - Every checkpoint of the Trainer becomes the run's resume point.

    Args:
        run: The argument of the training function.

    Raises:
        BadInput: At the start of training: `output_dir` is not in the run's folder, `seed` or `data_seed` is not the
            run's, `save_total_limit` is too small to resume from, or the arm has a schedule and the model no variant.

    Example::

        callback = TrainerCallback(run)
        trainer = Trainer(model, TrainingArguments(run.directory, seed=run.seed, …), callbacks=[callback], …)
        trainer.train(resume_from_checkpoint=callback.resume())
    """

    def __init__(self, run: FunctionRun) -> None:
        self._run = run
        self._set_alpha: Callable[[int, float], None] = lambda step, steps: None

    def resume(self) -> str | None:
        """The checkpoint folder to go on from; None at the start of a run. Call it before ``trainer.train``.

        Raises:
            BadInput: The folder has been deleted.
        """
        return saved_checkpoint(self._run)

    def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        """Check the settings, and set α of the first step."""
        _check(args, self._run)
        self._set_alpha = alpha_setter(self._run, model)
        self._set_alpha(state.global_step, state.max_steps)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Set α of the next step and of an evaluation before it."""
        self._set_alpha(state.global_step, state.max_steps)

    def on_evaluate(
        self, args: Any, state: Any, control: Any, metrics: Mapping[str, Any] | None = None, **_: Any
    ) -> None:
        """Log the metrics, and stop if the run has diverged."""
        measured = {name: value for name, value in (metrics or {}).items() if not name.endswith(_SPEED)}
        log_numbers(self._run, state.global_step, measured)
        control.should_training_stop = control.should_training_stop or self._run.stop

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Make the Trainer's checkpoint the run's resume point."""
        folder = _output_folder(args, self._run)
        save_resume_point(self._run, self._run.directory / folder / f"checkpoint-{state.global_step}")


def _output_folder(args: Any, run: FunctionRun) -> str:
    return Path(args.output_dir).resolve().relative_to(run.directory).as_posix()


def _check(args: Any, run: FunctionRun) -> None:
    check_folder("TrainingArguments.output_dir", args.output_dir, run)
    for name in ("seed", "data_seed"):
        given = getattr(args, name)
        if given != run.seed and not (given is None and name == "data_seed"):
            hint = f"Write {name}=run.seed: runs of a seed are compared in pairs, runs of two seeds as independent."
            raise BadInput(f"TrainingArguments.{name}", f"run.seed ({run.seed})", given, hint)
    least = 3 if args.load_best_model_at_end else 2  # the one before the newest must survive until the newest is noted
    if args.save_total_limit is not None and args.save_total_limit < least:
        raise BadInput("TrainingArguments.save_total_limit", f"at least {least}, or None", args.save_total_limit)

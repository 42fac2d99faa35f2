"""What the callbacks share: set α of a model, check settings of the loop, find the checkpoint to resume from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import nn

from crossnorm.adapters import Handle, find_handle
from crossnorm.errors import BadInput
from crossnorm.io import file_sha256
from crossnorm.study.workload.function_run import FunctionRun

__all__ = ["alpha_setter", "check_folder", "log_numbers", "save_resume_point", "saved_checkpoint"]


def alpha_setter(run: FunctionRun, model: nn.Module) -> Callable[[int, float], None]:
    """A function of the steps done and of all steps that sets α of the model by the arm's schedule.

    Without a schedule it does nothing: α stays as the model has it.

    Args:
        run: The run.
        model: The model that is trained, or a module that contains it.

    Raises:
        BadInput: The arm has a schedule, but the model has no variant.
    """
    if run.schedule is None:
        return lambda step, steps: None
    handle = find_handle(model)
    if handle is None:
        hint = "Convert it with crossnorm.convert(model, run.variant)."
        raise BadInput.because("model", "the arm has an alpha_schedule, and the model has no variant", hint)
    return lambda step, steps: _set(handle, run, step / steps)


def _set(handle: Handle, run: FunctionRun, progress: float) -> None:
    handle.alpha = run.alpha(min(progress, 1.0))


def check_folder(name: str, folder: str | Path, run: FunctionRun) -> None:
    """Check that the loop writes into the run's folder, where no other run writes.

    Raises:
        BadInput: Another folder.
    """
    if not Path(folder).resolve().is_relative_to(run.directory):
        raise BadInput(name, "run.directory, or a folder in it", str(folder), f"Write {name}=run.directory.")


def log_numbers(run: FunctionRun, step: int, metrics: Mapping[str, Any]) -> None:
    """Log those metrics that are single numbers."""
    numbers = {name: value for name, value in metrics.items() if isinstance(value, int | float)}
    run.log(step, **numbers)


def saved_checkpoint(run: FunctionRun) -> str | None:
    """The checkpoint that `save_resume_point` named last, as a path.

    Raises:
        BadInput: It has been deleted or replaced, or the function saved something else.
    """
    state = run.resume()
    if state is None:
        return None
    path = run.directory / str(state["checkpoint"])
    if not path.exists():
        hint = f"Delete {run.directory} to start this run again."
        raise BadInput.because(str(path), "the checkpoint to resume from is missing", hint)
    if state.get("sha256", "") != _digest(path):
        hint = f"Restore it, or delete {run.directory} to start this run again."
        raise BadInput.because(str(path), "the checkpoint is not the one that this run wrote", hint)
    return str(path)


def save_resume_point(run: FunctionRun, path: Path) -> None:
    """Make a checkpoint of the loop, a file or folder in the run's folder, the run's resume point."""
    run.save({"checkpoint": path.relative_to(run.directory).as_posix(), "sha256": _digest(path)})


def _digest(path: Path) -> str:
    files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
    return file_sha256(*files)

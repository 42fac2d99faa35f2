"""One model trained, one checkpoint evaluated."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crossnorm.data import Task, load_task
from crossnorm.io import make_folder, write_json
from crossnorm.report import confusion_figure, save
from crossnorm.study.monitoring.progress_bar import Progress
from crossnorm.study.spec.summary import training_of
from crossnorm.study.storage.study_folder import locked
from crossnorm.study.workload.pretrained import encoder_for, load_kept
from crossnorm.study.workload.single_run import SingleRun, run_single
from crossnorm.training.loop.evaluate_checkpoint import assess
from crossnorm.training.runtime.devices import pick_device
from crossnorm.training.runtime.distributed import joined

if TYPE_CHECKING:
    from crossnorm.training.loop.evaluate_checkpoint import Assessment

__all__ = ["evaluate_checkpoint", "train_model"]


def train_model(
    run: SingleRun,
    task: str,
    out: Path | str,
    *,
    data: Path | str | None = None,
    train_examples: int | None = None,
    device: str = "auto",
    progress: bool = True,
) -> dict[str, Any]:
    """Train one model in a folder, or go on with it; under ``torchrun`` all its processes share the one run.

    Args:
        run: What to train.
        task: A task's name.
        out: The run's folder.
        data: Where the task's data are.
        train_examples: Use so many training examples.
        device: "auto", "cpu", "cuda" or "mps".
        progress: Whether a bar is shown on the error stream.

    Returns:
        ``{"status", "reason", "metrics"}``, and in the key ``"first"`` whether this process speaks for the run.

    Raises:
        BadInput: Anything that does not fit.
    """
    with joined(pick_device(device)) as (world, chosen), Progress(shown=progress and world.first) as bars:
        encoder = encoder_for(run.model)
        loaded = load_task(task, data=data, train_examples=train_examples, encoder=encoder, progress=bars.loading)
        with locked(Path(out)) if world.first else nullcontext():
            what = f"{_model_name(run, loaded)} on {task}"
            bars.say(f"{what}, {training_of(run.recipe)}, on {chosen.type}, into {out}")
            stepped = bars.steps(what, run.steps(loaded))
            outcome = run_single(run, loaded, Path(out), device=chosen, world=world, stepped=stepped, noted=bars.note)
    return {**outcome, "first": world.first}


def _model_name(run: SingleRun, task: Task) -> str:
    return str(run.model.get("from") or run.model.get("name", task.model.get("name")))


def evaluate_checkpoint(
    checkpoint: Path | str,
    task: str,
    *,
    data: Path | str | None = None,
    out: Path | str | None = None,
    device: str = "auto",
) -> Assessment:
    """Evaluate a model that `train_model` or `save_model` wrote, and write evaluation.json and confusion.png.

    Args:
        checkpoint: A ``.safetensors`` file with its configuration, or the folder of a fine-tuned Transformer.
        task: A task's name.
        data: Where the task's data are.
        out: Folder of the two files; default: the checkpoint's.
        device: "auto", "cpu", "cuda" or "mps".

    Raises:
        BadInput: No such checkpoint or data, or a model that does not take the task.
    """
    model, encoder = load_kept(Path(checkpoint))
    folder = Path(checkpoint).parent if out is None else Path(out)
    make_folder(folder)
    found = assess(model, load_task(task, data=data, encoder=encoder), pick_device(device))
    figure = confusion_figure(found.confusion, found.classes)
    save(figure, folder / "confusion.png")
    write_json(folder / "evaluation.json", {"task": task, "checkpoint": Path(checkpoint).name, **asdict(found)})
    return found

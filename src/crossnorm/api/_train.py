"""Train one run of a study and keep its model; evaluate a kept model."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crossnorm.adapters.model_source import kept_model
from crossnorm.data import load_task
from crossnorm.io import make_folder, write_json
from crossnorm.report import confusion_figure, save
from crossnorm.study.events import CohortStarted, Event
from crossnorm.study.monitoring.messages import run_announcement
from crossnorm.study.monitoring.progress_bar import Progress
from crossnorm.study.spec.plan import Cohort, Plan, Run, make_plan
from crossnorm.study.spec.schema import StudySpec, parse_spec
from crossnorm.study.storage.needed_runs import unfinished_runs
from crossnorm.study.storage.run_folder import RunFolder
from crossnorm.study.storage.study_folder import note_results_seen, open_folder
from crossnorm.study.storage.study_lock import forgotten_if_refused, locked
from crossnorm.study.storage.study_record import check_kept_model, read_folder
from crossnorm.study.workload.cohort_run import run_cohort
from crossnorm.study.workload.pretrained import load_kept
from crossnorm.study.workload.workload import Workload, open_workload
from crossnorm.training.loop.evaluate_checkpoint import assess
from crossnorm.training.loop.outcome import Outcome
from crossnorm.training.runtime.devices import pick_device
from crossnorm.training.runtime.distributed import World, joined

if TYPE_CHECKING:
    import torch

    from crossnorm.training.loop.evaluate_checkpoint import Assessment

__all__ = ["TrainedRun", "evaluate_checkpoint", "train_run"]


@dataclass(frozen=True, kw_only=True)
class TrainedRun:
    """A finished run.

    Attributes:
        outcome: How it ended.
        metrics: The last row of its learning curve.
        model: The kept model, a file or folder; None unless the run is complete.
        first: Whether this process writes, of the processes that share the run.
    """

    outcome: Outcome
    metrics: dict[str, Any]
    model: Path | None
    first: bool


def train_run(
    fields: dict[str, Any],
    out: Path | str,
    *,
    imports: Sequence[str] = (),
    device: str = "auto",
    progress: bool = True,
) -> TrainedRun:
    """Train the last arm of a study with its one seed, and keep the model; resume if the folder has a part of it.

    The folder is that of a study: `crossnorm plot` adds the baseline and more seeds, another call of this function adds
    another arm or seed. Under ``torchrun`` all processes share the run.

    Args:
        fields: The fields of a study file.
        out: The study's folder.
        imports: Modules with variants of your own.
        device: "auto", "cpu", "cuda" or "mps".
        progress: Whether a progress bar is shown on standard error.

    Raises:
        BadInput: A setting is invalid, or the folder holds another study.
    """
    asked = parse_spec(fields | {"keep_models": True}, "train")
    run = Run(make_plan(asked).arms[-1].name, asked.seeds[0])
    folder = Path(out)
    with joined(pick_device(device)) as (world, chosen), Progress(shown=progress and world.first) as bars:
        workload = open_workload(_extended(asked, folder), imports, loading=bars.loading)
        with contextlib.ExitStack() as stack:
            if world.first:
                stack.enter_context(locked(folder))
                begins = not (folder / "study.yaml").exists()
                plan, _ = open_folder(folder, workload.plan, workload.digest, workload.code, bars.note)
                stack.enter_context(forgotten_if_refused(folder, begins=begins))
                bars.say(run_announcement(plan, run, folder, chosen.type))
                _forget_without_model(RunFolder(folder, run, plan), run, bars)
                unfinished_runs(folder, plan, [run], bars.note)
            world.wait()  # the folder is read by all processes only after the first one has written it
            workload = replace(workload, plan=replace(workload.plan, numbers=_numbers(folder)))
            if not RunFolder(folder, run, workload.plan).finished:
                _train(workload, run, folder, chosen, world, bars)
            found = _trained(workload.plan, folder, run, world)
            if world.first:
                note_results_seen(folder)  # the command prints them
            return found


def _forget_without_model(own: RunFolder, run: Run, bars: Progress) -> None:
    """Have a finished run trained again if its model is missing or not the one that it wrote."""
    problem = own.model_problem() if own.finished else None
    if problem is not None:
        bars.note(f"{run.arm}, seed {run.seed}: {problem}; training the run again.")
        own.forget()


def _numbers(folder: Path) -> Mapping[str, str]:
    """The numbers of the arms in a folder that has been opened."""
    found = read_folder(folder)
    assert found is not None
    return found[0].numbers


def _extended(asked: StudySpec, folder: Path) -> StudySpec:
    """The study with the arms and seeds that its folder has already."""
    found = read_folder(folder)
    if found is None:
        return asked
    stored = found[0].spec
    grown = {}
    for field in ("variants", "arms", "seeds"):
        old, new = getattr(stored, field), getattr(asked, field)
        grown[field] = [*old, *(entry for entry in new if entry not in old)]
    alphas = sorted({*stored.alphas, *asked.alphas})
    return asked.model_copy(update=grown | {"alphas": alphas, "control": stored.control, "name": stored.name})


def _train(workload: Workload, run: Run, folder: Path, device: torch.device, world: World, bars: Progress) -> None:
    """Train the run in this process."""
    assert workload.task is not None
    cohort = Cohort(run.seed, (run.arm,))
    listener = bars.begin(workload.plan, [run], [run], workload.steps)

    def emit(event: Event) -> None:
        listener(0, event)

    emit(CohortStarted(cohort))
    run_cohort(workload.plan, cohort, workload.task, folder, device, emit, world)


def _trained(plan: Plan, folder: Path, run: Run, world: World) -> TrainedRun:
    world.wait()  # nobody reads before the first process has written
    own = RunFolder(folder, run, plan)
    stored = own.read()
    result, rows = stored.result, stored.rows
    assert result is not None, f"{own.path} has no outcome"
    complete = result["reason"] is None
    return TrainedRun(
        outcome=Outcome(result["status"], result["reason"]),
        metrics=rows[-1] if rows else {},
        model=kept_model(own.path) if complete else None,
        first=world.first,
    )


def _finite(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields with null for what is nan or infinite, as in the loss of a model that has diverged."""
    infinite = {key for key, value in fields.items() if isinstance(value, float) and not math.isfinite(value)}
    return {**fields, **dict.fromkeys(infinite)}


def evaluate_checkpoint(
    checkpoint: Path | str,
    task: str,
    *,
    data: Path | str | None = None,
    out: Path | str | None = None,
    device: str = "auto",
    imports: Sequence[str] = (),
) -> Assessment:
    """Evaluate a kept model, and write evaluation.json and, for classes, confusion.png.

    Args:
        checkpoint: A ``.safetensors`` file with its configuration, the folder of a fine-tuned Transformer, or the
            folder of a run or study that kept one model.
        task: A task's name.
        data: Folder or file with the task's data.
        out: Folder to write to; default: the checkpoint's.
        device: "auto", "cpu", "cuda" or "mps".
        imports: Modules whose functions may act as the model's variant.

    Raises:
        BadInput: No such checkpoint or data, a model that does not fit the task, or one with a variant of a module that
            is not in `imports`.
    """
    path = kept_model(Path(checkpoint))
    study = check_kept_model(path)
    model, encoder = load_kept(path, imports)
    folder = path.parent if out is None else Path(out)
    make_folder(folder)
    if study is not None:
        note_results_seen(study)
    found = assess(model, load_task(task, data=data, encoder=encoder), pick_device(device))
    if found.confusion is not None:
        save(confusion_figure(found.confusion, found.classes), folder / "confusion.png")
    write_json(folder / "evaluation.json", {"task": task, "checkpoint": path.name, **_finite(asdict(found))})
    return found

"""`Study`: a grid of α × paired seeds, to plan, estimate and run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import PrivateAttr, ValidationError

from crossnorm.api._execute import execute
from crossnorm.api._result import Result
from crossnorm.api._stored_result import default_folder
from crossnorm.errors import BadInput, unknown_name
from crossnorm.report.html.notebook import study_html
from crossnorm.study.executors.execution import Execution
from crossnorm.study.executors.process_pool import default_workers
from crossnorm.study.monitoring.progress_bar import Progress
from crossnorm.study.monitoring.trackers import TRACKERS
from crossnorm.study.planning.estimate import Estimate, EstimateOptions, estimate_study
from crossnorm.study.spec.plan import Plan, make_plan
from crossnorm.study.spec.schema import StudySpec, readable
from crossnorm.study.workload.function_loading import Train, function_name
from crossnorm.study.workload.workload import Workload, open_workload, stored_workload
from crossnorm.training.runtime.devices import pick_device

__all__ = ["Study"]


class Study(StudySpec):
    """A grid of α × paired seeds: the fields of a study file as keywords, and `run`.

    Example:
        >>> import crossnorm
        >>> study = crossnorm.Study(task="digits", alphas=[0, 1], seeds=3, epochs=2)
        >>> len(study.plan().runs)
        9

    With a training function of your own, also from a notebook: ``Study(train, metric="loss", direction="lower")``.
    """

    _function: Train | None = PrivateAttr(default=None)

    def __init__(self, function: Train | None = None, /, **fields: Any) -> None:
        """A study of a task or of a training function; fields as in a study file."""
        if function is not None:
            if not callable(function):
                raise BadInput("Study", "a function def train(run); fields by keyword", function)
            fields.setdefault("function", function_name(function))
        try:
            super().__init__(**fields)
        except ValidationError as error:
            raise readable(error, "Study") from None
        self._function = function

    def _open(self, imports: Sequence[str], bars: Progress | None = None) -> Workload:
        return open_workload(self, imports, function=self._function, loading=bars.loading if bars else None)

    def plan(self, imports: Sequence[str] = ()) -> Plan:
        """The arms and seeds, with all settings of recipe and model; loads the task.

        Raises:
            BadInput: A setting is invalid.
        """
        return self._open(imports).plan

    def _repr_html_(self) -> str:
        """What a notebook shows: arms and seeds, before anything is trained."""
        plan = make_plan(self)
        arms = [(arm.name, arm.family, arm.dose, arm.control) for arm in plan.arms]
        return study_html(
            self.name, f"{self.function or self.task}, {len(plan.seeds)} seeds, {len(plan.runs)} runs", arms
        )

    def run(
        self,
        out: Path | str | None = None,
        *,
        workers: int | None = None,
        device: str = "auto",
        imports: Sequence[str] = (),
        track: str | None = None,
        mirror: str | None = None,
        ray: str | None = None,
        progress: bool = True,
    ) -> Result:
        """Run, resume or extend the study and write its answer.

        Args:
            out: The study's folder; default ``crossnorm/<name>``.
            workers: Worker processes, one thread each; default one per core.
            device: "auto", "cpu", "cuda" or "mps".
            imports: Modules with variants or functions of your own.
            track: "tensorboard" (event files in the runs' folders), "trackio" or "wandb": log every evaluation.
            mirror: A URL that fsspec opens: finished runs and checkpoints are copied there, and files
                missing from the folder are fetched from there.
            ray: "local" or the address of a Ray cluster whose nodes share the study's folder: Ray tasks then
                replace worker processes.
            progress: Whether bars are shown on the error stream.

        Returns:
            The answer, as written into the folder.

        Raises:
            BadInput: A setting is invalid; no file has been changed.
        """
        if workers is not None and workers < 1:
            raise BadInput("workers", "at least 1", workers)
        if track is not None and track not in TRACKERS:
            raise unknown_name("track", track, TRACKERS)
        execution = Execution(
            workers=workers or default_workers(),
            device=pick_device(device).type,
            track=track,
            mirror=mirror,
            ray=ray,
        )
        with Progress(shown=progress) as bars:
            workload = self._open(imports, bars)
            return execute(workload, Path(out) if out is not None else default_folder(self.name), execution, bars)

    def estimate(
        self,
        out: Path | str | None = None,
        *,
        pilot: bool = False,
        difference: float | None = None,
        workers: int | None = None,
        device: str = "auto",
        imports: Sequence[str] = (),
        progress: bool = True,
    ) -> Estimate:
        """What the study would cost and what it could show; the study's folder is only read.

        Hours come from the folder's runs, else from a pilot, else from a few steps measured now; standard deviations
        from the folder's runs, else from a pilot, else they are unknown. For a training function times come from
        complete runs only; without any they are not measured.

        Args:
            out: The study's folder; default ``crossnorm/<name>``.
            pilot: Train three pairs of one epoch, in a temporary folder, where the folder has no three pairs; not of a
                function, which has no epochs.
            difference: Report the seeds needed to detect this difference.
            workers: Worker processes that would share the runs; default one per core.
            device: "auto", "cpu", "cuda" or "mps".
            imports: Modules with variants or functions of your own.
            progress: Whether bars are shown on the error stream.

        Raises:
            BadInput: A setting is invalid.
        """
        if workers is not None and workers < 1:
            raise BadInput("workers", "at least 1", workers)
        options = EstimateOptions(
            workers=workers or default_workers(), device=pick_device(device), pilot=pilot, difference=difference
        )
        with Progress(shown=progress) as bars:
            folder = Path(out) if out is not None else default_folder(self.name)
            workload = stored_workload(folder, self) if not pilot and not imports and self._function is None else None
            return estimate_study(workload or self._open(imports, bars), folder, options, bars)

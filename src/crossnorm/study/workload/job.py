"""What a worker process receives, and how it trains cohorts from it."""

from __future__ import annotations

import base64
import pickle
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from crossnorm.study.events import Emit
from crossnorm.study.spec.plan import Cohort, Plan, Run
from crossnorm.study.spec.schema import StudySpec
from crossnorm.study.storage.run_folder import RunFolder
from crossnorm.study.storage.run_log import output_in
from crossnorm.study.workload.cohort_run import run_cohort
from crossnorm.study.workload.function_loading import load_function, unpickled_function
from crossnorm.study.workload.function_run import run_function
from crossnorm.study.workload.validate import load_study_task
from crossnorm.training.runtime.process_memory import hold_memory
from crossnorm.user_modules import home_of, import_named

__all__ = ["Job", "cohort_runner", "make_job"]


@dataclass(frozen=True, kw_only=True)
class Job:
    """A compiled plan and everything else that a worker needs to train its runs.

    Attributes:
        plan: The compiled plan.
        folder: The study's folder, absolute.
        device: The torch device to train on.
        imports: Modules to import first, each with the folder that it was found in: they define variants or the
            function.
        path: Entries of `sys.path` in the process that made the job.
        function: The pickled training function, if the study was made with a function object.
        threads: Threads of a worker; one, except to repeat a run that was trained with more.
    """

    plan: Plan
    folder: Path
    device: str
    imports: tuple[tuple[str, str | None], ...] = ()
    path: tuple[str, ...] = ()
    function: str | None = None
    threads: int = 1

    def encode(self) -> str:
        """The job as one line of text. Workers get it from the process that starts them and from nowhere else."""
        return base64.b64encode(pickle.dumps(self)).decode("ascii")

    @staticmethod
    def decode(text: str) -> Job:
        """The job that `encode` wrote."""
        job = pickle.loads(base64.b64decode(text))
        assert isinstance(job, Job)
        return job


def make_job(
    plan: Plan, folder: Path, device: str, imports: tuple[str, ...], function: str | None, threads: int = 1
) -> Job:
    """The job of the workers of a study; arguments as `Job`."""
    path = tuple(str(Path(entry).resolve()) for entry in sys.path)
    plain = replace(plan, spec=_plain(plan.spec))
    named = tuple((module, home_of(module)) for module in imports)
    return Job(
        plan=plain,
        folder=folder.resolve(),
        device=device,
        imports=named,
        path=path,
        function=function,
        threads=threads,
    )


def _plain(spec: StudySpec) -> StudySpec:
    """The fields of a study without those of a subclass, whose module a worker need not import."""
    fields = {name: getattr(spec, name) for name in StudySpec.model_fields}
    return StudySpec.model_construct(spec.model_fields_set, **fields)


def cohort_runner(job: Job) -> Callable[[Cohort, Emit], None]:
    """Load what the job trains; the result trains a cohort in this process, which is set up for training alone."""
    torch.set_num_threads(job.threads)
    hold_memory()
    plan, device = job.plan, torch.device(job.device)
    sys.path += [entry for entry in job.path if entry not in sys.path]
    for module, home in job.imports:
        import_named(module, home)
    task = None if plan.spec.task is None else load_study_task(plan.spec)
    if plan.spec.function is None:
        assert task is not None

        def run_models(cohort: Cohort, emit: Emit) -> None:
            with _logged(job, cohort.runs):
                run_cohort(plan, cohort, task, job.folder, device, emit)

        return run_models
    allowed = [module for module, _ in job.imports]
    train = unpickled_function(job.function) if job.function else load_function(plan.spec.function, allowed)

    def run_functions(cohort: Cohort, emit: Emit) -> None:
        for run in cohort.runs:
            with _logged(job, (run,)):
                run_function(plan, train, run, job.folder, device, emit, task)

    return run_functions


def _logged(job: Job, runs: Sequence[Run]) -> AbstractContextManager[None]:
    """The context in which the output of this process goes to the log of the first run."""
    own = RunFolder(job.folder, runs[0])
    own.make()
    return output_in(own.log, [f"{run.arm}, seed {run.seed}" for run in runs])

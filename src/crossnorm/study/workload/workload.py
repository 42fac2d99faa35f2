"""A compiled study with what it trains: models on a task, or a user's training function."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from crossnorm.data import Task
from crossnorm.data.arrays import joint_digest
from crossnorm.errors import BadInput
from crossnorm.io import file_sha256
from crossnorm.study.spec.plan import Arm, Plan, make_plan
from crossnorm.study.spec.schema import StudySpec
from crossnorm.study.storage.run_folder import RunFolder
from crossnorm.study.storage.study_record import WORD_VECTORS, read_folder
from crossnorm.study.workload.code_digest import code_digests, function_digest
from crossnorm.study.workload.function_loading import Train, load_function, pickled_function
from crossnorm.study.workload.job import Job, make_job
from crossnorm.study.workload.validate import check_own, load_study_task, resolve

__all__ = ["Workload", "open_workload", "stored_workload"]


@dataclass(frozen=True, kw_only=True)
class Workload:
    """A compiled study and what it trains.

    Attributes:
        plan: The plan, every setting written out.
        digest: SHA-256 of the task's data, of the function's own code, or of both where a function names a task.
        code: SHA-256 of the code of the function and of every variant of the user's own, by name, and of files of word
            vectors.
        task: The task; None where a function trains.
        imports: Modules that the user allows to be imported.
        function: The pickled training function, if the study was made with a function object.
    """

    plan: Plan
    digest: str
    code: Mapping[str, str]
    task: Task | None = None
    imports: tuple[str, ...] = ()
    function: str | None = None

    def steps(self, arm: Arm) -> int:
        """Optimization steps of one run, as `Stepped` events count them; 1 where a function trains."""
        if self.task is None:
            return 1
        return max(1, len(self.task.train) // arm.training.batch_size) * arm.training.epochs

    def job(self, folder: Path, device: str, threads: int = 1) -> Job:
        """The job of workers that store runs in this folder."""
        return make_job(self.plan, folder, device, self.imports, self.function, threads)


def open_workload(
    spec: StudySpec,
    imports: Sequence[str] = (),
    *,
    function: Train | None = None,
    loading: Callable[[int, int], None] | None = None,
) -> Workload:
    """Load what the study trains, and compile the study.

    Args:
        spec: The study.
        imports: Modules that the user allows to be imported.
        function: The training function, if the study was made with a function object.
        loading: Called with the numbers of decoded and of all examples.

    Raises:
        BadInput: Any setting that does not fit the data, the models or the function.
    """
    if spec.function is None:
        task = load_study_task(spec, loading)
        plan = resolve(spec, task, imports)
        code = code_digests(plan) | _word_vectors(plan)
        return Workload(plan=plan, digest=task.digest, code=code, task=task, imports=tuple(imports))
    train = function or load_function(spec.function, imports)
    _check_argument(spec.function, train)
    digest = function_digest(train)
    if spec.task is not None:
        digest = joint_digest([digest, load_study_task(spec, loading).digest])
    plan = make_plan(spec)
    for arm in plan.arms:
        check_own(arm, imports)
    pickled = None if function is None else pickled_function(function)
    return Workload(
        plan=plan,
        digest=digest,
        code=code_digests(plan, train),
        imports=tuple(imports),
        function=pickled,
    )


def _word_vectors(plan: Plan) -> dict[str, str]:
    """SHA-256 of the files of word vectors, by the field that names them."""
    fields = {WORD_VECTORS: plan.spec.model} | {f"arms.{arm.name}.{WORD_VECTORS}": arm.model for arm in plan.arms}
    files = {field: Path(model["word_vectors"]) for field, model in fields.items() if model.get("word_vectors")}
    return {field: file_sha256(file.expanduser()) for field, file in files.items()}


def _check_argument(name: str, train: Train) -> None:
    try:
        inspect.signature(train).bind(None)
    except ValueError:  # of a function without a signature
        return
    except TypeError as error:
        reason = f"{name} cannot be called with one argument, run: {error}"
        raise BadInput.because("function", reason, "A training function is train(run).") from None


def stored_workload(folder: Path, spec: StudySpec) -> Workload | None:
    """A study as its folder has it, to be read only: no code of the user's own is imported.

    Args:
        folder: The study's folder.
        spec: The study, perhaps with more seeds than are stored.

    Returns:
        None if the folder holds no study, another one, or one without a finished run.
    """
    found = read_folder(folder)
    if found is None:
        return None
    before, record = found
    old, new = (each.model_dump(exclude={"seeds"}) for each in (before.spec, spec))
    if old != new or not any(RunFolder(folder, run, before).finished for run in before.runs):
        return None
    plan = make_plan(spec)
    if spec.function is not None:
        return Workload(plan=plan, digest=record.digest, code=record.code)
    task = load_study_task(spec)
    return Workload(plan=plan, digest=task.digest, code=record.code, task=task)

"""`Study`, `Result` and `compare`: the only place that joins studies, statistics and reports.

Thin: every piece of work is done in one of the three rooms.
"""

from __future__ import annotations

import csv
import io
import json
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from crossnorm.data import load_task
from crossnorm.errors import BadInput
from crossnorm.models import load_model
from crossnorm.report import confusion_figure, curves_figure, save, trend_figure, write_report
from crossnorm.stats import Bands, Table, Trend, Verdict, bands, estimate, settled, table_from_records
from crossnorm.study import store
from crossnorm.study.audit import Audit, audit_kinds, audit_study, repeat_runs
from crossnorm.study.basis import outlook_of, stored_basis
from crossnorm.study.collect import collect
from crossnorm.study.cost import Estimate, Like, cost_of, elsewhere, macs_of, seconds_per_seed
from crossnorm.study.files import write_atomically, write_json
from crossnorm.study.folder import Record, locked, open_folder, read_folder
from crossnorm.study.local import default_workers, run_local
from crossnorm.study.pilot import pilot_plan, run_pilot, time_steps
from crossnorm.study.plan import Plan, Run, cut
from crossnorm.study.progress import Progress
from crossnorm.study.resolve import load_study_task, resolve
from crossnorm.study.single import SingleRun, run_single
from crossnorm.study.spec import StudySpec
from crossnorm.training.assess import assess
from crossnorm.training.devices import pick_device
from crossnorm.training.parallel import joined

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from crossnorm.training.assess import Assessment

__all__ = ["Result", "Study", "audit", "compare", "evaluate_checkpoint", "read_result", "train_model"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Result:
    """What a study, or any table of runs, answers.

    Attributes:
        table: The runs.
        verdict: Estimates, intervals and the answer, as in verdict.json.
        facts: What the page says beside the numbers: plan, environment, failures.
        folder: The study's folder; None for a table from elsewhere.
    """

    table: Table
    verdict: Verdict
    facts: Mapping[str, Any] = field(default_factory=dict)
    folder: Path | None = None

    def curves(self, metric: str | None = None) -> Bands:
        """Per arm the mean learning curve with its band, of the verdict's metric or another."""
        verdict = self.verdict
        return bands(self.table, metric or verdict.metric, confidence=verdict.confidence, interval=verdict.interval)

    def trend(self) -> Trend:
        """The first variant's slope per unit α against the baseline."""
        return self.verdict.trend

    def plot(self) -> tuple[Figure, Figure]:
        """The learning curves and the trend over α, as matplotlib figures to change or save."""
        return curves_figure(self.table, self.verdict), trend_figure(self.table, self.verdict)

    def save(self, directory: Path | str) -> Path:
        """Write verdict.json, table.csv, curves.png, trend.png and report.html into a folder; give it back."""
        directory = Path(directory)
        directory.mkdir(parents=True, exist_ok=True)
        write_report(directory, table=self.table, verdict=self.verdict, facts=self.facts)
        write_atomically(directory / "table.csv", _csv(self.table))
        write_atomically(directory / "verdict.json", self.verdict.to_json())
        return directory

    def __repr__(self) -> str:
        return f"Result({self.verdict.study}: {self.verdict.answer.sentence})"


class Study(StudySpec):
    """A grid of α × paired seeds: the fields of a study file as keywords, and `run`.

    Example:
        >>> import crossnorm
        >>> study = crossnorm.Study(task="digits", alphas=[0, 1], seeds=3, epochs=2)
        >>> len(study.plan().runs)
        9
    """

    def plan(self) -> Plan:
        """Arms and seeds, with recipe and model written out; loads the task.

        Raises:
            BadInput: Whatever in the study does not fit.
        """
        return resolve(self, load_study_task(self))

    def run(
        self,
        out: Path | str | None = None,
        *,
        workers: int | None = None,
        device: str = "auto",
        imports: Sequence[str] = (),
        progress: bool = True,
    ) -> Result:
        """Run, resume or extend the study and write its answer.

        Args:
            out: The study's folder; default ``crossnorm/<name>``.
            workers: Worker processes, one thread each; default one per core.
            device: "auto", "cpu", "cuda" or "mps".
            imports: Modules that define variants of one's own.
            progress: Whether bars are shown on the error stream.

        Returns:
            The answer, as written into the folder.

        Raises:
            BadInput: Anything that does not fit, before any file is touched.
        """
        if workers is not None and workers < 1:
            raise BadInput("workers", "at least 1", workers)
        chosen = pick_device(device)
        with Progress(shown=progress) as bars:
            task = load_study_task(self, bars.loading)
            plan = resolve(self, task, imports)
            folder = Path(out) if out is not None else default_folder(self.name)
            with locked(folder):
                record = open_folder(folder, plan, task.digest)
                count = workers or default_workers()

                def carry_out(runs: Sequence[Run]) -> None:
                    todo = [run for run in runs if not store.stands(folder, run)]
                    run_local(
                        plan,
                        cut(plan, todo, count),
                        folder,
                        workers=count,
                        device=chosen.type,
                        imports=imports,
                        listen=bars.begin(plan, runs, todo, len(task.train)),
                    )

                planned = _carry_out_until_decided(folder, plan, record, carry_out)
                result = _result(folder, plan, record, planned)
                result.save(folder)
        return result

    def estimate(
        self,
        out: Path | str | None = None,
        *,
        pilot: bool = False,
        difference: float | None = None,
        like: Like | None = None,
        workers: int | None = None,
        device: str = "auto",
        imports: Sequence[str] = (),
        progress: bool = True,
    ) -> Estimate:
        """What the study would cost and what it could show; the study's folder is only read.

        Hours come from the folder's runs, else from a pilot, else from a few steps measured now; standard deviations
        from the folder's runs, else from a pilot, else they are unknown.

        Args:
            out: The study's folder; default ``crossnorm/<name>``.
            pilot: Train three pairs of one epoch, in a temporary folder, where the folder has no three pairs.
            difference: A true difference to detect: how many seeds does it need?
            like: Another size of the study to estimate the hours of.
            workers: Worker processes that would share the runs; default one per core.
            device: "auto", "cpu", "cuda" or "mps".
            imports: Modules that define variants of one's own.
            progress: Whether bars are shown on the error stream.

        Raises:
            BadInput: Anything that does not fit.
        """
        if workers is not None and workers < 1:
            raise BadInput("workers", "at least 1", workers)
        chosen, count = pick_device(device), workers or default_workers()
        with Progress(shown=progress) as bars, tempfile.TemporaryDirectory(prefix="crossnorm-plan-") as scratch:
            task = load_study_task(self, bars.loading)
            plan = resolve(self, task, imports)
            basis = stored_basis(Path(out) if out is not None else default_folder(self.name), plan, task)
            ask = partial(outlook_of, plan, difference=difference)
            ask(basis)  # whatever does not fit is said before anything is trained
            macs = 0 if like is None else macs_of(like)
            if pilot and basis.noise is None:
                trial = pilot_plan(plan)
                listen = bars.begin(trial, trial.runs, trial.runs, len(task.train))
                run_pilot(trial, Path(scratch), workers=count, device=chosen.type, imports=imports, listen=listen)
                basis = basis.with_pilot(Path(scratch), trial)
            if not basis.curves:
                curves = time_steps(plan, task, Path(scratch), chosen)
                basis = replace(basis, source="measured steps", curves=curves)
            cost = cost_of(plan, task, basis.curves, source=basis.source, done=basis.done, workers=count)
            there = None if like is None else elsewhere(plan, task, cost, like, macs)
        return Estimate(
            study=plan.spec.name,
            cost=cost,
            outlook=ask(basis),
            noise=basis.noise,
            elsewhere=there,
            notes=basis.notes,
        )


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
        loaded = load_task(task, data=data, train_examples=train_examples, progress=bars.loading)
        with locked(Path(out)) if world.first else nullcontext():
            stepped = bars.steps(f"{run.model.get('name', loaded.model['name'])} on {task}", run.steps(loaded))
            outcome = run_single(run, loaded, Path(out), device=chosen, world=world, stepped=stepped)
    return {**outcome, "first": world.first}


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
        checkpoint: A ``.safetensors`` file with its configuration.
        task: A task's name.
        data: Where the task's data are.
        out: Folder of the two files; default: the checkpoint's.
        device: "auto", "cpu", "cuda" or "mps".

    Raises:
        BadInput: No such checkpoint or data, or a model that does not take the task.
    """
    model = load_model(checkpoint)
    found = assess(model, load_task(task, data=data), pick_device(device))
    folder = Path(checkpoint).parent if out is None else Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    figure = confusion_figure(found.confusion, found.classes)
    save(figure, folder / "confusion.png")
    write_json(folder / "evaluation.json", {"task": task, "checkpoint": Path(checkpoint).name, **asdict(found)})
    return found


def default_folder(name: str) -> Path:
    """``crossnorm/<name>`` below the working directory."""
    from crossnorm.study.files import encoded_name

    return Path("crossnorm") / encoded_name(name)


def read_result(folder: Path | str) -> Result:
    """The answer of what a study's folder holds now.

    Raises:
        BadInput: There is no study in it.
    """
    folder = Path(folder)
    found = read_folder(folder)
    if found is None:
        raise BadInput(str(folder), "a study's folder", "no study.yaml in it")
    plan, record = found
    return _result(folder, plan, record, _carry_out_until_decided(folder, plan, record, lambda runs: None))


def audit(
    folder: Path | str | None = None,
    *,
    out: Path | str | None = None,
    workers: int | None = None,
    imports: Sequence[str] = (),
    progress: bool = True,
) -> Audit:
    """Whether runs repeat to the bit, and how often verdicts err where nothing differs.

    Args:
        folder: A study's folder, whose runs are audited; None: train an A/A study on digits, a few minutes' work.
        out: Where audit.json is written; default the folder, or ``crossnorm/audit``.
        workers: Worker processes of the A/A study; default one per core.
        imports: Modules that define variants of one's own.
        progress: Whether bars are shown on the error stream.

    Raises:
        BadInput: There is no study in the folder, none of its runs is complete, or its data have changed.
    """
    if folder is None:
        with tempfile.TemporaryDirectory(prefix="crossnorm-audit-") as scratch:
            study = Study.model_validate(audit_study().model_dump())
            study.run(scratch, workers=workers, device="cpu", imports=imports, progress=progress)
            found = _audited(Path(scratch), imports)
    else:
        found = _audited(Path(folder), imports)
    target = Path(out if out is not None else folder or default_folder("audit"))
    target.mkdir(parents=True, exist_ok=True)
    write_json(target / "audit.json", found.to_dict())
    return found


def _audited(folder: Path, imports: Sequence[str]) -> Audit:
    result, stored = read_result(folder), read_folder(folder)
    assert stored is not None
    plan, record = stored
    verdict = result.verdict
    return Audit(
        study=verdict.study,
        metric=verdict.metric,
        confidence=verdict.confidence,
        seeds=len(plan.seeds),
        repeats=repeat_runs(folder, plan, record, imports),
        kinds=audit_kinds(plan, result.table, verdict),
    )


def compare(
    table: Table | Iterable[Mapping[str, object]],
    *,
    metric: str,
    direction: str,
    margin: float | str | None = None,
    confidence: float = 0.95,
    name: str = "comparison",
) -> Result:
    """The answer of any table of runs, paired by seed.

    Args:
        table: Rows with arm, seed, step and metrics, optionally dose and control; a pandas DataFrame will do.
        metric: The column to compare, at each run's last step.
        direction: "lower" or "higher": which is better.
        margin: Differences up to it do not matter; "1 %" is of the baseline's mean.
        confidence: Of every interval.
        name: Names the study in the answer.

    Raises:
        BadInput: A table, a metric or a setting that does not fit.
    """
    if hasattr(table, "to_dict"):
        table = table.to_dict("records")
    runs = table if isinstance(table, Table) else table_from_records(table)
    verdict = estimate(
        runs,
        study=name,
        metric=metric,
        direction=direction,  # type: ignore[arg-type]
        margin=margin,
        confidence=confidence,
    )
    return Result(table=runs, verdict=verdict, facts={"title": name})


def report_table(file: Path, metric: str, direction: str, margin: float | str | None) -> Result:
    """The answer of a table of runs in a file: CSV, or JSON lines if its name ends in .jsonl.

    Raises:
        BadInput: The file cannot be read, or what `compare` refuses.
    """
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise BadInput(str(file), "a text file", "bytes that are no text") from None
    except OSError as error:
        raise BadInput(str(file), "a readable file", error.strerror or str(error)) from None
    try:
        if file.suffix == ".jsonl":
            rows = [json.loads(line) for line in text.splitlines() if line.strip()]
        else:
            rows = list(csv.DictReader(io.StringIO(text), strict=True))
        if not all(isinstance(row, dict) and None not in row for row in rows):
            raise ValueError("a row that does not fit the columns")
    except (ValueError, csv.Error) as error:
        raise BadInput(str(file), "a table in CSV or JSON lines", str(error)) from None
    try:
        return compare(rows, metric=metric, direction=direction, margin=margin, name=file.stem)
    except BadInput as error:
        raise error.within(str(file)) from None


def _carry_out_until_decided(
    folder: Path, plan: Plan, record: Record, carry_out: Callable[[Sequence[Run]], None]
) -> list[Run]:
    """Carry out the study's runs, batch by batch of seeds, and give back those that were called for.

    A study of fixed size is one batch. In an open-ended one an arm whose comparisons the sequential test has settled
    gets no further seeds. What is called for follows from the runs of earlier batches alone, so a resumed study asks
    for the same.
    """
    runs: list[Run] = []
    open_arms = {arm.name for arm in plan.arms}
    for seeds in plan.batches:
        runs += [run for run in plan.runs if run.seed in seeds and run.arm in open_arms]
        carry_out(runs)
        if plan.spec.stop == "fixed":
            continue
        table = collect(folder, plan, runs)
        if not table.complete:
            break  # only drawing what is there so far
        open_arms = {arm for arm, done in settled(table, _verdict(plan, record, table)).items() if not done}
        if not open_arms:
            break
    return runs


def _result(folder: Path, plan: Plan, record: Record, runs: Sequence[Run]) -> Result:
    table = collect(folder, plan, runs)
    return Result(
        table=table,
        verdict=_verdict(plan, record, table),
        facts=_facts(folder, plan, record),
        folder=folder,
    )


def _verdict(plan: Plan, record: Record, table: Table) -> Verdict:
    spec = plan.spec
    assert spec.direction is not None
    looked = record.looked or spec.stop == "decided"
    return estimate(
        table,
        study=spec.name,
        metric=spec.metric,
        direction=spec.direction,
        margin=spec.margin,
        confidence=spec.confidence,
        interval="sequential" if looked else "bonferroni-t",
    )


def _facts(folder: Path, plan: Plan, record: Record) -> dict[str, Any]:
    results = {run: store.read_result(folder, run) for run in plan.runs}
    failures = [
        {"arm": run.arm, "seed": run.seed, "status": result["status"], "reason": result.get("reason") or ""}
        for run, result in results.items()
        if result is not None and result["status"] != "complete"
    ]
    environment = dict(record.environment)
    revision = environment.pop("revision", "unknown")
    hardware = {key: environment.pop(key) for key in ("system", "processor", "cores", "gpu") if key in environment}
    return {
        "title": plan.spec.name,
        "command": f"crossnorm plot study.yaml --out {plan.spec.name}",
        "plan_yaml": (folder / "study.yaml").read_text(encoding="utf-8"),
        "versions": environment,
        "hardware": hardware,
        "revision": revision,
        "extensions": list(record.extensions),
        "failures": failures,
        "seconds_per_seed": seconds_per_seed(plan, results),
    }


def _csv(table: Table) -> str:
    """The table in long form, one line per arm, seed and evaluation; `report --from` reads it back."""
    metrics = sorted(table.metrics)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["arm", "variant", "dose", "site", "control", "seed", "status", "step", *metrics])
    for a, arm in enumerate(table.arms):
        about = [arm.name, arm.variant, arm.alpha, arm.site, arm.control]
        for s, seed in enumerate(table.seeds):
            for i, step in enumerate(table.steps):
                values = [table.metrics[name][a, s, i] for name in metrics]
                if np.isnan(values).all():
                    continue
                cells = ["" if np.isnan(value) else repr(float(value)) for value in values]
                writer.writerow([*("" if x is None else x for x in about), seed, table.status[a, s], step, *cells])
    return text.getvalue()

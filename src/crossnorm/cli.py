"""The command line: each command a few lines over the library.

Progress and errors go to the error stream, results to the output. Exit codes: 0 done, 1 some runs failed, 2 bad
input, 130 interrupted. Heavy imports happen inside the commands, so that help is instant.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from enum import Enum
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ParamSpec

import typer

from crossnorm._version import __version__
from crossnorm.errors import BadInput

if TYPE_CHECKING:
    from crossnorm.api import Result, Study

__all__ = ["app", "main"]

P = ParamSpec("P")

app = typer.Typer(
    name="crossnorm",
    help="Answers requests for plots about attention: a grid of α × paired seeds, curves with bands, a verdict.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def main() -> None:
    """Entry point of the command ``crossnorm``."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # α and × on terminals that are not UTF-8
            stream.reconfigure(errors="replace")
    app()


def _guarded(command: Callable[P, None]) -> Callable[P, None]:
    """Bad input and interruptions end with one line and their exit code, not with a traceback."""

    @functools.wraps(command)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except BadInput as error:
            typer.echo(f"crossnorm: {error}", err=True)
            raise typer.Exit(2) from None
        except KeyboardInterrupt:
            typer.echo("crossnorm: interrupted; the same command goes on from here.", err=True)
            raise typer.Exit(130) from None

    return guarded


@app.callback(invoke_without_command=True)
def _root(version: Annotated[bool, typer.Option("--version", help="Show the version.")] = False) -> None:
    if version:
        typer.echo(f"crossnorm {__version__}")
        raise typer.Exit


StudyName = Annotated[str, typer.Argument(help="A study file, a study's folder, or the name of a ready study.")]
Alphas = Annotated[str | None, typer.Option(help="Doses, separated by commas: 0,0.5,1")]
Seeds = Annotated[int | None, typer.Option(help="Number of paired seeds.")]
Epochs = Annotated[int | None, typer.Option(help="Passes over the training set.")]
TrainExamples = Annotated[int | None, typer.Option(help="Use so many training examples.")]
Variants = Annotated[str | None, typer.Option(help="Variants, separated by commas: convex,matched")]
Metric = Annotated[str | None, typer.Option(help="test_loss or test_accuracy.")]
Direction = Annotated[str | None, typer.Option(help="Which is better: lower or higher.")]
Margin = Annotated[str | None, typer.Option(help='Differences up to it count as "same": 0.02, or 1%.')]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")]
Workers = Annotated[int | None, typer.Option(help="Worker processes; default: one per core.")]
Out = Annotated[Path | None, typer.Option(help="The study's folder; default: crossnorm/<name>.")]
Data = Annotated[Path | None, typer.Option(help="Folder or zip with train/CLASS/* and test/CLASS/*.")]
Imports = Annotated[list[str] | None, typer.Option("--import", help="Module with variants of your own.")]


@app.command()
@_guarded
def plot(
    study: StudyName = "quick",
    alphas: Alphas = None,
    seeds: Seeds = None,
    epochs: Epochs = None,
    train_examples: TrainExamples = None,
    variants: Variants = None,
    metric: Metric = None,
    direction: Direction = None,
    margin: Margin = None,
    device: Device = "auto",
    workers: Workers = None,
    out: Out = None,
    data: Data = None,
    imports: Imports = None,
) -> None:
    """Run, resume or extend a study and draw its answer.

    \b
    crossnorm plot                              the built-in quick study
    crossnorm plot cifar10 --seeds 3            a ready study, with fewer seeds
    crossnorm plot my-study.yaml --out results  your own (crossnorm new my-study.yaml)
    """  # noqa: D301 (\b keeps the lines apart)
    _import_all(imports or [])
    shape = (alphas, seeds, epochs, train_examples, variants, metric, direction, margin, data)
    asked = _shaped(study, *shape)
    _show(asked.run(out, workers=workers, device=device, imports=imports or []))


@app.command()
@_guarded
def plan(
    study: StudyName,
    alphas: Alphas = None,
    seeds: Seeds = None,
    epochs: Epochs = None,
    train_examples: TrainExamples = None,
    variants: Variants = None,
    metric: Metric = None,
    direction: Direction = None,
    margin: Margin = None,
    device: Device = "auto",
    workers: Workers = None,
    out: Out = None,
    data: Data = None,
    imports: Imports = None,
    pilot: Annotated[bool, typer.Option("--pilot", help="Train 3 pairs of one epoch where none are stored.")] = False,
    difference: Annotated[float | None, typer.Option(help="A true difference to detect: seeds it needs.")] = None,
    like: Annotated[str | None, typer.Option(help="Estimate the hours of this model instead.")] = None,
    image_size: Annotated[int | None, typer.Option(help="Pixels a side (with --like).")] = None,
    examples: Annotated[int | None, typer.Option(help="Training examples (with --like).")] = None,
    devices: Annotated[int | None, typer.Option(help="Devices that share the work (with --like).")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say what a study takes and what it can show, before it is run; its folder is only read.

    \b
    crossnorm plan quick                               runs, hours, disk
    crossnorm plan quick --pilot --difference 0.01     seeds that a difference needs
    crossnorm plan cifar10 --epochs 300 --like cct_14_7x2_224 --examples 1281167 --devices 8
    """  # noqa: D301
    from rich.console import Console

    from crossnorm.report.planned import plan_summary
    from crossnorm.study.cost import Like

    _import_all(imports or [])
    if like is None and (image_size, examples, devices) != (None, None, None):
        raise BadInput("--like", "a model beside --image-size, --examples and --devices", "none")
    shape = (alphas, seeds, epochs, train_examples, variants, metric, direction, margin, data)
    there = None if like is None else Like(like, image_size, examples, 1 if devices is None else devices)
    found = _shaped(study, *shape).estimate(
        out or (Path(study) if Path(study).is_dir() else None),
        pilot=pilot,
        difference=difference,
        like=there,
        workers=workers,
        device=device,
        imports=imports or [],
    )
    if as_json:
        typer.echo(found.to_json(), nl=False)
    else:
        Console().print(plan_summary(found))


@app.command()
@_guarded
def report(
    folder: Annotated[Path | None, typer.Argument(help="A study's folder.")] = None,
    table: Annotated[Path | None, typer.Option("--from", help="A table of runs instead: CSV or JSON lines.")] = None,
    metric: Annotated[str | None, typer.Option(help="The column to compare (with --from).")] = None,
    direction: Annotated[str | None, typer.Option(help="Which is better: lower or higher (with --from).")] = None,
    margin: Annotated[str | None, typer.Option(help='Differences up to it count as "same" (with --from).')] = None,
    out: Annotated[Path | None, typer.Option(help="Where to write; default: the folder itself.")] = None,
) -> None:
    """Draw again from what is stored, or from any table of runs.

    \b
    crossnorm report crossnorm/quick
    crossnorm report --from runs.csv --metric loss --direction lower --out answer
    """  # noqa: D301
    from crossnorm.api import read_result, report_table

    if (folder is None) == (table is None):
        raise BadInput("report", "a study's folder or --from FILE", "neither" if folder is None else "both")
    if folder is not None:
        if metric or direction or margin:
            raise BadInput("report", "--metric, --direction and --margin only with --from", "them with a folder")
        result = read_result(folder)
        result.save(out or folder)
    else:
        assert table is not None
        if metric is None or direction is None or out is None:
            raise BadInput("report --from", "--metric, --direction and --out beside it", "fewer")
        result = report_table(table, metric, direction, None if margin is None else _margin(margin))
        result.save(out)
    _show(result, out or folder)


@app.command()
@_guarded
def audit(
    folder: Annotated[Path | None, typer.Argument(help="A study's folder; none: trains an A/A study.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Where audit.json goes; else the folder, or crossnorm/audit.")
    ] = None,
    workers: Annotated[int | None, typer.Option(help="Worker processes; default: one per core.")] = None,
    imports: Annotated[list[str] | None, typer.Option("--import", help="Module with variants of your own.")] = None,
) -> None:
    """Check that runs repeat to the bit and that verdicts stay quiet where nothing differs.

    Exit code 0 if so; 1 if repeated bits differ or an A/A comparison errs more often than the confidence allows.

    \b
    crossnorm audit                    trains a small A/A study, about a minute
    crossnorm audit crossnorm/quick    repeats stored runs; the baseline's seeds are its A/A comparisons
    """  # noqa: D301
    from rich.console import Console

    from crossnorm import api
    from crossnorm.report.audit import audit_summary

    _import_all(imports or [])
    found = api.audit(folder, out=out, workers=workers, imports=imports or [])
    Console().print(audit_summary(found))
    if not found.passed:
        raise typer.Exit(1)


class Listable(str, Enum):
    """What `crossnorm list` lists."""

    models = "models"
    tasks = "tasks"
    variants = "variants"
    recipes = "recipes"
    studies = "studies"


@app.command("list")
@_guarded
def list_(what: Annotated[Listable, typer.Argument(help="models, tasks, variants, recipes or studies.")]) -> None:
    """List what there is to choose from.

    \b
    crossnorm list tasks
    crossnorm list variants
    """  # noqa: D301
    rows = _LISTS[what.value]()
    width = max(map(len, rows))
    for name, summary in rows.items():
        typer.echo(f"{name:{width}}  {summary}".rstrip())


@app.command()
@_guarded
def new(file: Annotated[Path, typer.Argument(help="Where to write the study file.")]) -> None:
    """Write a commented study file to start from.

    \b
    crossnorm new my-study.yaml
    """  # noqa: D301
    from crossnorm.study.ready import study_template

    try:
        with file.open("x", encoding="utf-8") as target:
            target.write(study_template())
    except FileExistsError:
        raise BadInput(str(file), "a name that is free", "an existing file", "It was left as it is.") from None
    except OSError as error:
        raise BadInput(str(file), "a place that can be written", error.strerror or str(error)) from None
    typer.echo(f"Wrote {file}. Run it with: crossnorm plot {file}")


def _models() -> dict[str, str]:
    from crossnorm.models import list_models

    return dict.fromkeys(list_models(), "")


def _tasks() -> dict[str, str]:
    from crossnorm.data import list_tasks

    return list_tasks()


def _variants() -> dict[str, str]:
    from crossnorm.functional import VARIANTS

    return {name: entry.summary for name, entry in VARIANTS.items()}


def _recipes() -> dict[str, str]:
    from crossnorm.training.recipes import RECIPES

    return {
        name: ", ".join(f"{k} {v}" for k, v in r.model_dump(exclude={"name"}).items()) for name, r in RECIPES.items()
    }


def _studies() -> dict[str, str]:
    from crossnorm.study.ready import ready_studies

    return ready_studies()


_LISTS: dict[str, Callable[[], dict[str, str]]] = {
    "models": _models,
    "tasks": _tasks,
    "variants": _variants,
    "recipes": _recipes,
    "studies": _studies,
}


def _shaped(
    study: str,
    alphas: str | None,
    seeds: int | None,
    epochs: int | None,
    train_examples: int | None,
    variants: str | None,
    metric: str | None,
    direction: str | None,
    margin: str | None,
    data: Path | None,
) -> Study:
    """The study of that name or file, with what the flags change."""
    from crossnorm.api import Study
    from crossnorm.study.ready import find_study
    from crossnorm.study.spec import parse_spec

    changes: dict[str, Any] = {
        "alphas": None if alphas is None else _numbers("--alphas", alphas),
        "seeds": seeds,
        "epochs": epochs,
        "train_examples": train_examples,
        "variants": None if variants is None else [name.strip() for name in variants.split(",")],
        "metric": metric,
        "direction": direction,
        "margin": None if margin is None else _margin(margin),
        "data": None if data is None else str(data),
    }
    fields = find_study(study)
    given = {key: value for key, value in changes.items() if value is not None}
    if "metric" in given:
        fields.pop("direction", None)
    return Study.model_validate(parse_spec(fields | given, study).model_dump())


def _numbers(name: str, text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise BadInput(name, "numbers separated by commas, such as 0,0.5,1", repr(text)) from None


def _margin(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def _import_all(modules: list[str]) -> None:
    """Import the user's modules, as asked for on the command line, from the working directory too."""
    if modules and "" not in sys.path:
        sys.path.insert(0, "")
    for module in modules:
        try:
            import_module(module)
        except Exception as error:
            raise BadInput("--import", f"a module that can be imported, not {module!r}", str(error)) from None


def _show(result: Result, folder: Path | None = None) -> None:
    """The answer on the output; exit code 1 if runs crashed."""
    from rich.console import Console

    from crossnorm.report import answer_panel, arms_table

    console = Console()
    console.print(arms_table(result.verdict, result.facts.get("seconds_per_seed")))
    console.print(answer_panel(result.verdict))
    where = folder or result.folder
    if where is not None:
        console.print(f"The page: {where / 'report.html'}", highlight=False, soft_wrap=True)
    if (result.table.status == "crashed").any():
        raise typer.Exit(1)

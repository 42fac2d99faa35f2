"""The commands for studies: plot, plan, new."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from crossnorm.cli.app import app, guarded
from crossnorm.cli.options import import_modules
from crossnorm.cli.show_result import show
from crossnorm.cli.study_options import StudyName, StudyOptions, with_study_options
from crossnorm.errors import BadInput

__all__: list[str] = []


@app.command()
@guarded
@with_study_options
def plot(
    *,
    study: StudyName = "quick",
    options: StudyOptions,
    track: Annotated[str | None, typer.Option(help="Log every evaluation to tensorboard, trackio or wandb.")] = None,
    mirror: Annotated[str | None, typer.Option(help="URL to copy runs to and resume from: s3://…")] = None,
    ray: Annotated[str | None, typer.Option(help="Run on Ray: local, or the address of a cluster.")] = None,
) -> None:
    """Run, resume or extend a study, and print and draw its answer.

    \b
    crossnorm plot                              the built-in quick study
    crossnorm plot cifar10 --seeds 3            a built-in study with fewer seeds
    crossnorm plot my-study.yaml --out results  your own study (crossnorm new my-study.yaml)
    crossnorm plot my_module:train --alphas 0,0.5,1 --seeds 5 --metric loss --direction lower
    """  # noqa: D301 (\b keeps line breaks)
    import_modules(options.imports or [])
    show(options.study(study).run(options.folder(study), track=track, mirror=mirror, ray=ray, **options.execution))


@app.command()
@guarded
@with_study_options
def plan(
    *,
    study: StudyName,
    options: StudyOptions,
    pilot: Annotated[bool, typer.Option("--pilot", help="Train 3 pairs for one epoch if none are stored.")] = False,
    difference: Annotated[float | None, typer.Option(help="Report the seeds needed to detect this difference.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Estimate cost and statistical power of a study without running it.

    \b
    crossnorm plan quick                               runs, hours, disk
    crossnorm plan quick --pilot --difference 0.01     seeds needed for a difference
    crossnorm plan my_module:train --seeds 5 --metric loss --direction lower    a function's runs
    """  # noqa: D301
    from rich.console import Console

    from crossnorm.report.terminal.plan_summary import plan_summary

    import_modules(options.imports or [])
    found = options.study(study).estimate(
        options.folder(study), pilot=pilot, difference=difference, **options.execution
    )
    if as_json:
        typer.echo(found.to_json(), nl=False)
    else:
        Console().print(plan_summary(found))


@app.command()
@guarded
def new(file: Annotated[Path, typer.Argument(help="Study file to write.")]) -> None:
    """Write a commented study file to start from.

    \b
    crossnorm new my-study.yaml
    """  # noqa: D301
    from crossnorm.study.spec.builtin_studies import study_template

    try:
        with file.open("x", encoding="utf-8") as target:
            target.write(study_template())
    except FileExistsError:
        raise BadInput.because(str(file), "the file exists; it was not changed") from None
    except OSError as error:
        raise BadInput.because(str(file), f"cannot write: {error.strerror or error}") from None
    typer.echo(f"Wrote {file}. Run it with: crossnorm plot {file}")

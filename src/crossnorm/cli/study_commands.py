"""The commands that start from a study: plot, plan, new."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from crossnorm.cli.app import app, guarded
from crossnorm.cli.options import import_modules
from crossnorm.cli.show_result import show
from crossnorm.cli.study_options import Shape, StudyName, with_shape
from crossnorm.errors import BadInput

__all__: list[str] = []


@app.command()
@guarded
@with_shape
def plot(
    *,
    study: StudyName = "quick",
    shape: Shape,
    track: Annotated[str | None, typer.Option(help="tensorboard or wandb: told of every evaluation too.")] = None,
    mirror: Annotated[str | None, typer.Option(help="URL to copy runs to, and to go on from: s3://…")] = None,
    ray: Annotated[str | None, typer.Option(help="local, or a Ray cluster's address: runs are its tasks.")] = None,
) -> None:
    """Run, resume or extend a study and draw its answer.

    \b
    crossnorm plot                              the built-in quick study
    crossnorm plot cifar10 --seeds 3            a ready study, with fewer seeds
    crossnorm plot my-study.yaml --out results  your own (crossnorm new my-study.yaml)
    crossnorm plot my_module:train --alphas 0,0.5,1 --seeds 5 --metric loss --direction lower
    """  # noqa: D301 (\b keeps the lines apart)
    import_modules(shape.imports or [])
    show(shape.study(study).run(shape.folder(study), track=track, mirror=mirror, ray=ray, **shape.place))


@app.command()
@guarded
@with_shape
def plan(
    *,
    study: StudyName,
    shape: Shape,
    pilot: Annotated[bool, typer.Option("--pilot", help="Train 3 pairs of one epoch where none are stored.")] = False,
    difference: Annotated[float | None, typer.Option(help="A true difference to detect: seeds it needs.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say what a study takes and what it can show, before it is run; its folder is only read.

    \b
    crossnorm plan quick                               runs, hours, disk
    crossnorm plan quick --pilot --difference 0.01     seeds that a difference needs
    crossnorm plan my_module:train --seeds 5 --metric loss --direction lower    a function's runs
    """  # noqa: D301
    from rich.console import Console

    from crossnorm.report.terminal.plan_summary import plan_summary

    import_modules(shape.imports or [])
    found = shape.study(study).estimate(shape.folder(study), pilot=pilot, difference=difference, **shape.place)
    if as_json:
        typer.echo(found.to_json(), nl=False)
    else:
        Console().print(plan_summary(found))


@app.command()
@guarded
def new(file: Annotated[Path, typer.Argument(help="Where to write the study file.")]) -> None:
    """Write a commented study file to start from.

    \b
    crossnorm new my-study.yaml
    """  # noqa: D301
    from crossnorm.study.spec.builtin_studies import study_template

    try:
        with file.open("x", encoding="utf-8") as target:
            target.write(study_template())
    except FileExistsError:
        raise BadInput(str(file), "a name that is free", "an existing file", "It was left as it is.") from None
    except OSError as error:
        raise BadInput(str(file), "a place that can be written", error.strerror or str(error)) from None
    typer.echo(f"Wrote {file}. Run it with: crossnorm plot {file}")

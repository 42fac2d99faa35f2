"""The command that shows the idea itself: picture."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from crossnorm.cli.app import app, guarded

__all__: list[str] = []


@app.command()
@guarded
def picture(
    left: Annotated[Path | None, typer.Option(help="A picture file as the left factor (with --right).")] = None,
    right: Annotated[Path | None, typer.Option(help="A picture file as the right factor (with --left).")] = None,
    checkpoint: Annotated[
        Path | None, typer.Option(help="A model.safetensors; default: a small one, trained now.")
    ] = None,
    task: Annotated[str, typer.Option(help="What the model looks at: crossnorm list tasks.")] = "digits",
    data: Annotated[Path | None, typer.Option(help="Where the task's data are.")] = None,
    layer: Annotated[int, typer.Option(help="The attention layer that is shown; -1: the last.")] = 0,
    example: Annotated[int, typer.Option(help="Which example of the test set.")] = 0,
    temperature: Annotated[float, typer.Option(help="τ of the softmaxes over pixels.")] = 8.0,
    device: Annotated[str, typer.Option(help="Where a small model is trained: auto, cpu, cuda or mps.")] = "auto",
    out: Annotated[Path, typer.Option(help="Where to write.")] = Path("crossnorm/picture"),
) -> None:
    """Look at cross-normalisation: pictures multiplied as matrices, and the heads of a model.

    \b
    crossnorm picture
    crossnorm picture --left cat.jpg --right sea.jpg
    crossnorm picture --checkpoint crossnorm/digits-0/model.safetensors --task digits --layer 1
    """  # noqa: D301
    from crossnorm import api

    page = api.picture(
        out,
        left=left,
        right=right,
        checkpoint=checkpoint,
        task=task,
        data=data,
        layer=layer,
        example=example,
        temperature=temperature,
        device=device,
    )
    typer.echo(f"The gallery: {page}")

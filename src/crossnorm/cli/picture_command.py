"""The command `picture`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from crossnorm.cli.app import app, guarded
from crossnorm.cli.options import Imports, import_modules

__all__: list[str] = []


@app.command()
@guarded
def picture(
    left: Annotated[Path | None, typer.Option(help="Image file, the left factor (with --right).")] = None,
    right: Annotated[Path | None, typer.Option(help="Image file, the right factor (with --left).")] = None,
    checkpoint: Annotated[
        Path | None, typer.Option(help="A run's folder or a model.safetensors; default: train a small model.")
    ] = None,
    task: Annotated[str, typer.Option(help="Task of the model: crossnorm list tasks.")] = "digits",
    data: Annotated[Path | None, typer.Option(help="Folder or file with the task's data.")] = None,
    layer: Annotated[int, typer.Option(help="Attention layer to show; -1: the last.")] = 0,
    example: Annotated[int, typer.Option(help="Index of the test example.")] = 0,
    temperature: Annotated[float, typer.Option(help="Temperature τ of the softmax over pixels.")] = 8.0,
    device: Annotated[str, typer.Option(help="Device for the small model: auto, cpu, cuda or mps.")] = "auto",
    out: Annotated[Path, typer.Option(help="Folder to write to.")] = Path("crossnorm/picture"),
    imports: Imports = None,
) -> None:
    """Show cross-normalization: images multiplied as matrices, and the attention heads of a model.

    \b
    crossnorm picture
    crossnorm picture --left cat.jpg --right sea.jpg
    crossnorm picture --checkpoint crossnorm/digits --task digits --layer 1
    """  # noqa: D301
    from crossnorm import api

    import_modules(imports or [])
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
        imports=imports or [],
    )
    typer.echo(f"Gallery: {page}")

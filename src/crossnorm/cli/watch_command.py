"""The command `watch`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from crossnorm.cli.app import app, guarded

__all__: list[str] = []


@app.command()
@guarded
def watch(
    folder: Annotated[Path, typer.Argument(help="A study's folder.")],
    wait: Annotated[bool, typer.Option("--wait", help="Wait for a study that has not started yet.")] = False,
    host: Annotated[
        str, typer.Option(help="Address to listen on; 0.0.0.0 lets other machines read the page.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0: any free port.", min=0, max=65535)] = 0,
) -> None:
    """Serve the live page of a running study to a browser on this machine. Ctrl-C stops the page, not the study.

    \b
    crossnorm watch crossnorm/quick
    crossnorm watch crossnorm/quick --port 8000
    """  # noqa: D301
    from crossnorm import api

    def ready(address: str, private: bool) -> None:
        typer.echo(f"Live page: {address}")
        if not private:
            typer.echo("Other machines can read the study at this address. There is no password.", err=True)

    try:
        api.watch(folder, wait=wait, host=host, port=port, ready=ready)
    except KeyboardInterrupt:
        raise typer.Exit(0) from None

"""The Typer application, and how every command handles bad input and interruptions."""

from __future__ import annotations

import errno
import functools
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, redirect_stdout, suppress
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ParamSpec, TextIO

import typer
from typer.core import TyperGroup

from crossnorm._lazy import needs_torch
from crossnorm._version import __version__
from crossnorm.errors import BadInput, RunsLost, StudyStopped, printable

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["app", "guarded", "main", "print_json", "terminal"]

P = ParamSpec("P")

_ORDER = (
    *("plot", "plan", "watch", "report", "audit", "new", "schema", "list"),
    *("train", "finetune", "eval", "bench", "picture"),
)


class _Commands(TyperGroup):
    """The commands in the order in which a new user needs them."""

    def list_commands(self, ctx: Any) -> list[str]:
        return sorted(super().list_commands(ctx), key=_ORDER.index)


app = typer.Typer(
    cls=_Commands,
    name="crossnorm",
    help="Tests ideas about attention: a grid of α × paired seeds, learning curves with bands, a trend, a verdict.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def main() -> None:
    """Entry point of the command ``crossnorm``."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # terminals without α and ×
            stream.reconfigure(errors="replace")
    try:
        Path.cwd()
    except OSError:
        sys.exit("crossnorm: the working directory does not exist any more. Change to another one.")
    os.environ["MPLBACKEND"] = "agg"  # figures are written to files; a wrong name there would stop matplotlib
    _ignore_matplotlibrc()
    app()


def _ignore_matplotlibrc() -> None:
    """Have matplotlib not read a matplotlibrc in the working directory, which it prefers to the user's own."""
    if Path("matplotlibrc").exists():
        here = Path.cwd()
        os.chdir(Path(__file__).parent)
        try:
            import matplotlib  # noqa: F401
        finally:
            os.chdir(here)


_JSON: ContextVar[TextIO | None] = ContextVar("_JSON", default=None)


@contextmanager
def _pure_stdout() -> Iterator[None]:
    """Send what the block prints to standard error, such as what the user's modules print; see `print_json`."""
    token = _JSON.set(sys.stdout)
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        _JSON.reset(token)


def print_json(text: str) -> None:
    """Print the document of ``--json``: the only thing on standard output."""
    typer.echo(text.rstrip("\n"), file=_JSON.get())


def _drop_output() -> None:
    """Discard what standard output still holds: where a write failed, it would fail again as Python ends."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def guarded(command: Callable[P, None]) -> Callable[P, None]:
    """Turn bad input and interruptions into one line and an exit code, without a traceback."""

    @functools.wraps(command)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            with _pure_stdout() if kwargs.get("as_json") else nullcontext():
                command(*args, **kwargs)
        except BadInput as error:
            typer.echo(f"crossnorm: {printable(str(error))}", err=True)
            raise typer.Exit(2) from None
        except ImportError as error:
            if not (reason := needs_torch(error)):
                raise
            typer.echo(f"crossnorm: this command {reason}", err=True)
            raise typer.Exit(2) from None
        except (StudyStopped, RunsLost) as error:
            typer.echo(f"crossnorm: {printable(str(error))}", err=True)
            raise typer.Exit(1) from None
        except OSError as error:
            if error.errno == errno.EPIPE:  # the reader of the output has left: click ends quietly
                raise
            if error.filename is None:
                _drop_output()
            place = "input or output" if error.filename is None else error.filename
            typer.echo(f"crossnorm: {BadInput.because(str(place), error.strerror or str(error))}", err=True)
            raise typer.Exit(1) from None
        except MemoryError:
            typer.echo("crossnorm: out of memory. Use a smaller model, batch or table, or fewer workers.", err=True)
            raise typer.Exit(1) from None
        except RecursionError:
            typer.echo("crossnorm: a value of the input is nested too deeply.", err=True)
            raise typer.Exit(1) from None
        except KeyboardInterrupt:
            typer.echo("crossnorm: interrupted; run the same command to resume.", err=True)
            raise typer.Exit(130) from None

    return guarded


def terminal() -> Console:
    """The terminal on standard output. Names in square brackets are shown as they are, not taken for styles."""
    from rich.console import Console

    return Console(markup=False, emoji=False)


@app.callback(invoke_without_command=True)
def _root(version: Annotated[bool, typer.Option("--version", help="Show the version.")] = False) -> None:
    if version:
        typer.echo(f"crossnorm {__version__}")
        raise typer.Exit

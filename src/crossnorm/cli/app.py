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


_READER_LEFT = 141
"""Exit code if the reader of the output has left, as a shell has it for other programs."""

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


def _say(line: str) -> None:
    """Print to standard error, if anything can be written there."""
    with suppress(OSError):
        typer.echo(line, err=True)


def _drop_unwritten() -> None:
    """Discard what an output that cannot be written still holds: it would fail again, with exit code 120."""
    for stream in filter(None, (sys.stdout, sys.stderr)):
        try:
            stream.flush()
        except (OSError, ValueError):
            with suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def guarded(command: Callable[P, None]) -> Callable[P, None]:
    """Turn bad input and interruptions into one line and an exit code, without a traceback."""

    @functools.wraps(command)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            with _pure_stdout() if kwargs.get("as_json") else nullcontext():
                command(*args, **kwargs)
            if sys.stdout is not None:  # as it is where the output is closed
                sys.stdout.flush()
        except BadInput as error:
            _say(f"crossnorm: {printable(str(error))}")
            raise typer.Exit(2) from None
        except ImportError as error:
            if not (reason := needs_torch(error)):
                raise
            _say(f"crossnorm: this command {reason}")
            raise typer.Exit(2) from None
        except (StudyStopped, RunsLost) as error:
            _say(f"crossnorm: {printable(str(error))}")
            raise typer.Exit(1) from None
        except OSError as error:
            if error.errno == errno.EPIPE:
                raise typer.Exit(_READER_LEFT) from None
            place = "input or output" if error.filename is None else error.filename
            _say(f"crossnorm: {BadInput.because(str(place), error.strerror or str(error))}")
            raise typer.Exit(1) from None
        except MemoryError:
            _say("crossnorm: out of memory. Use a smaller model, batch or table, or fewer workers.")
            raise typer.Exit(1) from None
        except RecursionError:
            _say("crossnorm: a value of the input is nested too deeply.")
            raise typer.Exit(1) from None
        except KeyboardInterrupt:
            _say("crossnorm: interrupted; run the same command to resume.")
            raise typer.Exit(130) from None
        finally:
            _drop_unwritten()

    return guarded


def terminal() -> Console:
    """The terminal on standard output. Names in square brackets are shown as they are, not taken for styles."""
    from rich.console import Console

    class Terminal(Console):
        def on_broken_pipe(self) -> None:
            raise

    return Terminal(markup=False, emoji=False)


@app.callback(invoke_without_command=True)
def _root(version: Annotated[bool, typer.Option("--version", help="Show the version.")] = False) -> None:
    if version:
        typer.echo(f"crossnorm {__version__}")
        raise typer.Exit

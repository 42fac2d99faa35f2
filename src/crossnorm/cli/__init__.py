"""The command line: every command is a few lines on top of the library.

Results go to the output, progress and errors to the error stream. Exit codes: 0 done, 1 some runs failed, 2 bad
input, 130 interrupted, 141 the reader of the output left. Commands import heavy libraries when they run, so that help
is fast.
"""

from crossnorm.cli import (  # noqa: F401 (each adds its commands)
    bench_command,
    list_command,
    model_commands,
    picture_command,
    stored_commands,
    study_commands,
    watch_command,
)
from crossnorm.cli.app import app, main

__all__ = ["app", "main"]

"""The command line: each command a few lines over the library.

Progress and errors go to the error stream, results to the output. Exit codes: 0 done, 1 some runs failed, 2 bad
input, 130 interrupted. Heavy imports happen inside the commands, so that help is instant.
"""

from crossnorm.cli import (  # noqa: F401 (each adds its commands)
    bench_command,
    finetune_command,
    list_command,
    model_commands,
    picture_command,
    stored_commands,
    study_commands,
    watch_command,
)
from crossnorm.cli.app import app, main

__all__ = ["app", "main"]

"""The commands for studies: plot, plan, new, schema."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated

import typer

from crossnorm.cli.app import app, guarded, print_json, terminal
from crossnorm.cli.options import AsJson, Expect, expected_words, import_modules
from crossnorm.cli.show_result import show
from crossnorm.cli.study_options import StudyName, StudyOptions, with_study_options
from crossnorm.errors import BadInput
from crossnorm.io import read_json, regular_file, write_atomically

__all__: list[str] = []

SCHEMA_FILE = "study.schema.json"
"""What `new` writes beside a study file."""


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
    expect: Expect = None,
    as_json: AsJson = False,
) -> None:
    """Run, resume or extend a study, and print and draw its answer.

    \b
    crossnorm plot                              the built-in quick study
    crossnorm plot cifar10 --seeds 3            a built-in study with fewer seeds
    crossnorm plot my-study.yaml --out results  your own study (crossnorm new my-study.yaml)
    crossnorm plot my_module:train --alphas 0,0.5,1 --seeds 5 --metric loss --direction lower
    crossnorm plot my-study.yaml --json --expect same,better    for programs: exit code 3 if it is worse or undecided
    """  # noqa: D301 (\b keeps line breaks)
    expected = expected_words(expect)
    import_modules(options.imports or [])
    result = options.study(study).run(options.folder(study), track=track, mirror=mirror, ray=ray, **options.execution)
    from crossnorm.study.executors.process_pool import default_workers  # here: it needs torch, wrong options do not

    show(result, as_json=as_json, expected=expected, workers=options.workers or default_workers())


@app.command()
@guarded
@with_study_options
def plan(
    *,
    study: StudyName,
    options: StudyOptions,
    pilot: Annotated[bool, typer.Option("--pilot", help="Train 3 pairs for one epoch if none are stored.")] = False,
    difference: Annotated[float | None, typer.Option(help="Report the seeds needed to detect this difference.")] = None,
    as_json: AsJson = False,
) -> None:
    """Estimate cost and statistical power of a study without running it.

    \b
    crossnorm plan quick                               runs, hours, disk
    crossnorm plan quick --pilot --difference 0.01     seeds needed for a difference
    crossnorm plan my_module:train --seeds 5 --metric loss --direction lower    a function's runs
    """  # noqa: D301
    from crossnorm.report.terminal.plan_summary import plan_summary

    import_modules(options.imports or [])
    found = options.study(study).estimate(
        options.folder(study), pilot=pilot, difference=difference, **options.execution
    )
    if as_json:
        print_json(found.to_json())
    else:
        terminal().print(plan_summary(found))


@app.command()
@guarded
def new(
    file: Annotated[Path, typer.Argument(help="Study file to write.")],
    source: Annotated[
        str | None, typer.Option("--from", help="Copy this study: a built-in one, a file, or a study's folder.")
    ] = None,
) -> None:
    """Write a commented study file to start from, with the JSON schema for completion in editors beside it.

    \b
    crossnorm new my-study.yaml
    crossnorm new my-study.yaml --from quick              a copy of a built-in study, to change
    crossnorm new my-study.yaml --from crossnorm/quick    a copy of a stored study, with every setting
    """  # noqa: D301
    from crossnorm.study.spec.study_template import study_template

    schema = file.parent / SCHEMA_FILE
    _check_schema(schema)
    text = f"# yaml-language-server: $schema={SCHEMA_FILE}\n{study_template(source)}"
    try:
        with file.open("x", encoding="utf-8") as target:
            target.write(text)
        _write_schema(schema)
    except FileExistsError:
        raise BadInput.because(str(file), "the file exists; it was not changed") from None
    except OSError as error:
        raise BadInput.because(str(file), f"cannot write: {error.strerror or error}") from None
    typer.echo(f"Wrote {file}, and {schema} for editors. Run it with: crossnorm plot {file}")


@app.command()
@guarded
def schema(out: Annotated[Path | None, typer.Option(help="File to write; default: standard output.")] = None) -> None:
    """Print the JSON schema of study files.

    \b
    crossnorm schema
    crossnorm schema --out study.schema.json    and in a study file: # yaml-language-server: $schema=study.schema.json
    """  # noqa: D301
    if out is None:
        typer.echo(_schema_text(), nl=False)
        return
    _check_schema(out)
    try:
        _write_schema(out)
    except OSError as error:
        raise BadInput.because(str(out), f"cannot write: {error.strerror or error}") from None


def _write_schema(file: Path) -> None:
    write_atomically(file, _schema_text())


def _check_schema(file: Path) -> None:
    """Check that what is replaced is a schema of this command: no other file, and nothing behind a link.

    Raises:
        BadInput: It is another file, something else than a regular file, or cannot be read.
    """
    if not os.path.lexists(file):
        return
    found = None if file.is_symlink() else read_json(regular_file(file))
    if not isinstance(found, dict) or found.get("title") != json.loads(_schema_text())["title"]:
        kind = "a symbolic link" if file.is_symlink() else "a file that is no schema of study files"
        raise BadInput.because(str(file), f"{kind}; it was not changed", "Remove it, or write to another folder.")


def _schema_text() -> str:
    from crossnorm.study.spec.json_schema import study_schema

    return json.dumps(study_schema(), indent=2, ensure_ascii=False) + "\n"

"""The commands that start from what is stored: report, audit."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from crossnorm.cli.reading import import_modules, margin_of
from crossnorm.cli.root import app, guarded
from crossnorm.cli.showing import show
from crossnorm.errors import BadInput

__all__: list[str] = []


@app.command()
@guarded
def report(
    folder: Annotated[Path | None, typer.Argument(help="A study's folder.")] = None,
    table: Annotated[Path | None, typer.Option("--from", help="Runs instead: CSV, JSON lines, TensorBoard.")] = None,
    metric: Annotated[str | None, typer.Option(help="The column to compare (with --from).")] = None,
    direction: Annotated[str | None, typer.Option(help="Which is better: lower or higher (with --from).")] = None,
    margin: Annotated[str | None, typer.Option(help='Differences up to it count as "same" (with --from).')] = None,
    out: Annotated[Path | None, typer.Option(help="Where to write; default: the folder itself.")] = None,
) -> None:
    """Draw again from what is stored, or from any table of runs.

    \b
    crossnorm report crossnorm/quick
    crossnorm report --from runs.csv --metric loss --direction lower --out answer
    crossnorm report --from logs --metric eval/loss --direction lower --out answer    logs/ARM/SEED/events…
    """  # noqa: D301
    from crossnorm.api import read_result, report_table

    if (folder is None) == (table is None):
        raise BadInput("report", "a study's folder or --from FILE", "neither" if folder is None else "both")
    if folder is not None:
        if metric or direction or margin:
            raise BadInput("report", "--metric, --direction and --margin only with --from", "them with a folder")
        result = read_result(folder)
        result.save(out or folder)
    else:
        assert table is not None
        if metric is None or direction is None or out is None:
            raise BadInput("report --from", "--metric, --direction and --out beside it", "fewer")
        result = report_table(table, metric, direction, None if margin is None else margin_of(margin))
        result.save(out)
    show(result, out or folder)


@app.command()
@guarded
def audit(
    folder: Annotated[Path | None, typer.Argument(help="A study's folder; none: trains an A/A study.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Where audit.json goes; else the folder, or crossnorm/audit.")
    ] = None,
    workers: Annotated[int | None, typer.Option(help="Worker processes; default: one per core.")] = None,
    imports: Annotated[list[str] | None, typer.Option("--import", help="Module that a study may name.")] = None,
) -> None:
    """Check that runs repeat to the bit and that verdicts stay quiet where nothing differs.

    Exit code 0 if so; 1 if repeated bits differ or an A/A comparison errs more often than the confidence allows.

    \b
    crossnorm audit                    trains a small A/A study, a few minutes
    crossnorm audit crossnorm/quick    repeats stored runs; the baseline's seeds are its A/A comparisons
    """  # noqa: D301
    from rich.console import Console

    from crossnorm import api
    from crossnorm.report.audit import audit_summary

    import_modules(imports or [])
    found = api.audit(folder, out=out, workers=workers, imports=imports or [])
    Console().print(audit_summary(found))
    if not found.passed:
        raise typer.Exit(1)

"""The commands that start from what is stored: report, audit."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from crossnorm.cli.app import app, guarded
from crossnorm.cli.options import import_modules, inches, margin_of
from crossnorm.cli.show_result import show
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
    baseline: Annotated[str | None, typer.Option(help="The arm to compare with (with --from).")] = None,
    out: Annotated[Path | None, typer.Option(help="Where to write; default: the folder itself.")] = None,
    formats: Annotated[str, typer.Option(help="Of the figures, separated by commas: png,svg,pdf")] = "png",
    width: Annotated[str, typer.Option(help="Of the figures: page, column, or inches.")] = "page",
    font_size: Annotated[float, typer.Option(help="Text size of the figures in points.")] = 8.0,
) -> None:
    """Draw again from what is stored, or from any table of runs. Of an unfinished study the answer is provisional.

    \b
    crossnorm report crossnorm/quick
    crossnorm report crossnorm/quick --formats svg,pdf --width 3.3 --font-size 8
    crossnorm report --from runs.csv --metric loss --direction lower --out answer
    crossnorm report --from logs --metric eval/loss --direction lower --out answer    logs/ARM/SEED/events…

    With --from, --metric, --direction and --out are required. The columns of a table: arm, seed, step, the metrics,
    and optionally dose and control. The baseline is the arm called baseline, else the first whose dose is 0, else the
    first. Beside one whose dose is not 0 there is no trend.
    """  # noqa: D301
    from crossnorm.api import look_at, report_table
    from crossnorm.report import FigureStyle

    names = tuple(name.strip() for name in formats.split(","))
    style = FigureStyle(width=inches(width), font_size=font_size, formats=names)
    if (folder is None) == (table is None):
        raise BadInput("report", "a study's folder or --from FILE", "neither" if folder is None else "both")
    if folder is not None:
        if metric or direction or margin or baseline:
            raise BadInput("report", "--metric, --direction, --margin and --baseline only with --from", "a folder")
        result = look_at(folder)
        result.save(out or folder, style)
    else:
        assert table is not None
        given = {"metric": metric, "direction": direction, "out": out}
        if metric is None or direction is None or out is None:
            lacking = [f"--{name}" for name, value in given.items() if value is None]
            raise BadInput("report --from", "--metric, --direction and --out beside it", f"no {', '.join(lacking)}")
        result = report_table(table, metric, direction, None if margin is None else margin_of(margin), baseline)
        result.save(out, style)
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
    crossnorm audit crossnorm/mine --import mine    a study of your own function, or with your own variants
    """  # noqa: D301
    from rich.console import Console

    from crossnorm import api
    from crossnorm.report.terminal.audit_summary import audit_summary

    import_modules(imports or [])
    found = api.audit(folder, out=out, workers=workers, imports=imports or [])
    Console().print(audit_summary(found))
    if not found.passed:
        raise typer.Exit(1)

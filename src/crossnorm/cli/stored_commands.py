"""The commands for stored studies: report, audit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from crossnorm.cli.app import app, guarded, print_json, terminal
from crossnorm.cli.options import AsJson, Expect, expected_words, import_modules, inches, margin_of
from crossnorm.cli.show_result import show
from crossnorm.errors import BadInput

__all__: list[str] = []

TEX = "tex"  # no format of figures


@app.command()
@guarded
def report(
    folder: Annotated[Path | None, typer.Argument(help="Folder of a study.")] = None,
    tables: Annotated[
        list[Path] | None,
        typer.Option("--from", help="Table of runs: CSV, JSON lines, TensorBoard logs. Several are joined."),
    ] = None,
    metric: Annotated[
        str | None, typer.Option(help="Column to compare, COLUMN_auc or COLUMN_steps_to_TARGET; default: as declared.")
    ] = None,
    direction: Annotated[str | None, typer.Option(help="Better side of the column: lower or higher.")] = None,
    margin: Annotated[str | None, typer.Option(help='Largest difference that counts as "same".')] = None,
    baseline: Annotated[str | None, typer.Option(help="Arm to compare with (with --from).")] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder to write to; default: the study's, or report-METRIC in it for another question."),
    ] = None,
    formats: Annotated[
        str, typer.Option(help="Formats of the figures, separated by commas: png,svg,pdf; tex: the tables for LaTeX.")
    ] = "png",
    width: Annotated[str, typer.Option(help="Width of the figures: page, column, or inches.")] = "page",
    font_size: Annotated[float, typer.Option(help="Font size of the figures in points.")] = 8.0,
    partial: Annotated[
        bool, typer.Option("--partial", help="Write the answer without finished runs that are damaged or missing.")
    ] = False,
    expect: Expect = None,
    as_json: AsJson = False,
) -> None:
    """Redraw a stored study, ask its runs another question, or draw any table of runs.

    The answer of an unfinished study is provisional.

    \b
    crossnorm report crossnorm/quick
    crossnorm report crossnorm/quick --formats svg,pdf,tex --width 3.3 --font-size 8
    crossnorm report crossnorm/quick --metric test_accuracy --margin 0.005
    crossnorm report crossnorm/quick --metric test_loss_auc        mean over training
    crossnorm report --from runs.csv --metric loss --direction lower --out answer
    crossnorm report --from mine.csv --from theirs.csv --metric loss_steps_to_0.5 --direction lower --out answer
    crossnorm report --from logs --metric eval/loss --direction lower --out answer    logs/ARM/SEED/events…

    --metric, --direction and --margin ask a study's stored runs a question that was not declared. The answer says so
    and is written to report-METRIC in the study's folder. COLUMN_auc is the mean of a column's curve over the steps;
    COLUMN_steps_to_TARGET is the first step at which the column reaches the target from its worse side.

    --from requires --metric, --direction and --out. Columns of the table: arm, seed, step, the metrics, and optionally
    dose and control. The baseline is the arm named baseline, else the first with dose 0, else the first. If its
    dose is not 0, there is no trend.

    Exit code 1 if finished runs are damaged, belong to another run, or are gone: the stored answer is then kept, unless
    --partial is given.
    """  # noqa: D301
    from crossnorm.api import ask_again, compare, refuse_studies
    from crossnorm.report import FigureStyle

    expected = expected_words(expect)
    names = [name.strip() for name in formats.split(",")]
    figures = tuple(name for name in names if name != TEX) or ("png",)
    style = FigureStyle(width=inches(width), font_size=font_size, formats=figures)
    size = None if margin is None else margin_of(margin)
    if (folder is None) == (not tables):
        raise BadInput("report", "either a study's folder or --from FILE", "none" if folder is None else "both")
    if folder is not None:
        if baseline:
            raise BadInput.because("report", "--baseline requires --from")
        result, where = ask_again(folder, metric=metric, direction=direction, margin=size)
        where = out or where
    else:
        refuse_studies(tables or [])
        given = {"metric": metric, "direction": direction, "out": out}
        if metric is None or direction is None or out is None:
            lacking = [f"--{name}" for name, value in given.items() if value is None]
            raise BadInput.because("report --from", f"{', '.join(lacking)} missing")
        result = compare(tables or [], metric=metric, direction=direction, margin=size, baseline=baseline)
        where = out
    result.save(where, style, tex=TEX in names, partial=partial)
    show(result, where, as_json=as_json, expected=expected)


@app.command()
@guarded
def audit(
    folder: Annotated[Path | None, typer.Argument(help="Folder of a study; default: train an A/A study.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for audit.json; default: the study's folder, or crossnorm/audit.")
    ] = None,
    workers: Annotated[int | None, typer.Option(help="Worker processes; default: one per core.")] = None,
    imports: Annotated[
        list[str] | None,
        typer.Option("--import", help="Python module to import; its functions may be used by the study."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check that runs are bit-identical when repeated, and estimate the false-positive rate on A/A arms.

    Exit code 1 if a repeated run differs, an A/A arm is better or worse, or the A/A error rate exceeds the
    nominal level.

    \b
    crossnorm audit                    train a small A/A study (a few minutes)
    crossnorm audit crossnorm/quick    repeat stored runs; compare the baseline's seeds with each other
    crossnorm audit crossnorm/mine --import mine    a study with your own function or variants
    """  # noqa: D301
    from crossnorm import api
    from crossnorm.report.terminal.audit_summary import audit_summary

    import_modules(imports or [])
    found = api.audit(folder, out=out, workers=workers, imports=imports or [])
    if as_json:
        print_json(json.dumps(found.to_dict(), indent=2, sort_keys=True))
    else:
        terminal().print(audit_summary(found))
    if not found.passed:
        raise typer.Exit(1)

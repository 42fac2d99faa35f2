"""The command that measures this machine: bench."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from crossnorm.cli.app import app, guarded
from crossnorm.cli.options import Device, Imports, import_modules, settings_of, with_options

__all__: list[str] = []


@app.command()
@guarded
def bench(
    model: Annotated[str, typer.Option(help="crossnorm list models.")] = "cct_2_3x2_32",
    recipe: Annotated[str, typer.Option(help="crossnorm list recipes.")] = "paper",
    batch_size: Annotated[int | None, typer.Option(help="Examples a step; default: the recipe's.")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="A field of the recipe, precision=fp32, or model.img_size=64.")
    ] = None,
    variants: Annotated[str | None, typer.Option(help="Variants, separated by commas; default: all.")] = None,
    members: Annotated[int, typer.Option(help="Runs that share every batch.")] = 5,
    repeats: Annotated[int, typer.Option(help="Rounds in which everything is measured once.")] = 7,
    threads: Annotated[int, typer.Option(help="Threads of the CPU; a study's workers have one each.")] = 1,
    device: Device = "auto",
    out: Annotated[Path | None, typer.Option(help="A JSON file to write.")] = None,
    imports: Imports = None,
) -> None:
    """Measure this machine: how fast it trains, how near that is to its ceiling, and what each variant costs.

    Random examples; nothing is read or downloaded. With the defaults a minute or two; it should do nothing else
    meanwhile.

    \b
    crossnorm bench
    crossnorm bench --model cct_7_3x1_32 --variants convex,signed --repeats 3
    crossnorm bench --set model.img_size=128 --batch-size 16 --threads 2 --out bench.json
    crossnorm bench --model gpt_2 --recipe quick
    """  # noqa: D301
    from rich.console import Console

    from crossnorm import api
    from crossnorm.report.terminal.bench_summary import bench_summary
    from crossnorm.training.benchmark.bench_records import BenchSettings
    from crossnorm.training.recipe.recipes import make_recipe

    import_modules(imports or [])
    fields, keywords = settings_of(settings or [])
    chosen = {} if variants is None else {"variants": tuple(name.strip() for name in variants.split(","))}
    asked = BenchSettings(
        model={"name": model, **keywords},
        recipe=make_recipe(recipe, **with_options(fields, batch_size=batch_size)),
        members=members,
        repeats=repeats,
        threads=threads,
        device=device,
        **chosen,
    )
    Console().print(bench_summary(api.bench(asked, out=out, imports=imports or [])))

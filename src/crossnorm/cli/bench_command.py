"""The command ``bench``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from crossnorm.cli.app import app, guarded, print_json, terminal
from crossnorm.cli.options import AsJson, Device, Imports, import_modules, settings_of, with_options, words

__all__: list[str] = []


@app.command()
@guarded
def bench(
    model: Annotated[str, typer.Option(help="A model of `crossnorm list models`.")] = "cct_2_3x2_32",
    recipe: Annotated[str, typer.Option(help="A recipe of `crossnorm list recipes`.")] = "paper",
    batch_size: Annotated[int | None, typer.Option(help="Examples per step; default: the recipe's.")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="A field of the recipe (precision=fp32) or model.FIELD=VALUE.")
    ] = None,
    variants: Annotated[str | None, typer.Option(help="Variants, separated by commas; default: all.")] = None,
    members: Annotated[int, typer.Option(help="Models that train on the same batches, as the arms of a seed do.")] = 5,
    repeats: Annotated[int, typer.Option(help="Rounds; in each, everything is measured once.")] = 7,
    threads: Annotated[int, typer.Option(help="CPU threads; each worker of a study has one.")] = 1,
    device: Device = "auto",
    out: Annotated[Path | None, typer.Option(help="A JSON file to write.")] = None,
    imports: Imports = None,
    as_json: AsJson = False,
) -> None:
    """Measure the speed of this machine: examples per second, and the overhead of each variant.

    Uses random examples; nothing is downloaded. The measurements alternate; the tables show medians and quartiles over
    the rounds. The defaults take one to three minutes on a CPU. Close other programs first.

    \b
    crossnorm bench
    crossnorm bench --model cct_7_3x1_32 --variants convex,signed --repeats 3
    crossnorm bench --set model.img_size=128 --batch-size 16 --threads 2 --out bench.json
    crossnorm bench --model gpt_2 --recipe quick
    """  # noqa: D301
    from crossnorm import api
    from crossnorm.report.terminal.bench_summary import bench_summary
    from crossnorm.training.benchmark.benchmark import BenchSettings
    from crossnorm.training.recipe.recipes import make_recipe
    from crossnorm.training.runtime.process_memory import hold_memory

    import_modules(imports or [])
    fields, keywords = settings_of(settings or [])
    chosen = {} if variants is None else {"variants": tuple(words("--variants", variants))}
    asked = BenchSettings(
        model={"name": model, **keywords},
        recipe=make_recipe(recipe, **with_options(fields, batch_size=batch_size)),
        members=members,
        repeats=repeats,
        threads=threads,
        device=device,
        **chosen,
    )
    hold_memory()  # as the workers of a study do
    found = api.bench(asked, out=out)
    if as_json:
        print_json(json.dumps(api.bench_fields(found), indent=2))
    else:
        terminal().print(bench_summary(found))

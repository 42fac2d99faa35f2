"""The commands about one model: train, eval."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from crossnorm.cli.app import app, guarded
from crossnorm.cli.options import Device, Imports, import_modules, settings_of, with_options
from crossnorm.errors import BadInput

__all__ = ["show_run"]


@app.command()
@guarded
def train(
    task: Annotated[str, typer.Option(help="What is learned: crossnorm list tasks.")],
    model: Annotated[str | None, typer.Option(help="crossnorm list models; default: the task's.")] = None,
    variant: Annotated[str | None, typer.Option(help="crossnorm list variants; default: plain attention.")] = None,
    alpha: Annotated[float | None, typer.Option(help="The variant's dose; default 1.")] = None,
    site: Annotated[str | None, typer.Option(help="attention, pool or both.")] = None,
    recipe: Annotated[
        str | None, typer.Option(help="crossnorm list recipes; default quick, from trained weights anneal.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the training set.")] = None,
    seed: Annotated[int, typer.Option(help="Weights, order, augmentation and dropout.")] = 0,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="A field of the recipe, lr=1e-3, or model.FIELD=VALUE.")
    ] = None,
    weights: Annotated[Path | None, typer.Option(help="A checkpoint to start from.")] = None,
    pretrained: Annotated[bool, typer.Option("--pretrained", help="Start from the published weights.")] = False,
    train_examples: Annotated[int | None, typer.Option(help="Use so many training examples.")] = None,
    device: Device = "auto",
    out: Annotated[Path | None, typer.Option(help="The run's folder; default: crossnorm/<task>-<model>-…")] = None,
    data: Annotated[Path | None, typer.Option(help="Where the task's data are.")] = None,
    imports: Imports = None,
) -> None:
    """Train one model and keep it; the same command goes on where it stopped.

    \b
    crossnorm train --task digits --epochs 5
    crossnorm train --task cifar10 --model cct_7_3x1_32 --recipe paper-long --set ema=0.999 --out long
    crossnorm train --task cifar10 --model cct_2_3x2_32 --variant convex --alpha 0.5 --site attention
    torchrun --nproc-per-node 2 -m crossnorm train --task cifar10 --device cpu --out shared
    """  # noqa: D301
    from crossnorm.api import train_model
    from crossnorm.functional import Variant
    from crossnorm.study.workload.single_run import SingleRun
    from crossnorm.training.recipe.recipes import default_recipe, make_recipe
    from crossnorm.training.runtime.process_memory import hold_memory

    import_modules(imports or [])
    if variant is None and (alpha is not None or site is not None):
        raise BadInput("train", "--variant beside --alpha and --site", "no variant")
    dosed = None
    if variant is not None:
        dosed = Variant(name=variant, alpha=1.0 if alpha is None else alpha, site=site or "attention")
    fields, keywords = settings_of(settings or [])
    keywords |= {} if model is None else {"name": model}
    keywords |= {"pretrained": True} if pretrained else {}
    named = recipe or ("anneal" if weights else default_recipe(keywords))
    chosen = make_recipe(named, **with_options(fields, epochs=epochs))
    run = SingleRun(model=keywords, recipe=chosen, seed=seed, variant=dosed, weights=weights)
    label = "-".join([task, *([model] if model else []), *([f"{variant}-{dosed.alpha:g}"] if dosed else []), str(seed)])
    where = out or Path("crossnorm") / label.replace(":", ".")
    hold_memory()
    outcome = train_model(run, task, where, data=data, train_examples=train_examples, device=device)
    if outcome["first"]:
        show_run(outcome, where)
    if outcome["status"] != "complete":
        raise typer.Exit(1)


@app.command("eval")
@guarded
def eval_(
    checkpoint: Annotated[Path, typer.Argument(help="A model.safetensors, or a folder model, that crossnorm wrote.")],
    task: Annotated[str, typer.Option(help="On which test set: crossnorm list tasks.")],
    data: Annotated[Path | None, typer.Option(help="Where the task's data are.")] = None,
    device: Device = "auto",
    out: Annotated[Path | None, typer.Option(help="Where to write; default: beside the checkpoint.")] = None,
) -> None:
    """Evaluate a model: loss, top-1, top-5, and a picture of which class is taken for which.

    \b
    crossnorm eval crossnorm/digits-0/model.safetensors --task digits
    """  # noqa: D301
    from crossnorm.api import evaluate_checkpoint

    found = evaluate_checkpoint(checkpoint, task, data=data, out=out, device=device)
    typer.echo(f"examples {found.examples}\nloss     {found.loss:.4f}\ntop-1    {found.top1:.2%}")
    if found.top5 is not None:
        typer.echo(f"top-5    {found.top5:.2%}")
    typer.echo(f"Written: {(out or checkpoint.parent) / 'confusion.png'}, evaluation.json")


def show_run(outcome: dict[str, Any], folder: Path) -> None:
    """The last evaluation of a run, and where its model is."""
    for name, value in outcome["metrics"].items():
        if name.startswith("test_") or name in ("epoch", "averaged"):
            typer.echo(f"{name:14} {value:.4f}" if isinstance(value, float) else f"{name:14} {value}")
    if outcome["reason"]:
        typer.echo(f"{outcome['status']}: {outcome['reason']}")
    else:
        typer.echo(f"The model: {folder / outcome.get('model', 'model.safetensors')}")

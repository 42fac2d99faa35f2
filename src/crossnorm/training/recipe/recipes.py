"""Recipes: every setting of training besides the model and the data. A study may change any field."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from crossnorm.errors import BadInput, unknown_name

__all__ = ["ALPHA_LR", "RECIPES", "Recipe", "default_recipe", "make_recipe"]

ALPHA_LR = 0.01
"""Default peak learning rate of a learned dose."""


class Recipe(BaseModel):
    """How a model is trained.

    Attributes:
        name: Name of the recipe before changes.
        epochs: Passes over the training set; an incomplete last batch is dropped.
        batch_size: Examples per step.
        optimizer: "adamw"; "muon": Muon with momentum 0.95 for the matrices of the blocks and AdamW for the rest, with
            steps of equal size (arXiv 2502.16982), so that `lr` and `weight_decay` apply to both; or "muon-filters":
            Muon also for the filters of every Conv2d but the first.
        lr: Peak learning rate.
        lr_schedule: Decay of the learning rate after the warm-up: "cosine" (half a period) or "linear".
        min_lr: Learning rate at the last step.
        warmup_lr: Learning rate at the start of the warm-up, one increment before the first step.
        warmup_epochs: Epochs of linear warm-up, may be fractional.
        weight_decay: Decoupled weight decay of matrices and filters; biases, norms and positions have none.
        beta2: Decay of AdamW's second moment (0.9 for the first).
        label_smoothing: Of the training loss; the test loss has none.
        augmentation: "none", "crop-flip", "autoaugment", "randaugment", or "task": the default of the task.
        flip: Which images the augmentation mirrors: "random", each with probability ½ in every epoch; or "alternating",
            a random half in the first epoch, the other half in the second, and so on (arXiv 2404.00498).
        mixup: Parameter of Mixup's Beta distribution; 0: off. One draw per batch.
        cutmix: Parameter of CutMix's Beta distribution; 0: off. If both are on, each batch gets one of the two.
        mix_epochs: Number of epochs with Mixup and CutMix, from the first; null: all.
        clip_norm: Maximum norm of the gradient; null: no clipping.
        ema: Decay of an exponential moving average of the weights, which is then evaluated and saved; null: off.
        accumulate: Number of micro-batches per batch; the step is that of the whole batch.
        precision: "fp32", "bf16" (autocast), or "auto": bf16 if the device supports it natively.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: str = "quick"
    epochs: int = Field(default=10, ge=1)
    batch_size: int = Field(default=128, ge=1)
    optimizer: Literal["adamw", "muon", "muon-filters"] = "adamw"
    lr: float = Field(default=2e-3, gt=0)
    lr_schedule: Literal["cosine", "linear"] = "cosine"
    min_lr: float = Field(default=0.0, ge=0)
    warmup_lr: float = Field(default=0.0, ge=0)
    warmup_epochs: float = Field(default=1.0, ge=0)
    weight_decay: float = Field(default=3e-2, ge=0)
    beta2: float = Field(default=0.999, gt=0, lt=1)
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    augmentation: Literal["task", "none", "crop-flip", "autoaugment", "randaugment"] = "task"
    flip: Literal["random", "alternating"] = "random"
    mixup: float = Field(default=0.0, ge=0)
    cutmix: float = Field(default=0.0, ge=0)
    mix_epochs: int | None = Field(default=None, ge=0)
    clip_norm: float | None = Field(default=None, gt=0)
    ema: float | None = Field(default=None, gt=0, lt=1)
    accumulate: int = Field(default=1, ge=1)
    precision: Literal["auto", "fp32", "bf16"] = "auto"


RECIPES: dict[str, Recipe] = {
    "quick": Recipe(optimizer="muon-filters", lr=8e-3, warmup_epochs=0.25, weight_decay=0.1),
    "paper": Recipe(
        name="paper",
        epochs=200,
        lr=5e-4,
        warmup_epochs=5.0,
        label_smoothing=0.1,
        augmentation="autoaugment",
    ),
    "paper-long": Recipe(
        name="paper-long",
        epochs=300,
        lr=5.5e-4,
        min_lr=1e-5,
        warmup_lr=1e-5,
        warmup_epochs=10.0,
        weight_decay=6e-2,
        label_smoothing=0.1,
        augmentation="randaugment",
        mixup=0.8,
        cutmix=1.0,
        mix_epochs=175,
    ),
    "finetune": Recipe(
        name="finetune",
        epochs=30,
        batch_size=96,
        lr=1e-5,
        warmup_epochs=0.0,
        weight_decay=0.0,
        label_smoothing=0.1,
        augmentation="randaugment",
        mixup=0.8,
        cutmix=1.0,
    ),
    "finetune-text": Recipe(
        name="finetune-text",
        epochs=3,
        batch_size=32,
        lr=1e-4,
        warmup_epochs=0.3,
        weight_decay=0.01,
        clip_norm=1.0,
    ),
    "anneal": Recipe(name="anneal", lr=5e-4, warmup_epochs=0.0),
}
"""Recipes by name.

`paper`: Compact Transformers' simple training script (arXiv 2104.05704). `paper-long`: their configuration
cct_7-3x1_cifar10_300epochs, without its random resized crops and its ten epochs of cooldown. `finetune`: their
configuration cct_14-7x2_imagenet384 (from weights trained at 224), without random resized crops, random erasing and
cooldown. crossnorm's own: `quick`, `finetune-text` (pretrained text Transformers), and `anneal` (further training of a
compact model while α rises).
"""


def default_recipe(model: Mapping[str, Any]) -> str:
    """The name of the default recipe: `quick`, or a gentler one for a pretrained model.

    Args:
        model: The `model` field of a study: keywords of `create_model`, or `from`, a crossnorm checkpoint (`anneal`) or
            a pretrained model of another library (`finetune-text`).
    """
    source = model.get("from")
    if source is None:
        return "anneal" if model.get("pretrained") or model.get("weights") else "quick"
    from crossnorm.adapters.model_source import is_own  # here: adapters need torch, a list of recipes does not

    return "anneal" if is_own(str(source)) else "finetune-text"


def make_recipe(name: str = "quick", **changes: object) -> Recipe:
    """A named recipe with some fields changed.

    Raises:
        BadInput: Unknown recipe or field, or a value out of range.
    """
    if not isinstance(name, str) or name not in RECIPES:  # a study file may hold anything
        raise unknown_name("recipe", name, RECIPES)
    for field in changes:
        if field not in Recipe.model_fields:
            raise unknown_name("recipe field", field, Recipe.model_fields)
    try:
        return Recipe.model_validate(RECIPES[name].model_dump() | changes)
    except ValidationError as error:
        first = error.errors()[0]
        if first["type"] == "literal_error":
            choices = get_args(Recipe.model_fields[str(first["loc"][0])].annotation)
            raise unknown_name(f"recipe.{first['loc'][0]}", first["input"], choices) from None
        expected = first["msg"].removeprefix("Input should be ")
        raise BadInput(f"recipe.{first['loc'][0]}", expected, first["input"]) from None

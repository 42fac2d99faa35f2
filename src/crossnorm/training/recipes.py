"""Recipes: every setting of training that is not the model or the data.

One table of named recipes; a study may change any field. Knows nothing of models or of how a field is carried out.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from crossnorm.errors import BadInput, unknown_name

__all__ = ["RECIPES", "Recipe", "make_recipe"]


class Recipe(BaseModel):
    """How a model is trained.

    Attributes:
        name: The named recipe it started from.
        epochs: Passes over the training set; the last, smaller batch of a pass is left out.
        batch_size: Examples a step.
        lr: Peak learning rate.
        min_lr: Learning rate at the last step.
        warmup_lr: Learning rate at step 0, if there is a warm-up.
        warmup_epochs: Epochs of linear warm-up (a fraction is allowed); a cosine from `lr` to `min_lr` follows.
        weight_decay: Decoupled weight decay of matrices and filters; biases, norms and positions have none.
        beta2: Second-moment decay of AdamW (the first is 0.9).
        label_smoothing: Share of the target spread over all classes; the test loss is without it.
        augmentation: A policy of `crossnorm.data.AUGMENTATIONS`, or "task": what suits the task.
        clip_norm: Largest norm of the gradient; null: no clipping.
        precision: "fp32", "bf16" (autocast), or "auto": bf16 where the device computes with it natively.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: str = "quick"
    epochs: int = Field(default=10, ge=1)
    batch_size: int = Field(default=128, ge=1)
    lr: float = Field(default=2e-3, gt=0)
    min_lr: float = Field(default=0.0, ge=0)
    warmup_lr: float = Field(default=0.0, ge=0)
    warmup_epochs: float = Field(default=1.0, ge=0)
    weight_decay: float = Field(default=3e-2, ge=0)
    beta2: float = Field(default=0.999, gt=0, lt=1)
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    augmentation: Literal["task", "none", "crop-flip", "autoaugment", "randaugment"] = "task"
    clip_norm: float | None = Field(default=None, gt=0)
    precision: Literal["auto", "fp32", "bf16"] = "auto"


RECIPES: dict[str, Recipe] = {
    "quick": Recipe(),
    "paper": Recipe(
        name="paper",
        epochs=200,
        lr=5e-4,
        warmup_epochs=5.0,
        label_smoothing=0.1,
        augmentation="autoaugment",
    ),
}
"""Recipes by name. `paper`: Compact Transformers' simple training script (arXiv 2104.05704); `quick`: ours."""


def make_recipe(name: str = "quick", **changes: object) -> Recipe:
    """The named recipe with some fields changed.

    Raises:
        BadInput: An unknown recipe or field, or a value out of its range.
    """
    if name not in RECIPES:
        raise unknown_name("recipe", name, RECIPES)
    for field in changes:
        if field not in Recipe.model_fields:
            raise unknown_name("recipe field", field, Recipe.model_fields)
    try:
        return Recipe.model_validate(RECIPES[name].model_dump() | changes)
    except ValidationError as error:
        first = error.errors()[0]
        raise BadInput(f"recipe.{first['loc'][0]}", first["msg"], first["input"]) from None

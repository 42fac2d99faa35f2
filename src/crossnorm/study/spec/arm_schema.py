"""The fields of variants, schedules and arms in a study file."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from crossnorm.errors import is_plain

__all__ = ["MOST_SEED", "ArmSpec", "Finite", "Name", "ScheduleSpec", "Strict", "VariantSpec"]

MOST_SEED = 2**63 - 1
"""With the largest offset, which is the same, still a seed that torch accepts."""


def _finite(value: float) -> float:
    if not math.isfinite(value) or not (value == 0 or 1e-50 <= abs(value) <= 1e50):
        raise ValueError("a finite number: 0, or from 1e-50 to 1e50 in size")
    return float(value)


def _name(value: str) -> str:
    if not value.strip() or not is_plain(value):
        raise ValueError("a name without control characters")
    return value


Finite = Annotated[float, AfterValidator(_finite)]
Name = Annotated[str, AfterValidator(_name), Field(max_length=120)]


class Strict(BaseModel):
    """A section without unknown fields, whose values are not converted."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class VariantSpec(Strict):
    """A variant of the grid with its settings: ``{name: convex, gain: 10}``.

    Attributes:
        name: A name of ``crossnorm list variants``, or ``module:function``.
        gain: g in g·S(τV).
        temperature: τ in g·S(τV).
        layers: Indices of the attention layers it acts in; null: all.
    """

    name: Name
    gain: Finite = 1.0
    temperature: Finite = 1.0
    layers: list[int] | None = None

    @property
    def label(self) -> str:
        """The beginning of its arms' names: ``convex``, ``convex-g10``, ``convex-t4``, ``convex-l0.1``."""
        gain = f"-g{self.gain:g}" if self.gain != 1 else ""
        temperature = f"-t{self.temperature:g}" if self.temperature != 1 else ""
        layers = "-l" + ".".join(map(str, self.layers)) if self.layers is not None else ""
        return self.name + gain + temperature + layers


class ScheduleSpec(Strict):
    """How α rises to an arm's dose: the fields of `AlphaSchedule` without `final`, which is the dose.

    The verdict compares the last evaluations, where α has reached the dose.

    Attributes:
        kind: "constant", "linear", "cosine" (half a period) or "steps" (`steps` equal increments).
        initial: α until `start`.
        start: Fraction of training at which α starts to change.
        end: Fraction of training at which α reaches the dose.
        steps: Number of increments of the kind "steps".
    """

    kind: Literal["constant", "linear", "cosine", "steps"] = "linear"
    initial: Finite = 0.0
    start: float = Field(default=0.0, ge=0, lt=1)
    end: float = Field(default=1.0, gt=0, le=1)
    steps: int = Field(default=4, ge=1)


class ArmSpec(BaseModel):
    """An additional arm: a name, an optional dose and control, and any settings.

    Settings are those of a variant (`variant`, `alpha`, `site`, `layers`, `gain`, `temperature`), `alpha_schedule`,
    `learnable_alpha`, `model`, or any field of the recipe. For a training function every other field is a setting.

    `model: {num_layers: 4}` changes fields of the study's model in this arm; with `name` it is another model, which
    takes nothing from the study's. It is refused where the study starts from trained weights.

    `nuisance` and `seed_offset` make A/A arms: with no other setting, they are trained as the baseline with other
    random numbers. Their verdicts show the false-positive rate of the study.

    Attributes:
        name: Unique in the study.
        dose: The arm's dose in the trend of its variant; default: the variant's α.
        control: The arm it is compared with in addition to the baseline.
        alpha_schedule: How α rises; default: the study's. ``{kind: constant}`` keeps it constant.
        learnable_alpha: Learn α, from 0: one per "model", "layer" or "head". Such an arm has no `alpha`, and α has no
            weight decay.
        alpha_lr: Peak learning rate of a learned α, which follows the recipe's schedule. The recipe's own rate would be
            too small for a number of size 1 when a pretrained model is fine-tuned.
        nuisance: From 1: number of the arm's own dropout stream; initialization, order and augmentation stay those of
            the seed. 0: dropout is paired too.
        seed_offset: From 1: the arm trains on seed + offset and shares no random numbers with its pair. It is still
            compared with the baseline's run of the seed.
    """

    model_config = ConfigDict(frozen=True, extra="allow", strict=True)

    name: Name
    dose: Finite | None = None
    control: Name | None = None
    alpha_schedule: ScheduleSpec | None = None
    learnable_alpha: Literal["model", "layer", "head"] | None = None
    alpha_lr: float | None = Field(default=None, gt=0)
    nuisance: int = Field(default=0, ge=0)
    seed_offset: int = Field(default=0, ge=0, le=MOST_SEED)

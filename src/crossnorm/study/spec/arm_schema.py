"""What a study file says of variants, schedules and arms.

Knows their fields and defaults; knows nothing of the study around them, or of what becomes of it.
"""

from __future__ import annotations

import math
import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

__all__ = ["ArmSpec", "Finite", "Name", "ScheduleSpec", "Strict", "VariantSpec"]

_HIDDEN = re.compile("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters, those that turn the direction of text, and halves of characters."""


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise ValueError("a finite number")
    return float(value)


def _name(value: str) -> str:
    if not value.strip() or _HIDDEN.search(value):
        raise ValueError("a name without control characters")
    return value


Finite = Annotated[float, AfterValidator(_finite)]
Name = Annotated[str, AfterValidator(_name), Field(max_length=120)]


class Strict(BaseModel):
    """A section whose every field is known and of its own type."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class VariantSpec(Strict):
    """A variant of the grid with settings of its own: ``{name: convex, gain: 10}``."""

    name: Name
    gain: Finite = 1.0
    temperature: Finite = 1.0
    layers: list[int] | None = None

    @property
    def label(self) -> str:
        """The stem of its arms' names: ``convex``, ``convex-g10``, ``convex-t4``, ``convex-l0.1``."""
        gain = f"-g{self.gain:g}" if self.gain != 1 else ""
        temperature = f"-t{self.temperature:g}" if self.temperature != 1 else ""
        layers = "-l" + ".".join(map(str, self.layers)) if self.layers is not None else ""
        return self.name + gain + temperature + layers


class ScheduleSpec(Strict):
    """How α rises to an arm's dose: the fields of `AlphaSchedule` but `final`, which is the dose.

    The verdict compares the last evaluations, where α is the dose, so a study of ramps says how far α can be raised.
    """

    kind: Literal["constant", "linear", "cosine", "steps"] = "linear"
    initial: Finite = 0.0
    start: float = Field(default=0.0, ge=0, lt=1)
    end: float = Field(default=1.0, gt=0, le=1)
    steps: int = Field(default=4, ge=1)


class ArmSpec(BaseModel):
    """A further arm: a name, an optional dose and control, and any settings.

    Settings are a variant's (`variant`, `alpha`, `site`, `layers`, `gain`, `temperature`), `alpha_schedule`,
    `learnable_alpha`, or any field of the recipe.

    Two more settings make A/A arms, treated alike and different by chance alone; a study of them shows how often its
    verdicts err. An arm that has one of them, or both, and nothing else is trained exactly as the baseline.

    Attributes:
        name: Unique in the study.
        dose: Puts the arm on the trend of its variant; default the variant's α.
        control: The arm it is compared with beside the baseline.
        alpha_schedule: How α rises; default the study's. ``{kind: constant}`` holds it in a study that raises it.
        learnable_alpha: The network chooses α, from 0 on: one for the "model", one a "layer" or one a "head". Such an
            arm has no `alpha` and no dose, and α meets no weight decay.
        alpha_lr: Peak learning rate of a learned α; it follows the recipe's schedule otherwise. The recipe's own would
            be too small to move a number of size 1 while a pretrained model is fine-tuned.
        nuisance: From 1: dropout draws from a stream of its own of that number, while initialisation, order and
            augmentation stay those of the seed; 0: dropout is paired too.
        seed_offset: From 1: the arm trains on seed + offset, so that it shares no draw with its pair; it still stands
            beside the baseline's run of the seed itself.
    """

    model_config = ConfigDict(frozen=True, extra="allow", strict=True)

    name: Name
    dose: Finite | None = None
    control: Name | None = None
    alpha_schedule: ScheduleSpec | None = None
    learnable_alpha: Literal["model", "layer", "head"] | None = None
    alpha_lr: float | None = Field(default=None, gt=0)
    nuisance: int = Field(default=0, ge=0)
    seed_offset: int = Field(default=0, ge=0)

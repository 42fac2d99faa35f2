"""What a bench is asked for and what it found: plain records. Knows nothing of how anything is measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from crossnorm.errors import BadInput
from crossnorm.functional import VARIANTS, Variant
from crossnorm.training.benchmark.timing import Spread
from crossnorm.training.recipe.recipes import Recipe, make_recipe

__all__ = ["Bench", "BenchSettings", "Overhead", "Part", "Speed"]


@dataclass(frozen=True, kw_only=True)
class BenchSettings:
    """What is measured.

    Attributes:
        model: Keywords of `create_model`, the name included.
        recipe: Of the training steps.
        variants: Compared with the baseline at every site that the model has.
        members: How many share a batch.
        repeats: Rounds.
        threads: Of the CPU.
        device: "auto", "cpu", "cuda" or "mps".

    Raises:
        BadInput: A count below 1, an unknown variant.
    """

    model: Mapping[str, Any] = field(default_factory=lambda: {"name": "cct_2_3x2_32"})
    recipe: Recipe = field(default_factory=lambda: make_recipe("paper"))
    variants: tuple[str, ...] = tuple(VARIANTS)
    members: int = 5
    repeats: int = 7
    threads: int = 1
    device: str = "auto"

    def __post_init__(self) -> None:
        for name in ("members", "repeats", "threads"):
            if getattr(self, name) < 1:
                raise BadInput(f"--{name}", "at least 1", getattr(self, name))
        for name in self.variants:
            Variant(name=name)


@dataclass(frozen=True, kw_only=True)
class Part:
    """How long a piece of work takes.

    Attributes:
        name: "cohort" (a batch is made, and every member makes its step), "step" (of one member, on a ready batch) and
            what there is in it: "data" (the batch), "forward", "backward", "optimiser"; "evaluation".
        examples: That it treats, each member's counted.
        seconds: That it takes.
        rate: Examples a second.
    """

    name: str
    examples: int
    seconds: Spread
    rate: Spread


@dataclass(frozen=True, kw_only=True)
class Speed:
    """Throughput, and what is the most there could be.

    Attributes:
        parts: End to end and piece by piece.
        operations: Floating-point operations of a step, forward and backward.
        ceiling: Operations a second in a product of two matrices of 2048 × 2048, in the precision of the step.
        share: Of the ceiling that the step reaches, round by round.
    """

    parts: tuple[Part, ...]
    operations: int
    ceiling: Spread
    share: Spread


@dataclass(frozen=True, kw_only=True)
class Overhead:
    """What a variant costs: the time of a training step over the baseline's, round by round."""

    variant: str
    site: str
    ratio: Spread


@dataclass(frozen=True, kw_only=True)
class Bench:
    """What was measured.

    Attributes:
        settings: What was asked for.
        device: Where it was computed.
        precision: Of matrix products: "bfloat16" or "float32".
        speed: Throughput and ceiling.
        overhead: Of every variant at every site.
        peak_memory: The most bytes that the process ever had resident; None where the system does not tell.
    """

    settings: BenchSettings
    device: str
    precision: str
    speed: Speed
    overhead: tuple[Overhead, ...]
    peak_memory: int | None

"""Measure training speed, evaluation speed, and the overhead of each variant beside plain attention."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch

from crossnorm.adapters import convert, find_handle
from crossnorm.errors import BadInput
from crossnorm.functional import VARIANTS, Variant
from crossnorm.models.variant_sites import own_sites
from crossnorm.training.benchmark.synthetic_load import Workload, open_workload
from crossnorm.training.benchmark.timing import Prepare, Spread, clock_of, spread, take_turns
from crossnorm.training.loop.evaluation import evaluate
from crossnorm.training.loop.run_state import Member
from crossnorm.training.recipe.recipes import Recipe, make_recipe
from crossnorm.training.runtime.devices import pick_device, precision

__all__ = ["Bench", "BenchSettings", "every_site", "measure", "overhead_of", "step_jobs"]

_ALPHA = 0.5  # at 0 and 1 some variants compute less

Job = str | Variant | None
"""Key of a job: "training", "evaluation", or the variant of a training step (None: plain attention)."""


@dataclass(frozen=True, kw_only=True)
class BenchSettings:
    """What to measure.

    Attributes:
        model: Keywords of `create_model`, the name included.
        recipe: Of the training steps.
        variants: Compared with plain attention, each at every site of the model.
        members: Size of the cohort, whose members share every batch.
        repeats: Number of rounds; in each, everything is measured once.
        threads: CPU threads.
        device: "auto", "cpu", "cuda" or "mps".

    Raises:
        BadInput: A count below 1, or an unknown variant.
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
                raise BadInput(name, "at least 1", getattr(self, name))
        for name in self.variants:
            Variant(name=name)


@dataclass(frozen=True, kw_only=True)
class Bench:
    """What was measured.

    Attributes:
        settings: As given.
        device: Where it was measured.
        precision: Of matrix products: "bfloat16" or "float32".
        training: Examples per second of the cohort, batches included; every member's examples count.
        evaluation: Examples per second of one model.
        overhead: By variant and site: the time of a training step, divided by that with plain attention in the same
            round.
    """

    settings: BenchSettings
    device: str
    precision: str
    training: Spread
    evaluation: Spread
    overhead: Mapping[str, Mapping[str, Spread]]


def measure(settings: BenchSettings, progress: Callable[[int, int], object] = lambda done, total: None) -> Bench:
    """Measure in this process; its number of threads is changed meanwhile.

    Args:
        settings: What to measure.
        progress: See `take_turns`.

    Raises:
        BadInput: Unknown model, setting or device, or a recipe that does not support the model's inputs.
    """
    workload = open_workload(settings.model, settings.recipe, pick_device(settings.device))
    cohort = [workload.member() for _ in range(settings.members)]
    variants = [Variant(name=n, alpha=_ALPHA, site=site) for n in settings.variants for site in every_site(cohort[0])]
    jobs = _throughput_jobs(workload, cohort) | step_jobs(workload, variants)
    threads = torch.get_num_threads()
    torch.set_num_threads(settings.threads)
    try:
        seconds = take_turns(jobs, settings.repeats, clock=clock_of(workload.device), progress=progress)
    finally:
        torch.set_num_threads(threads)
    trained, tested = len(cohort) * settings.recipe.batch_size, len(workload.task.test)
    return Bench(
        settings=settings,
        device=str(workload.device),
        precision=str(precision(settings.recipe, workload.device)).removeprefix("torch."),
        training=spread([trained / s for s in seconds["training"]]),
        evaluation=spread([tested / s for s in seconds["evaluation"]]),
        overhead=overhead_of(seconds),
    )


def every_site(member: Member) -> list[str]:
    """The sites of a member's model: "attention", and "pool" if it has sequence pooling."""
    return sorted({site.kind for site in own_sites(member.model)})


def _throughput_jobs(workload: Workload, cohort: Sequence[Member]) -> dict[Job, Prepare]:
    """One step of a cohort, and one evaluation."""
    steps = itertools.count()

    def train() -> None:
        inputs, targets = workload.batch(next(steps))
        for member in cohort:
            workload.step(member, inputs, targets)

    def test() -> None:
        evaluate(cohort[:1], workload.task, workload.device)

    return {"training": lambda: train, "evaluation": lambda: test}


def step_jobs(workload: Workload, variants: Sequence[Variant]) -> dict[Job, Prepare]:
    """A training step without (None) and with each variant, on one model and one batch, for `take_turns`."""
    if not variants:
        return {}
    member, (inputs, targets) = workload.member(), workload.batch(0)

    def prepare(variant: Variant | None) -> Callable[[], None]:
        handle = find_handle(member.model)
        if handle is not None:
            handle.restore()
        if variant is not None:
            convert(member.model, variant)
        return lambda: workload.step(member, inputs, targets)

    return {variant: partial(prepare, variant) for variant in (None, *variants)}


def overhead_of(seconds: Mapping[Job, Sequence[float]]) -> dict[str, dict[str, Spread]]:
    """The overhead of each variant and site, from the times of `step_jobs` in every round."""
    found: dict[str, dict[str, Spread]] = {}
    for variant in seconds:
        if isinstance(variant, Variant):
            ratios = [s / plain for s, plain in zip(seconds[variant], seconds[None], strict=True)]
            found.setdefault(variant.name, {})[variant.site] = spread(ratios)
    return found

"""How fast this machine trains and evaluates, how near that is to what it can compute, and what the variants cost.

Everything that is compared takes turns. Measures only: prints nothing, reads and writes no file.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor

from crossnorm.errors import BadInput
from crossnorm.functional import VARIANTS, Variant
from crossnorm.models import place
from crossnorm.training.devices import pick_device, precision
from crossnorm.training.evaluation import evaluate
from crossnorm.training.member import Member
from crossnorm.training.memory import peak_memory
from crossnorm.training.recipes import Recipe, make_recipe
from crossnorm.training.timing import Clock, Job, Prepared, Spread, clock_of, ratios, spread, take_turns
from crossnorm.training.workload import Workload, count_operations, open_workload, sites_of

__all__ = ["Bench", "BenchSettings", "Overhead", "Part", "Speed", "measure", "measure_overhead", "measure_speed"]

_SPEED_JOBS = 8  # of `measure_speed`
_SIDE = 2048  # of the matrices whose product is the ceiling
_ALPHA = 0.5  # at 0 and 1 some variants have less to do

Told = Callable[[], object]


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


def measure(settings: BenchSettings, told: Callable[[int, int], object] = lambda done, total: None) -> Bench:
    """Measure in this process, whose number of threads is changed meanwhile.

    Args:
        settings: What.
        told: Called with (turns done, turns in all) after every turn.

    Raises:
        BadInput: A model, recipe, variant or device that does not exist or does not fit.
    """
    workload = open_workload(settings.model, settings.recipe, pick_device(settings.device))
    sites = sites_of(workload.member())
    names = dict.fromkeys(settings.variants)
    variants = [Variant(name=name, alpha=_ALPHA, site=site) for name in names for site in sites]
    jobs = _SPEED_JOBS + (len(variants) + 1 if variants else 0)
    turns, total = itertools.count(1), jobs * (settings.repeats + 1)

    def turned() -> None:
        told(next(turns), total)

    before = torch.get_num_threads()
    torch.set_num_threads(settings.threads)
    try:
        return Bench(
            settings=settings,
            device=str(workload.device),
            precision=str(precision(settings.recipe, workload.device)).removeprefix("torch."),
            speed=measure_speed(workload, settings.members, settings.repeats, turned),
            overhead=measure_overhead(workload, variants, settings.repeats, turned),
            peak_memory=peak_memory(),
        )
    finally:
        torch.set_num_threads(before)


def measure_speed(workload: Workload, members: int, repeats: int, told: Told = lambda: None) -> Speed:
    """Throughput by part and the machine's ceiling.

    Args:
        workload: What is computed.
        members: Of the cohort.
        repeats: Rounds.
        told: Called after every turn, ``(repeats + 1) * 8`` times.
    """
    cohort = [workload.member() for _ in range(members)]
    operations = count_operations(workload, cohort[0])
    jobs = _parts(workload, cohort)
    product = {"product": _product(precision(workload.recipe, workload.device), workload.device)}
    seconds = take_turns(
        {name: job for name, (_, job) in jobs.items()} | product, repeats, clock=clock_of(workload.device), told=told
    )
    ceiling = [2 * _SIDE**3 / s for s in seconds["product"]]
    return Speed(
        parts=tuple(_part(name, examples, seconds[name]) for name, (examples, _) in jobs.items()),
        operations=operations,
        ceiling=spread(ceiling),
        share=spread(ratios([operations / s for s in seconds["step"]], ceiling)),
    )


def _part(name: str, examples: int, seconds: Sequence[float]) -> Part:
    return Part(name=name, examples=examples, seconds=spread(seconds), rate=spread([examples / s for s in seconds]))


def _parts(workload: Workload, cohort: Sequence[Member]) -> dict[str, tuple[int, Job | Prepared]]:
    """Examples and job of every `Part`."""
    alone, (inputs, targets), steps = cohort[0], workload.batch(0), itertools.count()
    batch = workload.recipe.batch_size

    def lock_step() -> None:
        shared = workload.batch(next(steps))
        for member in cohort:
            workload.step(member, *shared)

    return {
        "cohort": (len(cohort) * batch, lock_step),
        "step": (batch, lambda: workload.step(alone, inputs, targets)),
        "data": (batch, lambda: workload.batch(next(steps))),
        "forward": (batch, lambda: workload.loss(alone, inputs, targets)),
        "backward": (batch, Prepared(lambda: workload.loss(alone, inputs, targets).backward)),
        "optimiser": (batch, Prepared(lambda: _with_gradients(workload, alone, inputs, targets))),
        "evaluation": (len(workload.task.test), lambda: evaluate([alone], workload.task, workload.device)),
    }


def _product(dtype: torch.dtype, device: torch.device) -> Job:
    """The matrix product that stands for the machine's ceiling."""
    left, right = (torch.randn(_SIDE, _SIDE, device=device).to(dtype) for _ in range(2))
    return lambda: left @ right


def _with_gradients(workload: Workload, member: Member, inputs: Tensor, targets: Tensor) -> Job:
    """The member's update, its gradients in place."""
    if all(p.grad is None for p in member.model.parameters()):
        workload.loss(member, inputs, targets).backward()  # type: ignore[no-untyped-call]
    return member.update


def measure_overhead(
    workload: Workload,
    variants: Sequence[Variant],
    repeats: int,
    told: Told = lambda: None,
    *,
    clock: Clock | None = None,
) -> tuple[Overhead, ...]:
    """Times of a training step with each variant over those without any, one model and one batch for all.

    Args:
        workload: What is computed.
        variants: With dose and site.
        repeats: Rounds.
        told: Called after every turn, ``(repeats + 1) * (len(variants) + 1)`` times.
        clock: Seconds; None: of the wall, read when the device is done.
    """
    if not variants:
        return ()
    member, (inputs, targets) = workload.member(), workload.batch(0)

    def placed(variant: Variant | None) -> Job:
        place(member.model, variant)
        return lambda: workload.step(member, inputs, targets)

    jobs = {str(index): Prepared(partial(placed, arm)) for index, arm in enumerate([None, *variants])}
    baseline, *others = take_turns(jobs, repeats, clock=clock or clock_of(workload.device), told=told).values()
    return tuple(
        Overhead(variant=variant.name, site=variant.site, ratio=spread(ratios(seconds, baseline)))
        for variant, seconds in zip(variants, others, strict=True)
    )

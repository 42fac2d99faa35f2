"""How fast this machine trains and evaluates, how near that is to what it can compute, and what the variants cost.

Everything that is compared takes turns. Measures only: prints nothing, reads and writes no file.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor

from crossnorm.adapters import convert, find_handle
from crossnorm.functional import Variant
from crossnorm.training.benchmark.bench_records import Bench, BenchSettings, Overhead, Part, Speed
from crossnorm.training.benchmark.synthetic_load import Workload, count_operations, open_workload, sites_of
from crossnorm.training.benchmark.timing import Clock, Job, Prepared, clock_of, ratios, spread, take_turns
from crossnorm.training.loop.evaluation import evaluate
from crossnorm.training.loop.run_state import Member
from crossnorm.training.runtime.devices import pick_device, precision
from crossnorm.training.runtime.process_memory import peak_memory

__all__ = ["measure", "measure_overhead", "measure_speed"]

_SPEED_JOBS = 8  # of `measure_speed`
_SIDE = 2048  # of the matrices whose product is the ceiling
_ALPHA = 0.5  # at 0 and 1 some variants have less to do

Told = Callable[[], object]


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
        handle = find_handle(member.model)
        if handle is not None:
            handle.restore()
        if variant is not None:
            convert(member.model, variant)
        return lambda: workload.step(member, inputs, targets)

    jobs = {str(index): Prepared(partial(placed, arm)) for index, arm in enumerate([None, *variants])}
    baseline, *others = take_turns(jobs, repeats, clock=clock or clock_of(workload.device), told=told).values()
    return tuple(
        Overhead(variant=variant.name, site=variant.site, ratio=spread(ratios(seconds, baseline)))
        for variant, seconds in zip(variants, others, strict=True)
    )

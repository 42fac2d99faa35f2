"""The plan of a study: its arms × seeds as runs, and runs as cohorts."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import cast

from crossnorm.study.spec.arms import Arm, arms_of
from crossnorm.study.spec.schema import StudySpec

__all__ = ["Arm", "Cohort", "Plan", "Run", "continued", "cut", "make_plan"]

# Runs of a cohort: more would need too much memory for their models and optimizers.
_MOST_MEMBERS, _MOST_PRETRAINED = 16, 4
# Seeds added at a time to an open-ended study; fixed, since verdicts must not depend on the number of workers.
_BATCH = 2


@dataclass(frozen=True)
class Run:
    """One (arm, seed)."""

    arm: str
    seed: int


@dataclass(frozen=True)
class Cohort:
    """Runs of one seed that train in lock step on the same batches."""

    seed: int
    arms: tuple[str, ...]

    @property
    def runs(self) -> tuple[Run, ...]:
        """Its runs, in the plan's order."""
        return tuple(Run(arm, self.seed) for arm in self.arms)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A compiled study: arms (baseline first) × seeds.

    Attributes:
        spec: The study.
        arms: Its arms, the baseline first.
        seeds: Its seeds.
        numbers: By arm, the number that the runs of its folder carry: it stands for the study and for the user's code
            that trains the arm. Empty for a plan without a folder.
    """

    spec: StudySpec
    arms: tuple[Arm, ...]
    seeds: tuple[int, ...]
    numbers: Mapping[str, str] = field(default_factory=dict, compare=False)

    @property
    def runs(self) -> tuple[Run, ...]:
        """Every run, seed by seed."""
        return tuple(Run(arm.name, seed) for seed in self.seeds for arm in self.arms)

    @property
    def batches(self) -> tuple[tuple[int, ...], ...]:
        """Seeds in order of training: all at once; in an open-ended study the first ones, then two at a time."""
        first = len(self.spec.seeds)
        later = range(first, len(self.seeds), _BATCH)
        return (self.seeds[:first], *(self.seeds[i : i + _BATCH] for i in later))

    def arm(self, name: str) -> Arm:
        """The arm of that name."""
        return self._by_name[name]

    @cached_property
    def _by_name(self) -> dict[str, Arm]:
        return {arm.name: arm for arm in self.arms}


def make_plan(spec: StudySpec) -> Plan:
    """The plan of a study.

    Raises:
        BadInput: An unknown recipe, field, variant or control, two arms of one name, or nothing to compare.
    """
    return Plan(spec=spec, arms=arms_of(spec), seeds=_seeds(spec))


def continued(before: Plan, now: Plan) -> Plan:
    """The plan of a study that continues another, in its order: what is new comes last.

    The declared question is that of the first variant or arm, so an order of its own would ask another one.
    """
    fields = ("variants", "arms")
    old, new = ({name: getattr(plan.spec, name) for name in fields} for plan in (before, now))
    kept = {name: [entry for entry in old[name] if entry in new[name]] for name in fields}
    ordered = {name: [*kept[name], *(entry for entry in new[name] if entry not in kept[name])] for name in fields}
    return now if ordered == new else make_plan(now.spec.model_copy(update=ordered))


def _seeds(spec: StudySpec) -> tuple[int, ...]:
    """The study's seeds; an open-ended study adds the smallest unused numbers."""
    unused = (seed for seed in itertools.count() if seed not in spec.seeds)
    more = (spec.max_seeds or 0) - len(spec.seeds) if spec.stop == "decided" else 0
    return (*spec.seeds, *itertools.islice(unused, more))


def _most_members(plan: Plan) -> int:
    """The most runs of a cohort: few for pretrained models, which are large and whose batches are cheap."""
    return _MOST_PRETRAINED if "from" in plan.spec.model else _MOST_MEMBERS


def cut(plan: Plan, runs: Sequence[Run], workers: int) -> list[Cohort]:
    """Divide runs into cohorts so that all workers finish together, the largest first; a function's runs stay single.

    Runs of one seed with the same batches form a group. Every group is split into the fewest parts for which the
    longest worker is within 5 % of the best possible: larger cohorts share more work.
    """
    if plan.spec.function is not None:
        return [Cohort(run.seed, (run.arm,)) for run in runs]
    groups: dict[tuple[object, ...], list[str]] = {}
    for run in runs:
        arm = plan.arm(run.arm)
        recipe = arm.training
        drawn = (recipe.augmentation, recipe.flip, recipe.mixup, recipe.cutmix, recipe.mix_epochs)
        stream = (run.seed, arm.seed_offset, recipe.epochs, recipe.batch_size, *drawn)
        groups.setdefault(stream, []).append(run.arm)
    if not groups:
        return []
    most, sizes = max(map(len, groups.values())), [len(arms) for arms in groups.values()]
    best = -(-len(runs) // workers)  # reached by single runs
    counts = range(-(-most // _most_members(plan)), most + 1)
    return _parts(groups, next(count for count in counts if _longest_worker(sizes, count, workers) <= 1.05 * best))


def _parts(groups: Mapping[tuple[object, ...], Sequence[str]], count: int) -> list[Cohort]:
    cohorts = [
        Cohort(cast("int", stream[0]), tuple(arms[i::count]))
        for stream, arms in groups.items()
        for i in range(count)
        if arms[i::count]
    ]
    return sorted(cohorts, key=lambda cohort: -len(cohort.arms))


def _longest_worker(groups: Sequence[int], count: int, workers: int) -> int:
    """The runs of the worker with the most, if every group is split into `count` parts."""
    parts = [size // count + (i < size % count) for size in groups for i in range(min(size, count))]
    loads = [0] * workers
    for part in sorted(parts, reverse=True):
        heapq.heapreplace(loads, loads[0] + part)
    return max(loads)

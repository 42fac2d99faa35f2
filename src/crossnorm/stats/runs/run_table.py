"""The table of runs that every statistic reads: arms × seeds × evaluations, validated once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from importlib import import_module
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossnorm.errors import BadInput, unknown_name
from crossnorm.metric import Metric

__all__ = ["MOST_ARMS", "STATUSES", "ArmInfo", "Floats", "Table", "is_circular"]

MOST_ARMS = 1000
"""More cannot be drawn or compared in reasonable time."""

Floats = NDArray[np.float64]

_LARGEST, _SMALLEST = 1e100, 1e-100
"""Larger values would overflow in sums of squares and count as infinite, smaller ones would vanish and count as 0;
float32 ends at 3e38."""

_LARGEST_DOSE = 1e50

_COLUMNS = ("arm", "variant", "dose", "site", "control", "seed", "status", "step")

STATUSES = ("complete", "diverged", "crashed", "settled", "missing")


@dataclass(frozen=True, kw_only=True)
class ArmInfo:
    """One arm of a table.

    Args:
        name: The arm's name, unique in its table.
        variant: The variant it belongs to; None: a free-form arm, which is part of no trend.
        alpha: Its dose; None: none.
        site: Where the variant acts; None: not given.
        control: Name of the arm it is compared with in addition to the baseline; None: only the baseline.
        compared: Names of further arms that it is compared with.
        settings: What else the arm sets, by name.
    """

    name: str
    variant: str | None = None
    alpha: float | None = None
    site: str | None = None
    control: str | None = None
    compared: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, kw_only=True, eq=False)
class Table:
    """Metrics of every run at every evaluation. The first arm is the baseline.

    Args:
        arms: The arms, baseline first.
        seeds: The seeds, in the order in which pairs enter sequential tests.
        steps: The evaluations, strictly increasing.
        metrics: name → float64 (arms, seeds, steps), nan where there is no value; beyond ± 1e100 infinite.
        status: (arms, seeds) of "complete", "diverged", "crashed" (retries included), "settled" (not run: its
            comparisons are decided) or "missing" (not run yet).
        dose_name: What the doses are called: "α" for variants of attention, "dose" for other settings.
        summaries: The metrics that sum up the curve of another, by name; they have a value at the last step only.

    Raises:
        BadInput: Shapes disagree, names repeat, or a control or status is unknown.
    """

    arms: tuple[ArmInfo, ...]
    seeds: tuple[int, ...]
    steps: tuple[int, ...]
    metrics: Mapping[str, Floats]
    status: NDArray[np.str_]
    dose_name: str = "α"
    summaries: Mapping[str, Metric] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Validate all fields and make the arrays read-only."""
        _check_arms(self.arms)
        _check_axis("seeds", self.seeds, increasing=False)
        _check_axis("steps", self.steps, increasing=True)
        runs = (len(self.arms), len(self.seeds))
        status = _frozen("status", np.asarray(self.status, dtype=np.str_), runs)
        if unknown := set(np.unique(status).tolist()) - set(STATUSES):
            raise unknown_name("status", sorted(unknown)[0], STATUSES)
        shape = (*runs, len(self.steps))
        metrics = {
            name: _frozen(f"metric {name}", _in_range(np.asarray(values, dtype=np.float64)), shape)
            for name, values in self.metrics.items()
        }
        object.__setattr__(self, "status", status)
        object.__setattr__(self, "metrics", MappingProxyType(metrics))

    @property
    def complete(self) -> bool:
        """Whether no run is missing: each is complete, diverged, crashed or settled."""
        return not bool((self.status == "missing").any())

    def curves(self, metric: str) -> Floats:
        """Values of one metric, (arms, seeds, steps).

        Raises:
            BadInput: No such metric.
        """
        if metric not in self.metrics:
            raise unknown_name("metric", metric, self.metrics)
        return self.metrics[metric]

    def final(self, metric: str) -> Floats:
        """Last recorded value of each complete run, (arms, seeds); nan for other runs and infinite values."""
        value = self._last(metric)
        return np.where((self.status == "complete") & np.isfinite(value), value, np.nan)

    def judged_by(self, metric: str) -> Table:
        """The table in which complete runs whose last recorded value of the metric is infinite have diverged."""
        diverged = (self.status == "complete") & np.isinf(self._last(metric))
        return replace(self, status=np.where(diverged, "diverged", self.status)) if diverged.any() else self

    def _last(self, metric: str) -> Floats:
        """Last recorded value of each run, (arms, seeds); nan without one."""
        curves = self.curves(metric)
        if not self.steps:
            return np.full(self.status.shape, np.nan)
        recorded = ~np.isnan(curves)
        last = len(self.steps) - 1 - np.argmax(recorded[..., ::-1], axis=-1)
        return np.asarray(np.take_along_axis(curves, last[..., None], axis=-1)[..., 0])

    def index(self, name: str) -> int:
        """Position of an arm.

        Raises:
            BadInput: No such arm.
        """
        names = [arm.name for arm in self.arms]
        if name not in names:
            raise unknown_name("arm", name, names)
        return names.index(name)

    def control(self, arm: int) -> int:
        """Position of the arm's control; 0 (the baseline) for an arm that names none."""
        name = self.arms[arm].control
        return 0 if name is None else self.index(name)

    @property
    def contrasts(self) -> tuple[tuple[int, int], ...]:
        """Positions of the arms that are compared with another one than the baseline: first by control."""
        arms = range(1, len(self.arms))
        controlled = [(arm, self.control(arm)) for arm in arms if self.control(arm) != 0]
        declared = [(arm, self.index(other)) for arm in arms for other in self.arms[arm].compared]
        return tuple(dict.fromkeys([*controlled, *declared]))

    def records(self) -> Iterator[dict[str, Any]]:
        """One row per arm, seed and evaluation with a value; None for what does not exist.

        A run that ended without any value has one row, for its status.

        Keys: arm, variant, dose, site, control, seed, status, step, then the metrics by name.
        """
        metrics = sorted(self.metrics)
        for a, arm in enumerate(self.arms):
            about = {
                "arm": arm.name,
                "variant": arm.variant,
                "dose": arm.alpha,
                "site": arm.site,
                "control": arm.control,
            }
            for s, seed in enumerate(self.seeds):
                runs = np.array([self.metrics[name][a, s] for name in metrics]).reshape(len(metrics), len(self.steps))
                ended = self.status[a, s] != "missing" and bool(np.isnan(runs).all())
                for i, step in enumerate(self.steps):
                    values = {name: float(self.metrics[name][a, s, i]) for name in metrics}
                    if all(map(np.isnan, values.values())) and not (ended and i == 0):
                        continue
                    cells = {name: None if np.isnan(value) else value for name, value in values.items()}
                    yield about | {"seed": seed, "status": str(self.status[a, s]), "step": step} | cells

    def to_pandas(self) -> Any:
        """A pandas DataFrame of `records`, with the arms' settings as columns between step and metrics.

        A setting with the name of another column is prefixed with "setting.".

        Raises:
            BadInput: pandas is not installed.
        """
        try:
            pandas = import_module("pandas")
        except ImportError as error:
            hint = "Install it with: pip install pandas."
            raise BadInput.because("to_pandas", f"pandas is not installed ({error})", hint) from None
        names = list(dict.fromkeys(name for arm in self.arms for name in arm.settings))
        taken = {*self.metrics, *_COLUMNS}
        columns = {name: f"setting.{name}" if name in taken else name for name in names}
        settings = {arm.name: {columns[n]: arm.settings.get(n) for n in names} for arm in self.arms}
        rows = [row | settings[row["arm"]] for row in self.records()]
        return pandas.DataFrame(rows, columns=[*_COLUMNS, *columns.values(), *sorted(self.metrics)])


def is_circular(arm: str, controls: Mapping[str, str | None]) -> bool:
    """Whether following the controls from an arm leads back to it."""
    seen: set[str] = set()
    at = controls.get(arm)
    while at is not None and at not in seen:
        if at == arm:
            return True
        seen.add(at)
        at = controls.get(at)
    return False


def _check_arms(arms: tuple[ArmInfo, ...]) -> None:
    names = [arm.name for arm in arms]
    controls = {arm.name: arm.control for arm in arms}
    if len(arms) > MOST_ARMS:
        raise BadInput("arms", f"at most {MOST_ARMS}", len(arms))
    if not arms:
        raise BadInput("arms", "at least a baseline", "none")
    if len(set(names)) < len(names):
        raise BadInput("arms", "unique names", sorted(n for n in set(names) if names.count(n) > 1))
    for arm in arms:
        if arm.alpha and not 1 / _LARGEST_DOSE <= abs(arm.alpha) <= _LARGEST_DOSE:
            expected = f"0, or a number from {1 / _LARGEST_DOSE:g} to {_LARGEST_DOSE:g} in size"
            raise BadInput(f"arm {arm.name}: alpha", expected, arm.alpha)
        if arm.control is not None and arm.control not in names:
            raise unknown_name(f"arm {arm.name}: control", arm.control, names)
        if arm.control == arm.name:
            raise BadInput(f"arm {arm.name}: control", "another arm", "itself")
        if is_circular(arm.name, controls):
            raise BadInput(
                f"arm {arm.name}: control",
                "an arm that is not controlled by this one",
                f"a circle through {arm.control}",
            )
    if arms[0].control is not None:
        raise BadInput(f"arm {arms[0].name}: control", "none (it is the baseline)", arms[0].control)


def _check_axis(name: str, values: tuple[int, ...], *, increasing: bool) -> None:
    if len(set(values)) < len(values):
        raise BadInput(name, "unique values", values)
    if increasing and list(values) != sorted(values):
        raise BadInput(name, "increasing values", values)


def _in_range(values: Floats) -> Floats:
    size = np.abs(values)
    return np.where(size > _LARGEST, np.copysign(np.inf, values), np.where(size < _SMALLEST, 0.0, values))


def _frozen(name: str, values: NDArray, shape: tuple[int, ...]) -> NDArray:  # type: ignore[type-arg]
    if values.shape != shape:
        raise BadInput(name, f"shape {shape} (arms, seeds[, steps])", f"shape {values.shape}")
    values = values.copy()
    values.flags.writeable = False
    return values

"""The trend over the dose α: one least-squares slope per seed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from crossnorm.stats.runs.run_table import Floats, Table

__all__ = ["DoseGrid", "dose_grids", "seed_slopes"]


@dataclass(frozen=True, kw_only=True)
class DoseGrid:
    """The arms of one variant at one site, in order of dose.

    Args:
        variant: The variant's name, followed by "@site" if the table has it at several sites.
        arms: Positions of its arms with a nonzero dose, in order of dose.
        doses: Their doses.
        controls: Positions of their controls; 0 is the baseline.
        is_control: Whether it serves as the control of other arms.
    """

    variant: str
    arms: tuple[int, ...]
    doses: tuple[float, ...]
    controls: tuple[int, ...]
    is_control: bool

    @property
    def span(self) -> float:
        """The largest absolute dose."""
        return max(abs(dose) for dose in self.doses)

    @property
    def sign(self) -> int:
        """The direction in which the dose grows: -1 if all doses are negative, else 1."""
        return -1 if max(self.doses) < 0 else 1

    def unit(self, dose_name: str) -> str:
        """What a slope is per unit of: "α", or "−α" if all doses are negative."""
        return f"−{dose_name}" if self.sign < 0 else dose_name


def dose_grids(table: Table) -> tuple[DoseGrid, ...]:
    """The table's variants: those that are not controls first, then in order of their first arm.

    If several arms of a variant share a dose (and differ in another setting), the first is used.
    """
    members: dict[tuple[str, str | None], dict[float, int]] = {}
    for i, arm in enumerate(table.arms):
        if i > 0 and arm.variant is not None and arm.alpha:
            members.setdefault((arm.variant, arm.site), {}).setdefault(float(arm.alpha), i)
    serving = {table.control(i) for i in range(1, len(table.arms))} - {0}
    names = [variant for variant, _ in members]
    grids = []
    for (variant, site), by_dose in members.items():
        doses = tuple(sorted(by_dose))
        arms = tuple(by_dose[dose] for dose in doses)
        grids.append(
            DoseGrid(
                variant=f"{variant}@{site}" if names.count(variant) > 1 else variant,
                arms=arms,
                doses=doses,
                controls=tuple(table.control(i) for i in arms),
                is_control=bool(serving & set(arms)),
            )
        )
    return tuple(sorted(grids, key=lambda grid: grid.is_control))


def seed_slopes(values: Floats, grid: DoseGrid, references: tuple[int, ...]) -> Floats:
    """Least-squares slope over the dose, with intercept, of (arm - its reference), one per seed.

    At α = 0 a variant is its reference, so every fit includes the point (0, 0). With x the doses and 0, the slope is
    Σ (x_k - mean x) d_k / Σ (x_k - mean x)². If all doses are negative, x is -α: the slope tells what more of the
    variant does.

    Args:
        values: Final values (arms, seeds), nan if missing.
        grid: The arms and their doses.
        references: One position per arm of the grid: its control, or 0 for the baseline.

    Returns:
        (complete seeds,): slopes of the seeds with all values, in seed order.
    """
    dose = grid.sign * np.array([0.0, *grid.doses])
    centred = dose - dose.mean()
    weight = centred[1:] / (centred**2).sum()
    differences = values[list(grid.arms)] - values[list(references)]
    slopes = (weight[:, None] * differences).sum(axis=0)
    return np.asarray(slopes[~np.isnan(slopes)])

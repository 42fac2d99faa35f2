"""Messages before a study trains: what it trains, and what limits its verdicts."""

from __future__ import annotations

from pathlib import Path

from crossnorm.stats import family_size, first_bounded
from crossnorm.study.spec.plan import Plan, Run
from crossnorm.study.spec.summary import model_of, subject_of, training_of
from crossnorm.study.storage.results_table import planned_table

__all__ = ["announcement", "run_announcement", "warnings_of"]

_LEAST = 3  # pairs that an interval needs


def announcement(plan: Plan, folder: Path, device: str) -> str:
    """``mine: 9 arms of cct_2_3x2_32 on digits, 6 seeds, recipe paper (adamw at 0.0005, 9 epochs), on cpu, into a/b``.

    Recipe and device are left out where a function trains.
    """
    recipe = plan.arms[0].recipe
    training = [] if recipe is None else [training_of(recipe), f"on {device}"]
    arms = "1 arm" if len(plan.arms) == 1 else f"{len(plan.arms)} arms"
    parts = [f"{arms} of {subject_of(plan)}", *training, f"into {folder}"]
    return f"{plan.spec.name}: {', '.join(parts)}"


def run_announcement(plan: Plan, run: Run, folder: Path, device: str) -> str:
    """``convex-1, seed 0: cct_2_3x2_32 on digits, recipe paper (adamw at 0.0005, 9 epochs), on cpu, into a/b``."""
    training = training_of(plan.arm(run.arm).training)
    return f"{run.arm}, seed {run.seed}: {model_of(plan)}, {training}, on {device}, into {folder}"


def warnings_of(plan: Plan, *, results_seen: bool) -> list[str]:
    """Warnings about the verdicts of a study.

    Args:
        plan: The plan of the study.
        results_seen: Whether seeds or arms were added, or crashed runs trained again, after results had been seen.
    """
    warnings = []
    if len(plan.seeds) < _LEAST and plan.spec.stop == "fixed":
        seeds = "one seed" if len(plan.seeds) == 1 else f"{len(plan.seeds)} seeds"
        warnings.append(f"An interval needs {_LEAST} pairs: with {seeds} every verdict will be undecided.")
    if results_seen and plan.spec.stop == "fixed":
        level, family = 1 - plan.spec.confidence, family_size(planned_table(plan))
        warnings.append(
            "Results were seen before runs were added or trained again, so the intervals are sequential and wider: a "
            f"verdict may become undecided. They are finite from {first_bounded(level)} pairs on for the trend, from "
            f"{first_bounded(level / family)} for the {family} arms and contrasts."
        )
    return warnings

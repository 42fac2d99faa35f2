"""Robustness of a verdict: is it the same under other settings, each compared with its own control?"""

from __future__ import annotations

from dataclasses import dataclass

from crossnorm.stats.inference.comparison import Outcome
from crossnorm.stats.verdicts.number_text import dose_words
from crossnorm.stats.verdicts.verdict import Verdict

__all__ = ["Robustness", "robustness_checks"]


@dataclass(frozen=True, kw_only=True)
class Robustness:
    """The verdicts on one variant at one dose under several settings.

    Args:
        variant: The variant's name.
        alpha: Its dose.
        against: The reference of each setting, in order of the arms.
        verdicts: The verdict against each reference.
        dose_name: What the doses are called.
    """

    variant: str
    alpha: float
    against: tuple[str, ...]
    verdicts: tuple[Outcome, ...]
    dose_name: str = "α"

    @property
    def holds(self) -> bool:
        """Whether every comparison is decided, with the same verdict."""
        return len(set(self.verdicts)) == 1 and self.verdicts[0] != "undecided"

    @property
    def sentence(self) -> str:
        """The result in words."""
        subject = f"{self.variant} at {dose_words(self.dose_name, self.alpha)}"
        count = len(self.verdicts)
        if self.holds:
            return (
                f"The verdict on {subject} is the same in all {count} settings: "
                f"{self.verdicts[0]}, against each of {', '.join(self.against)}."
            )
        each = ", ".join(f"{word} against {name}" for name, word in zip(self.against, self.verdicts, strict=True))
        if {"better", "worse"} <= set(self.verdicts):
            return f"The verdict on {subject} changes sign between settings: {each}."
        if set(self.verdicts) == {"undecided"}:
            return f"The verdict on {subject} is undecided in all {count} settings: {each}."
        return f"The verdict on {subject} is not the same in all {count} settings: {each}."


def robustness_checks(verdict: Verdict) -> tuple[Robustness, ...]:
    """One result per variant and dose that several arms share, each compared with a different reference.

    Such arms differ in another setting, such as the learning rate, and their control shares that setting. An arm
    without a control is compared with the baseline.
    """
    contrasts = {row.arm: row for row in reversed(verdict.contrasts)}  # of several, that with the control
    groups: dict[tuple[str, float, str | None], dict[str, Outcome]] = {}
    for row in verdict.arms[1:]:
        if row.variant is None or row.alpha is None or row.verdict is None:
            continue
        contrast = contrasts.get(row.arm)
        against, word = (contrast.against, contrast.verdict) if contrast else (verdict.arms[0].arm, row.verdict)
        groups.setdefault((row.variant, row.alpha, row.site), {}).setdefault(against, word)
    return tuple(
        Robustness(
            variant=variant,
            alpha=alpha,
            against=tuple(found),
            verdicts=tuple(found.values()),
            dose_name=verdict.dose_name,
        )
        for (variant, alpha, _), found in groups.items()
        if len(found) > 1
    )

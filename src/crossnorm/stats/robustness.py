"""Whether a verdict stands when it is repeated under other settings, each time against a control of its own.

Knows a verdict's rows; knows nothing of what the settings are.
"""

from __future__ import annotations

from dataclasses import dataclass

from crossnorm.stats.comparison import Outcome
from crossnorm.stats.verdict import Verdict

__all__ = ["Standing", "standings"]


@dataclass(frozen=True, kw_only=True)
class Standing:
    """One variant at one dose, compared more than once.

    Args:
        variant: The variant's name.
        alpha: Its dose.
        against: The references, in order of the arms.
        verdicts: The verdict against each.
    """

    variant: str
    alpha: float
    against: tuple[str, ...]
    verdicts: tuple[Outcome, ...]

    @property
    def stands(self) -> bool:
        """Whether every comparison is decided, and all alike."""
        return len(set(self.verdicts)) == 1 and self.verdicts[0] != "undecided"

    @property
    def sentence(self) -> str:
        """The answer in words."""
        subject = f"{self.variant} at α = {self.alpha:g}"
        count = len(self.verdicts)
        if self.stands:
            return (
                f"The verdict on {subject} stands in all {count} settings: "
                f"{self.verdicts[0]}, against each of {', '.join(self.against)}."
            )
        each = ", ".join(f"{word} against {name}" for name, word in zip(self.against, self.verdicts, strict=True))
        if {"better", "worse"} <= set(self.verdicts):
            return f"The verdict on {subject} turns round between settings: {each}."
        if set(self.verdicts) == {"undecided"}:
            return f"The verdict on {subject} is open in all {count} settings: {each}."
        return f"The verdict on {subject} does not stand in all {count} settings: {each}."


def standings(verdict: Verdict) -> tuple[Standing, ...]:
    """Every variant and dose that several arms share, each arm compared with another reference.

    Such arms differ in something beside the dose, the learning rate for instance, and have as control the arm that
    shares it. An arm without a control of its own is compared with the baseline.
    """
    contrasts = {row.arm: row for row in verdict.contrasts}
    groups: dict[tuple[str, float, str | None], dict[str, Outcome]] = {}
    for row in verdict.arms[1:]:
        if row.variant is None or row.alpha is None or row.verdict is None:
            continue
        contrast = contrasts.get(row.arm)
        against, word = (contrast.against, contrast.verdict) if contrast else (verdict.arms[0].arm, row.verdict)
        groups.setdefault((row.variant, row.alpha, row.site), {}).setdefault(against, word)
    return tuple(
        Standing(variant=variant, alpha=alpha, against=tuple(found), verdicts=tuple(found.values()))
        for (variant, alpha, _), found in groups.items()
        if len(found) > 1
    )

"""Names for the trends of arms that have a dose and no variant: what the arms themselves are called."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import replace

from crossnorm.stats.runs.run_table import ArmInfo

__all__ = ["name_trends"]

_MOST_NAMES = 3


def name_trends(arms: Sequence[ArmInfo], unnamed: Collection[str]) -> tuple[ArmInfo, ...]:
    """Give the unnamed arms that have a dose a variant, so that they have a trend.

    An arm whose name ends in its dose gets the part before it ("wide-128" with dose 128: "wide"). All others share one
    variant, their names joined; those that serve as controls share another. The baseline, the first arm, has none.
    Arms that would share a name and a dose differ in something else: arms of that name have no variant, hence no trend,
    and neither have their controls.
    """
    serving = {arm.control for arm in arms} - {None}
    asked = [arm for arm in arms[1:] if arm.name in unnamed and arm.alpha]
    variants: dict[str, str | None]
    variants = {arm.name: stem for arm in asked if (stem := _stem(arm.name, arm.alpha or 0.0)) is not None}
    for control in (False, True):
        alike = [arm for arm in asked if arm.name not in variants and (arm.name in serving) == control]
        joined = _joined([arm.name for arm in sorted(alike, key=lambda arm: abs(arm.alpha or 0.0))])
        variants |= {arm.name: joined for arm in alike}
    places = Counter((variants[arm.name], arm.site, arm.alpha) for arm in asked)
    several = {name for (name, _, _), count in places.items() if count > 1}
    untrended = {arm.name for arm in asked if variants[arm.name] in several}
    untrended |= {arm.control for arm in asked if arm.name in untrended and arm.control in variants}
    variants |= dict.fromkeys(untrended)
    return tuple(replace(arm, variant=variants.get(arm.name, arm.variant)) for arm in arms)


def _joined(names: Sequence[str]) -> str:
    if len(names) <= _MOST_NAMES:
        return ", ".join(names)
    return f"{names[0]} … {names[-1]}"


def _stem(name: str, dose: float) -> str | None:
    """The name without its trailing dose; None where it does not end in it."""
    match = re.fullmatch(r"(.*?)[\s_=@-]*([+-]?[0-9.]+(?:e[+-]?[0-9]+)?)", name, flags=re.IGNORECASE)
    if match is None or not match[1]:
        return None
    try:
        return match[1] if abs(float(match[2])) == abs(dose) else None
    except ValueError:
        return None

"""Numbers as text for readers: digits, signs with a true minus, a dash for what does not exist."""

from __future__ import annotations

import math
from collections.abc import Sequence

__all__ = ["NONE", "brief", "dose_words", "listed", "number"]

NONE = "–"
"""Stands for a value that does not exist."""

_MOST_NAMED = 4
_LARGEST, _MOST_PLACES = 1e7, 6  # beyond these, powers of ten are shorter


def number(value: float | None, *, sign: bool = False, digits: int = 3, scale: float | None = None) -> str:
    """A number with a true minus sign; ``–`` for None and NaN.

    Args:
        value: The number.
        sign: Whether positive numbers have a plus sign.
        digits: Significant digits.
        scale: Round to two digits of this size instead, such as an interval's half-width.

    >>> number(-0.03747, sign=True), number(-0.03747, sign=True, scale=0.01)
    ('−0.0375', '−0.037')
    """
    if value is None or math.isnan(value):
        return NONE
    if math.isinf(value):
        return "+∞" if value > 0 else "−∞"
    if value == 0:
        return "0"
    places = digits - 1 - math.floor(math.log10(abs(value)))
    if scale and math.isfinite(scale):
        places = 1 - math.floor(math.log10(abs(scale)))
        value = round(value, places) + 0.0  # + 0.0: no negative zero
    mark = "+" if sign and value else ""
    if places > _MOST_PLACES or abs(value) >= _LARGEST:
        return _true_minus(f"{value:{mark}.{digits - 1}e}")
    return _true_minus(f"{value:{mark}.{max(0, places)}f}")


def brief(value: float, digits: int = 6) -> str:
    """A declared number, such as a dose or a margin, without trailing zeros."""
    return _true_minus(f"{value:.{digits}g}")


def dose_words(name: str, dose: float) -> str:
    """``α = 0.5``, or ``dose 0.5``."""
    return f"{name} = {brief(dose)}" if name == "α" else f"{name} {brief(dose)}"


def listed(names: Sequence[str]) -> str:
    """The first names, and how many more there are."""
    shown = ", ".join(names[:_MOST_NAMED])
    return shown if len(names) <= _MOST_NAMED else f"{shown} and {len(names) - _MOST_NAMED} more"


def _true_minus(text: str) -> str:
    return text.replace("-", "−")

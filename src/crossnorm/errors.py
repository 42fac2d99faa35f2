"""Errors that name the thing, what was expected, what was found and what to do.

Knows nothing of who raises them; the command line turns them into exit code 2 without a traceback.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

__all__ = ["BadInput", "unknown_name"]

_MOST, _SHOWN = 24, 6  # longer lists of names are cut to the nearest few


class BadInput(ValueError):
    """Input that the user can mend: ``name: expected …, got …. hint``.

    Args:
        name: What is wrong: a parameter, a file and field, a path.
        expected: What would have been right.
        got: What was found, shown by ``repr`` unless it is a string that already reads as prose.
        hint: What to do about it (optional, a full sentence).
    """

    def __init__(self, name: str, expected: str, got: object, hint: str = "") -> None:
        self.name, self.expected, self.got, self.hint = name, expected, got, hint
        super().__init__(name, expected, got, hint)

    def __str__(self) -> str:
        found = self.got if isinstance(self.got, str) else repr(self.got)
        return f"{self.name}: expected {self.expected}, got {found}." + (f" {self.hint}" if self.hint else "")

    def within(self, outer: str) -> BadInput:
        """The same error, its name preceded by where it happened (a file, a field)."""
        return BadInput(f"{outer}: {self.name}", self.expected, self.got, self.hint)


def unknown_name(kind: str, got: object, known: Iterable[str]) -> BadInput:
    """The error for a name that is not in a catalogue, with the nearest one as the hint."""
    names = sorted(known)
    near = get_close_matches(str(got), names, n=_SHOWN)
    hint = f"Did you mean {near[0]!r}?" if near else ""
    shown = names if len(names) <= _MOST else near or names[:_SHOWN]
    more = "" if len(shown) == len(names) else f" … ({len(names)} in all)"
    return BadInput(kind, f"one of {', '.join(shown)}{more}", repr(got), hint)

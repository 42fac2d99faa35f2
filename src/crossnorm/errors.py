"""Errors that say what is wrong, what was given, what is allowed and what to do; texts that can be shown.

The command line turns them into one line and exit code 2, without a traceback.
"""

from __future__ import annotations

import re
import sys
import traceback
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path
from types import TracebackType

__all__ = ["BadInput", "RunsLost", "StudyStopped", "is_plain", "printable", "show_briefly", "shown", "unknown_name"]

_MOST, _SHOWN = 40, 6  # longer lists of names are cut to the nearest few
_LISTED = ("model", "recipe", "task", "variant")  # by `crossnorm list`
_LONGEST = 1000
_HIDDEN = re.compile("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_PACKAGE = str(Path(__file__).parent)


class BadInput(ValueError):
    """Input that the user can correct: ``name: expected …, got …. hint``, or ``name: reason. hint`` (`because`).

    Args:
        name: What is wrong: a parameter, a file and field, a path.
        expected: What is allowed.
        got: What was given, shown by ``repr`` unless it is a string.
        hint: What to do about it (optional, a full sentence).
    """

    def __init__(self, name: str, expected: str, got: object, hint: str = "") -> None:
        self.name, self.expected, self.got, self.hint = name, expected, got, hint
        super().__init__(name, expected, got, hint)

    @classmethod
    def because(cls, name: str, reason: str, hint: str = "") -> BadInput:
        """The error ``name: reason. hint``, where nothing else was expected: a locked folder, a missing library."""
        return cls(name, "", reason, hint)

    def __str__(self) -> str:
        text = f"{self.name}: {self.reason}." + (f" {self.hint}" if self.hint else "")
        return printable(text)

    @property
    def reason(self) -> str:
        """What is wrong, without the name and the hint."""
        found = self.got if isinstance(self.got, str) else shown(self.got)
        return f"expected {self.expected}, got {found}" if self.expected else found

    def within(self, outer: str) -> BadInput:
        """The same error, its name preceded by where it happened (a file, a field)."""
        return BadInput(f"{outer}: {self.name}", self.expected, self.got, self.hint)


def printable(text: str) -> str:
    """A text in one line, its control characters written out."""
    return _HIDDEN.sub(lambda found: " " if found[0] in "\t\n\r" else ascii(found[0])[1:-1], text)


def is_plain(name: str) -> bool:
    """Whether a name can be shown and written: no control characters, changes of direction, or surrogates."""
    return not _HIDDEN.search(name)


def shown(value: object) -> str:
    """``repr`` of a value of any size, cut."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # Python prints no number of more than 4300 digits
        text = "a value too large to be shown"
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "…"


class StudyStopped(RuntimeError):
    """A study ended early because training on would be pointless; its finished runs are kept.

    The command line turns it into one line and exit code 1, without a traceback.
    """


class RunsLost(RuntimeError):
    """Finished runs are damaged or missing, so that an answer from the rest would replace a better one.

    The command line turns it into one line and exit code 1, without a traceback.
    """


def unknown_name(kind: str, got: object, known: Iterable[str]) -> BadInput:
    """The error for a name that is not in a list of known ones; the hint is the nearest of them."""
    names = sorted(known)
    near = get_close_matches(str(got), names, n=_SHOWN)
    hint = f"Did you mean {near[0]!r}?" if near else ""
    if len(names) > _MOST:
        shown = ", ".join(near or names[:_SHOWN])
        where = f": crossnorm list {kind}s" if kind in _LISTED else ""
        return BadInput(kind, f"one of {shown}, … ({len(names)} in all{where})", repr(got), hint)
    return BadInput(kind, f"one of {', '.join(names)}", repr(got), hint)


def show_briefly() -> None:
    """Let Python show an uncaught `BadInput` as the user's own line and the message, without crossnorm's frames.

    Other errors are shown as before. Notebooks have their own display and are not affected.
    """
    before = sys.excepthook

    def show(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if not isinstance(error, BadInput):
            before(kind, error, trace)
            return
        frames = [frame for frame in traceback.extract_tb(trace) if not _is_library(frame.filename)]
        sys.stderr.write("".join([*traceback.format_list(frames[-1:]), f"crossnorm.BadInput: {error}\n"]))

    sys.excepthook = show


def _is_library(file: str) -> bool:
    return file.startswith((_PACKAGE, "<frozen")) or "site-packages" in Path(file).parts

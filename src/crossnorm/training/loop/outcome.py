"""How a run ends."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from crossnorm.errors import BadInput

__all__ = ["Cause", "Outcome", "RunStatus", "cause_of"]

_OF_CODE = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    BadInput,
    ImportError,
    LookupError,
    NameError,
    NotImplementedError,
    SyntaxError,
    TypeError,
)


class RunStatus(str, Enum):
    """How a run ended: complete, diverged (a loss or metric is not finite), or crashed (an error).

    Divergence is a result of the arm and is final. A crash is not: the next call retries the run.
    """

    COMPLETE = "complete"
    DIVERGED = "diverged"
    CRASHED = "crashed"

    __str__ = str.__str__

    @property
    def is_final(self) -> bool:
        """Whether the run need not be trained again."""
        return self is not RunStatus.CRASHED


class Cause(str, Enum):
    """Why a run crashed: by the machine or an error that need not repeat, by a fault of the code, or for its metric.

    A function run crashes for its metric if it ends without logging the metric of the study.
    """

    MACHINE = "machine"
    CODE = "code"
    METRIC = "metric"

    __str__ = str.__str__


def cause_of(error: BaseException) -> Cause:
    """The cause of a crash by an exception.

    Since all random numbers are addressed, a type error or a missing name happens again in every repetition.
    """
    return Cause.CODE if isinstance(error, _OF_CODE) else Cause.MACHINE


@dataclass(frozen=True)
class Outcome:
    """The status of a finished run; ``str`` gives ``status: reason``.

    Attributes:
        status: How it ended.
        reason: Why, unless it is complete.
        cause: The cause of a crash.
    """

    status: RunStatus
    reason: str | None = None
    cause: Cause | None = None

    def __str__(self) -> str:
        return f"{self.status}: {self.reason}" if self.reason else str(self.status)

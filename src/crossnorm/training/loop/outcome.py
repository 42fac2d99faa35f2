"""How a run ends."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

__all__ = ["Outcome", "RunStatus"]


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


@dataclass(frozen=True)
class Outcome:
    """The status of a finished run and, unless it is complete, the reason; ``str`` gives ``status: reason``."""

    status: RunStatus
    reason: str | None = None

    def __str__(self) -> str:
        return f"{self.status}: {self.reason}" if self.reason else str(self.status)

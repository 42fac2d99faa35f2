"""The events of a study's runs: sent by workers as JSON, received by progress bars, status file, trackers, mirror."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field, TypeAdapter

from crossnorm.study.spec.plan import Cohort, Run
from crossnorm.training.loop.outcome import Outcome

__all__ = [
    "CohortStarted",
    "DiskFailed",
    "Emit",
    "Evaluated",
    "Event",
    "Finished",
    "Idle",
    "Listener",
    "Note",
    "Stepped",
    "decode_cohort",
    "decode_event",
    "encode",
]


@dataclass(frozen=True)
class CohortStarted:
    """A worker starts a cohort."""

    cohort: Cohort
    kind: Literal["cohort"] = "cohort"


@dataclass(frozen=True)
class Stepped:
    """The step that runs of a seed have reached, by arm; `restored`: it was read from a checkpoint.

    The run of a training function counts as one step.
    """

    seed: int
    steps: dict[str, int]
    restored: bool = False
    kind: Literal["step"] = "step"


@dataclass(frozen=True)
class Evaluated:
    """A new row of a run's learning curve, and the worker's peak memory in bytes where it is known."""

    run: Run
    row: dict[str, Any]
    memory: int | None = None
    kind: Literal["evaluated"] = "evaluated"


@dataclass(frozen=True)
class Finished:
    """A run has ended."""

    run: Run
    outcome: Outcome
    kind: Literal["finished"] = "finished"


@dataclass(frozen=True)
class Note:
    """A message for the user, such as a damaged checkpoint."""

    text: str
    kind: Literal["note"] = "note"


@dataclass(frozen=True)
class Idle:
    """The worker waits for a cohort; only executors see this event."""

    kind: Literal["idle"] = "idle"


@dataclass(frozen=True)
class DiskFailed:
    """The worker cannot write: the reason; only executors see this event."""

    reason: str
    kind: Literal["disk"] = "disk"


Event: TypeAlias = CohortStarted | Stepped | Evaluated | Finished | Note | Idle | DiskFailed

Emit = Callable[[Event], None]
"""Send an event."""

Listener = Callable[[int, Event], None]
"""Receive an event of the worker with this number."""

_EVENT: TypeAdapter[Event] = TypeAdapter(Annotated[Event, Field(discriminator="kind")])
_COHORT = TypeAdapter(Cohort)


def encode(value: Event | Cohort) -> str:
    """One line of JSON; floats keep every bit."""
    adapter: TypeAdapter[Any] = _COHORT if isinstance(value, Cohort) else _EVENT
    return json.dumps(adapter.dump_python(value, mode="json"))


def decode_event(text: str) -> Event:
    """The event that `encode` wrote."""
    return _EVENT.validate_python(json.loads(text))


def decode_cohort(text: str) -> Cohort:
    """The cohort that `encode` wrote."""
    return _COHORT.validate_python(json.loads(text))

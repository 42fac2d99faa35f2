"""The audit of an instrument: are its runs repeatable, and do its verdicts stay quiet where nothing differs?

Repeats stored runs in processes of their own and compares bits; picks A/A arms out of a study and judges them. Knows
folders, runs and tables; knows nothing of pages or terminals.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from crossnorm.errors import BadInput
from crossnorm.stats import (
    FalseRate,
    Scatter,
    Table,
    Verdict,
    paired_scatter,
    rate_of_paired,
    rate_of_unpaired,
)
from crossnorm.study import store
from crossnorm.study.environment import describe_environment
from crossnorm.study.folder import Record
from crossnorm.study.local import run_local
from crossnorm.study.plan import Arm, Cohort, Plan, Run
from crossnorm.study.ready import ready_study
from crossnorm.study.resolve import load_study_task
from crossnorm.study.spec import StudySpec, parse_spec
from crossnorm.training.devices import pick_device

__all__ = ["AaKind", "Audit", "Repeat", "audit_kinds", "audit_study", "repeat_runs", "same_rows"]

Kind = Literal["nuisance", "seeds", "baseline"]
Row = Mapping[str, Any]

_LONG = 60.0
"""Seconds of training beyond which a stored run is repeated only in part, an epoch at least."""

_NOT_BITS = ("seconds",)
_MAY_DIFFER = ("cores", "system")
"""Facts of a machine that change no bit: every worker is one thread."""


@dataclass(frozen=True, kw_only=True)
class Repeat:
    """A stored run, trained again alone in a process of its own.

    Attributes:
        arm: Its arm.
        seed: Its seed.
        evaluations: Evaluations compared, every metric of each to the bit.
        difference: The first difference in words; None: there is none.
        elsewhere: What differs between the machine or versions of then and now.
    """

    arm: str
    seed: int
    evaluations: int
    difference: str | None
    elsewhere: tuple[str, ...] = ()

    @property
    def holds(self) -> bool | None:
        """Whether the bits are the same; None where they differ and so does what they were computed with."""
        return None if self.difference and self.elsewhere else self.difference is None


@dataclass(frozen=True, kw_only=True)
class AaKind:
    """What one kind of A/A comparison says.

    Attributes:
        kind: "nuisance": arms with dropout of their own; "seeds": arms on other seeds; "baseline": seeds of the
            baseline against each other.
        verdicts: Arm → the study's verdict on it; none for the baseline's seeds.
        scatter: Of the arms about the baseline; None for the baseline's seeds.
        rate: How often small studies resampled from these runs err.
    """

    kind: Kind
    verdicts: Mapping[str, str]
    scatter: Scatter | None
    rate: FalseRate

    @property
    def called(self) -> tuple[str, ...]:
        """The arms falsely called better or worse."""
        return tuple(arm for arm, word in self.verdicts.items() if word in ("better", "worse"))


@dataclass(frozen=True, kw_only=True)
class Audit:
    """Everything an audit found.

    Attributes:
        study: The study's name.
        metric: What its verdicts are about.
        confidence: Of its verdicts, and of the bounds of the rates.
        seeds: Number of its seeds.
        repeats: The runs that were trained again.
        kinds: The kinds of A/A comparison it holds.
    """

    study: str
    metric: str
    confidence: float
    seeds: int
    repeats: tuple[Repeat, ...]
    kinds: tuple[AaKind, ...]

    @property
    def faults(self) -> tuple[str, ...]:
        """What must not be, in words.

        If all is well, the arms of a study are falsely called with a chance of at most 1 - confidence together, and
        so is a rate whose lower bound lies above 1 - confidence.
        """
        level = 1 - self.confidence
        return (
            *(f"{r.arm}, seed {r.seed}: {r.difference}" for r in self.repeats if r.holds is False),
            *(f"{arm} is treated as the baseline and called {k.verdicts[arm]}" for k in self.kinds for arm in k.called),
            *(
                f"A/A studies ({kind.kind}) err in at least {100 * kind.rate.low:.1f} %; {100 * level:.3g} % is allowed"
                for kind in self.kinds
                if kind.rate.low > level + 1e-9
            ),
        )

    @property
    def passed(self) -> bool:
        """Whether nothing is at fault."""
        return not self.faults

    def to_dict(self) -> dict[str, Any]:
        """For audit.json."""
        verdicts = [{"called": list(kind.called)} for kind in self.kinds]
        holds = [{"holds": repeat.holds} for repeat in self.repeats]
        fields = asdict(self)
        fields["kinds"] = [kind | extra for kind, extra in zip(fields["kinds"], verdicts, strict=True)]
        fields["repeats"] = [repeat | extra for repeat, extra in zip(fields["repeats"], holds, strict=True)]
        return fields | {"passed": self.passed, "faults": list(self.faults)}


def audit_study() -> StudySpec:
    """The A/A study an audit trains by itself: the ready study `aa` on digits, a few minutes' work."""
    fields = ready_study("aa") | {"name": "audit", "task": "digits", "epochs": 5}
    return parse_spec(fields, "audit")


def audit_kinds(plan: Plan, table: Table, verdict: Verdict) -> tuple[AaKind, ...]:
    """The kinds of A/A comparison that a study's runs hold; the baseline's own seeds always do."""
    values = table.final(verdict.metric)
    found = []
    kinds: tuple[Kind, ...] = ("nuisance", "seeds")
    for kind in kinds:
        arms = [i for i, arm in enumerate(plan.arms) if _aa_kind(arm, plan.arms[0]) == kind]
        if arms:
            rows = values[[0, *arms]]
            rated = (
                rate_of_paired(rows, confidence=verdict.confidence)
                if kind == "nuisance"
                else _apart(plan, arms, rows, verdict)
            )
            words = {verdict.arms[i].arm: verdict.arms[i].verdict or "undecided" for i in arms}
            found.append(AaKind(kind=kind, verdicts=words, scatter=paired_scatter(rows), rate=rated))
    if not any(kind.kind == "seeds" for kind in found):
        rate = rate_of_unpaired(values[0], confidence=verdict.confidence)
        found.append(AaKind(kind="baseline", verdicts={}, scatter=None, rate=rate))
    return tuple(found)


def _apart(plan: Plan, arms: Sequence[int], rows: np.ndarray, verdict: Verdict) -> FalseRate:
    """The rate over the baseline and arms on other seeds; a run whose seed another arm has too is not counted again."""
    offsets = [0, *(plan.arms[i].seed_offset for i in arms)]
    pool: dict[int, float] = {}
    for offset, row in zip(offsets, rows, strict=True):
        for seed, value in zip(plan.seeds, row, strict=True):
            pool.setdefault(seed + offset, float(value))
    return rate_of_unpaired(np.array(list(pool.values())), confidence=verdict.confidence)


def _aa_kind(arm: Arm, baseline: Arm) -> Kind | None:
    """Which kind of A/A arm it is; None if anything but chance distinguishes it from the baseline."""
    if arm.variant is not None or arm.recipe != baseline.recipe:
        return None
    if arm.seed_offset:
        return "seeds"
    return "nuisance" if arm.nuisance else None


def repeat_runs(folder: Path, plan: Plan, record: Record, imports: Sequence[str] = ()) -> tuple[Repeat, ...]:
    """Train the first complete run of the baseline and of the last arm again, and compare.

    A run of more than a minute is repeated as far as a minute reaches, one epoch at least.

    Raises:
        BadInput: No run is complete, or the data are not those the study was trained on.
    """
    firsts: dict[str, Run] = {}
    for run in plan.runs:
        result = store.read_outcome(store.run_folder(folder, run))  # whatever its seal: an edit is to be found out
        if result is not None and result["status"] == "complete":
            firsts.setdefault(run.arm, run)
    if not firsts:
        raise BadInput(str(folder), "a study with at least one complete run", "none")
    if plan.spec.function is not None:
        raise BadInput(str(folder), "a study of a task, whose runs can be repeated here", "one of a function")
    if load_study_task(plan.spec).digest != record.digest:
        raise BadInput(f"{folder}: the data", "what the study was trained on", "other examples")
    elsewhere = _elsewhere(record.environment)
    chosen = {name: firsts[name] for name in (*(a.name for a in plan.arms[:1]), plan.arms[-1].name) if name in firsts}
    return tuple(_repeat(folder, plan, run, elsewhere, imports) for run in (chosen or firsts).values())


def _elsewhere(then: Mapping[str, str]) -> tuple[str, ...]:
    now = describe_environment()
    keys = [key for key in {**then, **now} if key not in _MAY_DIFFER and then.get(key) != now.get(key)]
    return tuple(f"{key} {then.get(key, 'none')} → {now.get(key, 'none')}" for key in keys)


def _repeat(folder: Path, plan: Plan, run: Run, elsewhere: tuple[str, ...], imports: Sequence[str]) -> Repeat:
    stored = store.read_metrics(folder, run)
    short = [row for row in stored if row["epoch"] <= 1 or (row.get("seconds") or 0.0) <= _LONG]
    result = store.read_outcome(store.run_folder(folder, run)) or {}
    device = pick_device(str(result.get("device", "cpu"))).type
    again, ended = _train_again(plan, run, short[-1]["step"], device, imports)
    difference = same_rows(short, again)
    if difference and ended:
        difference = f"{difference} ({ended})"
    return Repeat(
        arm=run.arm,
        seed=run.seed,
        evaluations=len(short),
        difference=difference,
        elsewhere=elsewhere if difference else (),
    )


class _FarEnough(Exception):
    """Ends a repeated run that has reached the last evaluation to be compared."""


def _train_again(plan: Plan, run: Run, last: int, device: str, imports: Sequence[str]) -> tuple[list[Row], str | None]:
    """The run's evaluations up to step `last`, and why it ended before, from a worker of its own."""
    rows: dict[int, Row] = {}  # by step: a run that crashed is tried again
    reason: list[str] = []

    def listen(_: int, event: Mapping[str, Any]) -> None:
        if event["event"] == "evaluated":
            rows[event["row"]["step"]] = event["row"]
            if event["row"]["step"] >= last:
                raise _FarEnough
        elif event["event"] == "finished" and event["status"] != "complete":
            reason.append(str(event["reason"]))

    with tempfile.TemporaryDirectory(prefix="crossnorm-audit-") as scratch:
        cohorts = [Cohort(run.seed, (run.arm,))]
        with contextlib.suppress(_FarEnough):
            run_local(plan, cohorts, Path(scratch), workers=1, device=device, imports=imports, listen=listen)
    return [rows[step] for step in sorted(rows)], reason[0] if reason else None


def same_rows(stored: Sequence[Row], again: Sequence[Row]) -> str | None:
    """The first difference between two learning curves in words, times apart; None if all bits agree."""
    for old, new in zip(stored, again, strict=False):
        for key in {**old, **new}:
            if key not in _NOT_BITS and old.get(key) != new.get(key):
                return f"{key} at step {old['step']} was {old.get(key)!r} and is {new.get(key)!r}"
    if len(stored) != len(again):
        return f"{len(stored)} evaluations were stored and {len(again)} repeated"
    return None

"""The audit of an instrument: are its runs repeatable, and do its verdicts stay quiet where nothing differs?

Picks A/A arms out of a study, judges them, and says what is at fault in them and in repeated runs (`repeats`). Knows
plans and tables; knows nothing of folders, pages or terminals.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from crossnorm.stats import (
    FalseRate,
    Scatter,
    Table,
    Verdict,
    paired_scatter,
    rate_of_paired,
    rate_of_unpaired,
)
from crossnorm.study.audit.reproducibility import Repeat
from crossnorm.study.spec.builtin_studies import ready_study
from crossnorm.study.spec.plan import Arm, Plan
from crossnorm.study.spec.schema import StudySpec, parse_spec

__all__ = ["AaKind", "Audit", "audit_kinds", "audit_study"]

Kind = Literal["nuisance", "seeds", "baseline"]


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
        function: The function that trains; None: crossnorm does.
        metric: What its verdicts are about.
        confidence: Of its verdicts, and of the bounds of the rates.
        seeds: Number of its seeds.
        repeats: The runs that were trained again.
        kinds: The kinds of A/A comparison it holds.
    """

    study: str
    function: str | None = None
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
    if arm.variant is not None or arm.recipe != baseline.recipe or arm.settings != baseline.settings:
        return None
    if arm.recipe is None and arm.dose not in (None, baseline.dose):  # a function is told of it
        return None
    if arm.seed_offset:
        return "seeds"
    return "nuisance" if arm.nuisance else None

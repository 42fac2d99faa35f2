"""The result of an audit: repeated runs, and the A/A arms of a study with their false-positive rates.

A/A arms are trained exactly as the baseline, with other random numbers.
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
from crossnorm.study.spec.builtin_studies import builtin_study
from crossnorm.study.spec.plan import Arm, Plan
from crossnorm.study.spec.schema import StudySpec, parse_spec

__all__ = ["AaKind", "Audit", "audit_kinds", "audit_study"]

Kind = Literal["nuisance", "seeds", "baseline"]


@dataclass(frozen=True, kw_only=True)
class AaKind:
    """The A/A comparisons of one kind.

    Attributes:
        kind: "nuisance": arms with their own dropout stream; "seeds": arms on other seeds; "baseline": the baseline's
            seeds against each other.
        verdicts: The study's verdict by arm; empty for "baseline".
        scatter: Standard deviation and correlation of the arms and the baseline; None for "baseline".
        rate: The false-positive rate of small studies resampled from these runs.
    """

    kind: Kind
    verdicts: Mapping[str, str]
    scatter: Scatter | None
    rate: FalseRate

    @property
    def called(self) -> tuple[str, ...]:
        """The arms with a false verdict, better or worse."""
        return tuple(arm for arm, word in self.verdicts.items() if word in ("better", "worse"))


@dataclass(frozen=True, kw_only=True)
class Audit:
    """The result of an audit.

    Attributes:
        study: The study's name.
        function: The training function; None for a task.
        metric: The metric of its verdicts.
        confidence: The confidence level of its verdicts and of the bounds of the rates.
        seeds: Number of seeds.
        repeats: The runs that were trained again.
        kinds: The A/A comparisons by kind.
        lost: Stored runs that do not count, with the reason, such as an edited learning curve.
    """

    study: str
    function: str | None = None
    metric: str
    confidence: float
    seeds: int
    repeats: tuple[Repeat, ...]
    kinds: tuple[AaKind, ...]
    lost: tuple[str, ...] = ()

    @property
    def faults(self) -> tuple[str, ...]:
        """What is wrong, as text.

        In a correct study the chance of any false verdict is at most 1 - confidence, and so is the chance that a
        rate's lower bound exceeds 1 - confidence.
        """
        level = 1 - self.confidence
        return (
            *self.lost,
            *(f"{r.arm}, seed {r.seed}: {r.difference}" for r in self.repeats if r.holds is False),
            *(f"{arm}, an A/A arm, has the verdict {k.verdicts[arm]}" for k in self.kinds for arm in k.called),
            *(
                f"false-positive rate ({kind.kind}) at least {100 * kind.rate.low:.1f} %, nominal {100 * level:.3g} %"
                for kind in self.kinds
                if kind.rate.low > level + 1e-9
            ),
        )

    @property
    def passed(self) -> bool:
        """Whether there are no faults."""
        return not self.faults

    def to_dict(self) -> dict[str, Any]:
        """The content of audit.json."""
        verdicts = [{"called": list(kind.called)} for kind in self.kinds]
        holds = [{"holds": repeat.holds} for repeat in self.repeats]
        fields = asdict(self)
        fields["kinds"] = [kind | extra for kind, extra in zip(fields["kinds"], verdicts, strict=True)]
        fields["repeats"] = [repeat | extra for repeat, extra in zip(fields["repeats"], holds, strict=True)]
        return fields | {"passed": self.passed, "faults": list(self.faults)}


def audit_study() -> StudySpec:
    """The A/A study that `audit` trains without a folder: the built-in study `aa` on digits, a few minutes."""
    fields = builtin_study("aa") | {"name": "audit", "task": "digits", "epochs": 5}
    return parse_spec(fields, "audit")


def audit_kinds(plan: Plan, table: Table, verdict: Verdict) -> tuple[AaKind, ...]:
    """The A/A comparisons in a study's runs; without arms on other seeds, the baseline's seeds are compared."""
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
                else _unpaired_rate(plan, arms, rows, verdict)
            )
            words = {verdict.arms[i].arm: verdict.arms[i].verdict or "undecided" for i in arms}
            found.append(AaKind(kind=kind, verdicts=words, scatter=paired_scatter(rows), rate=rated))
    if not any(kind.kind == "seeds" for kind in found):
        rate = rate_of_unpaired(values[0], confidence=verdict.confidence)
        found.append(AaKind(kind="baseline", verdicts={}, scatter=None, rate=rate))
    return tuple(found)


def _unpaired_rate(plan: Plan, arms: Sequence[int], rows: np.ndarray, verdict: Verdict) -> FalseRate:
    """The rate over the baseline and the arms on other seeds; every seed counts once."""
    offsets = [0, *(plan.arms[i].seed_offset for i in arms)]
    pool: dict[int, float] = {}
    for offset, row in zip(offsets, rows, strict=True):
        for seed, value in zip(plan.seeds, row, strict=True):
            pool.setdefault(seed + offset, float(value))
    return rate_of_unpaired(np.array(list(pool.values())), confidence=verdict.confidence)


def _aa_kind(arm: Arm, baseline: Arm) -> Kind | None:
    """The kind of an A/A arm; None if more than random numbers distinguishes it from the baseline."""
    if arm.variant is not None or arm.recipe != baseline.recipe or arm.settings != baseline.settings:
        return None
    if arm.recipe is None and arm.dose not in (None, baseline.dose):  # the function can read the dose
        return None
    if arm.seed_offset:
        return "seeds"
    return "nuisance" if arm.nuisance else None

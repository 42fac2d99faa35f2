"""The stopping rule of open-ended studies: which arms need no further seeds."""

from __future__ import annotations

from crossnorm.errors import BadInput
from crossnorm.stats.inference.trend import dose_grids
from crossnorm.stats.runs.run_table import Table
from crossnorm.stats.verdicts.verdict import Verdict

__all__ = ["settled"]


def settled(table: Table, verdict: Verdict) -> dict[str, bool]:
    """Whether every comparison of an arm is decided, by arm.

    An arm's comparisons are its own row, its contrasts (as arm or control) and the primary answer. The answer is
    decided when its interval excludes 0 or lies inside ± margin over the studied doses. The baseline is settled when
    all others are. Valid at any time, because sequential intervals are.

    Args:
        table: The runs.
        verdict: Their verdict, with sequential intervals.

    Raises:
        BadInput: The verdict's intervals are not sequential.
    """
    if verdict.interval != "sequential":
        raise BadInput("interval", "sequential (valid at any time)", verdict.interval)
    open_arms = {row.arm for row in verdict.arms[1:] if row.verdict == "undecided"}
    for contrast in verdict.contrasts:
        if contrast.verdict == "undecided":
            open_arms |= {contrast.arm, contrast.against}
    grids = dose_grids(table)
    if grids and not _answered(verdict, grids[0].span):
        open_arms |= {table.arms[i].name for i in (*grids[0].arms, *grids[0].controls)}
    names = [arm.name for arm in table.arms]
    return {names[0]: not open_arms} | {name: name not in open_arms for name in names[1:]}


def _answered(verdict: Verdict, span: float) -> bool:
    low, high = verdict.answer.low, verdict.answer.high
    if low is None or high is None:
        return False
    if verdict.margin is not None and -verdict.margin <= low * span and high * span <= verdict.margin:
        return True
    return low > 0 or high < 0 or low == high == 0

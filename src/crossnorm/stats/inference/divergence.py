"""Diverged runs as outcomes: does an arm diverge more often than its reference?"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from crossnorm.stats.inference.intervals import Kind

__all__ = ["Divergence", "divergence", "mcnemar_e_value", "mcnemar_exact"]


@dataclass(frozen=True, kw_only=True)
class Divergence:
    """How often an arm and its reference diverged.

    Args:
        arm: Diverged runs of the arm.
        reference: Diverged runs of its reference.
        excess: Whether the arm diverged more often, over all runs or over pairs with two outcomes.
        p_value: Exact McNemar test over those pairs; min(1, 1/E) for sequential tests.
    """

    arm: int
    reference: int
    excess: bool
    p_value: float


def mcnemar_exact(b: int, c: int) -> float:
    """Two-sided exact p-value of b against c discordant pairs under a fair coin; 1 without any.

    Source: McNemar (1947); the exact form is the binomial test of b in b + c.
    """
    return 1.0 if b + c == 0 else float(stats.binomtest(b, b + c, 0.5).pvalue)


def mcnemar_e_value(b: int, c: int) -> float:
    """Anytime-valid evidence against a fair coin: 2^(b+c) b! c! / (b+c+1)!.

    The likelihood ratio of a coin with uniform prior on [0, 1] to a fair coin. Under a fair coin, the probability that
    it ever reaches 1/δ is at most δ.
    """
    n = b + c
    log_e = n * math.log(2) + math.lgamma(b + 1) + math.lgamma(c + 1) - math.lgamma(n + 2)
    return math.exp(min(log_e, 709.0))


def divergence(arm: NDArray[np.str_], reference: NDArray[np.str_], kind: Kind = "bonferroni-t") -> Divergence:
    """Compare the statuses (seeds,) of two arms; crashed and missing runs are ignored."""
    only_arm = int(((arm == "diverged") & (reference == "complete")).sum())
    only_reference = int(((arm == "complete") & (reference == "diverged")).sum())
    counts = int((arm == "diverged").sum()), int((reference == "diverged").sum())
    if kind == "sequential":
        p_value = min(1.0, 1 / mcnemar_e_value(only_arm, only_reference))
    else:
        p_value = mcnemar_exact(only_arm, only_reference)
    return Divergence(
        arm=counts[0],
        reference=counts[1],
        excess=counts[0] > counts[1] or only_arm > only_reference,
        p_value=p_value if only_arm > only_reference else 1.0,
    )

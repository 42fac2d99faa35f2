"""The Gaussian-mixture sequential t-test: evidence and intervals that are valid after every pair.

The caller divides the error level by the number of comparisons.

Source: Wang and Ramdas, "Anytime-valid t-tests and confidence sequences for Gaussian means with unknown
variance", arXiv 2310.03722: the scale-invariant mixture with prior effect μ/σ ~ N(0, 1/c²).
"""

from __future__ import annotations

import itertools
import math

import numpy as np

from crossnorm.stats.runs.run_table import Floats

__all__ = ["first_bounded", "log_e_process", "sequential_critical"]


def log_e_process(differences: Floats, *, prior: float = 1.0) -> Floats:
    """Log evidence against mean 0 after each pair, in the order given.

    With S = Σd, Q = Σd² of the first n: log E_n = ½ log(c²/(n+c²)) - (n/2) log(1 - S²/((n+c²)Q)); E = 1
    where Q = 0. Under mean 0, the probability that E ever reaches 1/δ is at most δ.

    Args:
        differences: (…, n), in seed order.
        prior: c²; larger values target smaller effects.

    Returns:
        (…, n)
    """
    scale = np.max(np.abs(differences), axis=-1, keepdims=True, initial=0.0)
    d = differences / np.where(scale > 0, scale, 1.0)
    n = np.arange(1, d.shape[-1] + 1)
    total, square = np.cumsum(d, axis=-1), np.cumsum(d * d, axis=-1)
    share = total**2 / ((n + prior) * np.where(square > 0, square, 1.0))
    log_e = 0.5 * np.log(prior / (n + prior)) - n / 2 * np.log1p(-share)
    return np.where(square > 0, log_e, 0.0)


def sequential_critical(n: int, level: float, *, prior: float = 1.0) -> float:
    """Half-width of the confidence sequence in units of s/√n, s² the unbiased variance; inf if undetermined.

    K = (√((n+c²)/c²)/δ)^(2/n), r = (1 - 1/K)(n+c²); the half-width s_b √(r/(n-r)), s_b² the biased
    variance, is s/√n times √((n-1) r/(n-r)).
    """
    log_k = 2 / n * (0.5 * math.log((n + prior) / prior) - math.log(level))
    r = -math.expm1(-log_k) * (n + prior)
    return math.sqrt((n - 1) * r / (n - r)) if r < n else math.inf


def first_bounded(level: float, *, prior: float = 1.0) -> int:
    """Smallest number of pairs at which the confidence sequence of an error level is finite.

    >>> first_bounded(0.05), first_bounded(0.05 / 12)
    (5, 7)
    """
    return next(n for n in itertools.count(2) if math.isfinite(sequential_critical(n, level, prior=prior)))

"""Small tables for the tests of the statistics, and float64 loops that repeat their formulas."""

from __future__ import annotations

import math

import numpy as np

from crossnorm.metric import Metric
from crossnorm.stats import ArmInfo, Table

LOSS = Metric.parse("test_loss")


def table_of(values, *, arms=None, metric="test_loss", status=None, seeds=None, steps=(7,), **further):
    """A table from final values (arms, seeds) or curves (arms, seeds, steps); the first arm is the baseline."""
    curves = np.asarray(values, dtype=float)
    if curves.ndim == 2:
        curves = curves[..., None]
        steps = (7,)
    arms = arms or tuple(ArmInfo(name="baseline" if i == 0 else f"arm{i}") for i in range(len(curves)))
    metrics = {metric: curves} | {name: np.asarray(v, dtype=float).reshape(curves.shape) for name, v in further.items()}
    return Table(
        arms=tuple(arms),
        seeds=tuple(range(curves.shape[1])) if seeds is None else tuple(seeds),
        steps=tuple(steps),
        metrics=metrics,
        status=np.full(curves.shape[:2], "complete") if status is None else np.asarray(status),
    )


def dosed(name, alpha, control=None, site=None):
    return ArmInfo(name=f"{name}-{alpha:g}", variant=name, alpha=alpha, control=control, site=site)


def convex_table(seed=0, n=7, effect=0.3, control_effect=0.1, alphas=(0.25, 0.5, 1.0)):
    """Baseline, `convex` at three doses, and its control `attenuated`."""
    rng = np.random.default_rng(seed)
    arms = [ArmInfo(name="baseline", alpha=0.0)]
    arms += [dosed("convex", a, control=f"attenuated-{a:g}") for a in alphas]
    arms += [dosed("attenuated", a) for a in alphas]
    truth = np.array([0.0, *(effect * a for a in alphas), *(control_effect * a for a in alphas)])
    values = 1 + rng.normal(0, 0.2, n) + truth[:, None] + rng.normal(0, 0.05, (len(arms), n))
    return table_of(values, arms=arms)


def loop_log_e(differences, c2):
    """The mixture e-value after every pair, term by term."""
    out, total, square = [], 0.0, 0.0
    for n, d in enumerate(differences, start=1):
        total += float(d)
        square += float(d) ** 2
        if square == 0:
            out.append(0.0)
            continue
        first = 0.5 * math.log(c2 / (n + c2))
        out.append(first - (n / 2) * math.log(1 - total * total / ((n + c2) * square)))
    return out


def loop_confidence_sequence(differences, level, c2):
    """The confidence sequence after every pair, term by term."""
    out = []
    for n in range(1, len(differences) + 1):
        part = [float(d) for d in differences[:n]]
        mean = sum(part) / n
        variance = sum((d - mean) ** 2 for d in part) / n
        k = (math.sqrt((n + c2) / c2) / level) ** (2 / n)
        r = (1 - 1 / k) * (n + c2)
        half = math.inf if r >= n else math.sqrt(variance) * math.sqrt(r / (n - r))
        out.append((mean - half, mean + half))
    return out

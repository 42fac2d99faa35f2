from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from crossnorm.metric import Metric
from crossnorm.stats import ArmInfo, Table, Verdict, estimate

LOSS = Metric.parse("test_loss")

FACTS: dict[str, Any] = {
    "title": "A question about attention",
    "description": "seven seeds of a small model",
    "command": "crossnorm plot study.yaml --out here",
    "plan_yaml": "format: 1\ntask: digits\n",
    "versions": {"torch": "2.9"},
    "hardware": {"cores": 2, "gpu": None},
    "extensions": [{"seeds": [5, 6], "seen": True}],
    "failures": [{"arm": "convex-0.5", "seed": 2, "status": "diverged", "reason": "the loss is not finite"}],
    "revision": "0123abc",
}


def grid(*, alphas: Sequence[float] = (0.5, 1.0), seeds: int = 7, steps: int = 11, control: bool = True) -> Table:
    """A made-up study: convex is a little better than its control; axes of different prime lengths."""
    arms = [ArmInfo(name="baseline", variant="convex", alpha=0.0, site="attention")]
    controls = {alpha: f"attenuated-{alpha:g}" if control else None for alpha in alphas}
    for alpha in alphas:
        name = f"convex-{alpha:g}"
        arms.append(ArmInfo(name=name, variant="convex", alpha=alpha, site="attention", control=controls[alpha]))
    if control:
        for alpha in alphas:
            arms.append(ArmInfo(name=f"attenuated-{alpha:g}", variant="attenuated", alpha=alpha, site="attention"))
    generator = np.random.default_rng(5)
    shape = (len(arms), seeds, steps)
    epochs = np.arange(steps, dtype=float)
    dose = np.array([arm.alpha or 0.0 for arm in arms])[:, None, None]
    helped = np.array([arm.variant == "convex" for arm in arms])[:, None, None]
    loss = 0.4 + 1.9 * np.exp(-0.3 * epochs) + 0.2 * dose - 0.1 * dose * helped
    loss = loss + generator.normal(0, 0.03, (1, seeds, 1)) + generator.normal(0, 0.01, shape)
    metrics = {
        "test_loss": loss,
        "test_accuracy": 1 - 0.3 * loss,
        "epoch": np.broadcast_to(epochs, shape),
        "seconds": np.broadcast_to(epochs, shape) * generator.uniform(1, 2, (*shape[:2], 1)),
    }
    status = np.full(shape[:2], "complete")
    return Table(
        arms=tuple(arms),
        seeds=tuple(range(seeds)),
        steps=tuple(range(0, 13 * steps, 13)),
        metrics=metrics,
        status=status,
    )


def judged(table: Table, **options: Any) -> Verdict:
    given: dict[str, Any] = {"study": "made-up", "metric": LOSS, "margin": 0.02}
    return estimate(table, **given | options)


def troubled() -> Table:
    """A run of every kind of trouble: diverged to infinity, crashed half way, not yet run."""
    table = grid()
    metrics = {name: values.copy() for name, values in table.metrics.items()}
    status = table.status.copy()
    metrics["test_loss"][1, 2, 4:] = [1e30, np.inf, *[np.nan] * 5]
    metrics["test_loss"][2, 3, 6:] = np.nan
    for values in metrics.values():
        values[4, 6] = np.nan
    status[1, 2], status[2, 3], status[4, 6] = "diverged", "crashed", "missing"
    return Table(arms=table.arms, seeds=table.seeds, steps=table.steps, metrics=metrics, status=status)


def hopeless() -> Table:
    """Every run diverged before its second evaluation, while another metric went on."""
    table = grid()
    metrics = {name: values.copy() for name, values in table.metrics.items()}
    metrics["test_loss"][..., 1:] = np.nan
    status = np.full(table.status.shape, "diverged")
    return Table(arms=table.arms, seeds=table.seeds, steps=table.steps, metrics=metrics, status=status)


def nominal() -> Table:
    """Arms without doses, no variant, no stored epochs."""
    table = grid()
    arms = tuple(ArmInfo(name=name) for name in ("adamw", "a very long name of an optimiser $x$", "lion"))
    return Table(
        arms=arms,
        seeds=table.seeds,
        steps=table.steps,
        metrics={"test_loss": table.metrics["test_loss"][:3]},
        status=table.status[:3],
    )


def alone() -> Table:
    """The baseline and nothing else, evaluated once."""
    table = grid()
    metrics = {"test_loss": table.metrics["test_loss"][:1, :, :1]}
    return Table(
        arms=table.arms[:1], seeds=table.seeds, steps=table.steps[:1], metrics=metrics, status=table.status[:1]
    )


def unborn() -> Table:
    """A study of which nothing has run."""
    table = grid()
    status = np.full(table.status.shape, "missing")
    metrics = {"test_loss": np.full((*status.shape, 0), np.nan)}
    return Table(arms=table.arms, seeds=table.seeds, steps=(), metrics=metrics, status=status)


STATES: dict[str, tuple[Any, dict[str, Any]]] = {
    "plain": (grid, {}),
    "higher is better": (grid, {"metric": Metric.parse("test_accuracy")}),
    "no margin": (grid, {"margin": None}),
    "all diverged": (hopeless, {}),
    "sequential": (grid, {"interval": "sequential"}),
    "no control": (lambda: grid(control=False), {}),
    "two pairs": (lambda: grid(alphas=(1.0,), seeds=2, control=False), {"margin": None}),
    "ribbon": (lambda: grid(seeds=13), {}),
    "negative doses": (lambda: grid(alphas=(-1.0, -0.5, 0.5, 1.0), control=False), {}),
    "troubled": (troubled, {}),
    "troubled, sequential": (troubled, {"interval": "sequential"}),
    "nominal": (nominal, {}),
    "alone": (alone, {}),
    "unborn": (unborn, {}),
}

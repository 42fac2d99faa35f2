"""Profile a training step: the time of every tensor operation, forward and backward, by kind.

    python benchmarks/step.py [--model cct_2_3x2_32] [--variant convex] [--steps 20] [--out results/step]

One thread, processor time. Each operation is timed at the dispatch to its kernel, so that memory is freed as in an
untimed step; torch's own profiler keeps activations alive, which makes this step 1.5 times as long. Operations are
grouped by kind, with their floating-point operations (torch.utils.flop_counter) and the resulting FLOP/s. "Between the
operations" is the rest of an untimed step: Python, autograd, the launch of the fused optimizer. Also prints the time of
making a batch, forward, backward and optimizer step, the share of the machine's matrix-product speed, and the peak
memory of the process. Close other programs first.
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from crossnorm.functional import Variant
from crossnorm.study.storage.environment import describe_environment
from crossnorm.training.benchmark.synthetic_load import Workload, open_workload
from crossnorm.training.benchmark.timing import Prepare
from crossnorm.training.recipe.recipes import make_recipe
from crossnorm.training.runtime.devices import precision
from crossnorm.training.runtime.process_memory import hold_memory, peak_memory

ALPHA = 0.5
KINDS = {
    "convolution": ("convolution",),
    "matrix products": ("mm", "bmm", "addmm", "baddbmm"),
    "pooling": ("max_pool2d", "fill"),
    "layer norm": ("native_layer_norm",),
    "softmax": ("_softmax",),
    "random numbers": ("random", "rand", "bernoulli"),
    "copies and casts": ("copy", "_to_copy", "clone", "cat", "stack"),
    "GELU and ReLU": ("gelu", "relu", "threshold"),
    "sums": ("sum", "mean"),
    "optimizer": ("_fused_adamw", "_foreach"),
}


def kind_of(name: str) -> str:
    """The kind of an operation; "elementwise and the rest" if `KINDS` does not list it."""
    for kind, starts in KINDS.items():
        if any(name == start or name.startswith((start + "_", start)) for start in starts):
            return kind
    return "elementwise and the rest"


class Timed(TorchDispatchMode):
    """Sums processor time and floating-point operations by kind."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: dict[str, float] = defaultdict(float)
        self.operations: dict[str, int] = defaultdict(int)

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        kind = kind_of(function._schema.name.removeprefix("aten::"))
        started = time.process_time()
        found = function(*args, **kwargs)
        self.seconds[kind] += time.process_time() - started
        count = flop_registry.get(function._overloadpacket)
        if count is not None:
            self.operations[kind] += count(*args, **kwargs, out_val=found)
        return found


def product_speed(dtype: torch.dtype) -> float:
    """FLOP/s of a large matrix product in the precision of the step: the ceiling of this machine."""
    left, right = (torch.randn(2048, 2048).to(dtype) for _ in range(2))
    left @ right
    times = []
    for _ in range(5):
        started = time.process_time()
        left @ right
        times.append(time.process_time() - started)
    return float(2 * 2048**3 / median(times))


def parts(workload: Workload, steps: int) -> dict[str, float]:
    """Milliseconds of making a batch, the forward pass, the backward pass and the optimizer's step: medians."""
    member, (inputs, targets) = workload.member(), workload.batch(0)
    member.model.train()
    numbers = itertools.count()

    def loss() -> torch.Tensor:
        member.optimizer.zero_grad(set_to_none=True)
        return member.loss(inputs, targets, seed=0)

    def with_gradients() -> Callable[[], None]:
        loss().backward()
        return member.update

    jobs: dict[str, Prepare] = {
        "batch": lambda: lambda: workload.batch(next(numbers)),
        "forward": lambda: loss,
        "backward": lambda: loss().backward,
        "optimizer": with_gradients,
    }
    seconds: dict[str, list[float]] = {name: [] for name in jobs}
    for turn in range(steps + 3):
        for name, prepare in jobs.items():
            job = prepare()
            started = time.process_time()
            job()
            if turn >= 3:
                seconds[name].append(time.process_time() - started)
    return {name: 1e3 * median(times) for name, times in seconds.items()}


def profile(workload: Workload, variant: Variant | None, steps: int) -> dict[str, Any]:
    """Milliseconds per step by kind: medians over steps; untimed and timed steps alternate."""
    member, (inputs, targets) = workload.member(variant), workload.batch(0)
    plain, kinds, operations = [], defaultdict(list), {}
    for turn in range(steps + 3):
        started = time.process_time()
        workload.step(member, inputs, targets)
        took = time.process_time() - started
        with Timed() as timed:
            workload.step(member, inputs, targets)
        if turn >= 3:  # warm-up
            plain.append(took)
            for kind, seconds in timed.seconds.items():
                kinds[kind].append(seconds)
            operations = dict(timed.operations)
    dtype = precision(workload.recipe, workload.device)
    step, ceiling = median(plain), product_speed(dtype)
    rows = {kind: {"ms": 1e3 * median(times), "flop": operations.get(kind, 0)} for kind, times in kinds.items()}
    rows["between the operations"] = {"ms": 1e3 * step - sum(row["ms"] for row in rows.values()), "flop": 0}
    return {
        "precision": str(dtype).removeprefix("torch."),
        "step_ms": 1e3 * step,
        "parts_ms": parts(workload, steps),
        "peak_mib": round((peak_memory() or 0) / 2**20),
        "gflop": sum(operations.values()) / 1e9,
        "product_gflop_per_s": ceiling / 1e9,
        "share_of_product": sum(operations.values()) / step / ceiling,
        "kinds": dict(sorted(rows.items(), key=lambda item: -item[1]["ms"])),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", default="cct_2_3x2_32")
    parser.add_argument("--recipe", default="paper")
    parser.add_argument("--variant", help=f"at both sites, at α = {ALPHA}; default: the baseline")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    hold_memory()  # as every worker does
    variant = None if given.variant is None else Variant(name=given.variant, alpha=ALPHA, site="both")
    workload = open_workload({"name": given.model}, make_recipe(given.recipe), torch.device("cpu"))
    found = profile(workload, variant, given.steps)
    for kind, row in found["kinds"].items():
        speed = f"{row['flop'] / row['ms'] / 1e6:6.0f} GFLOP/s" if row["flop"] else ""
        print(f"{kind:26} {row['ms']:7.1f} ms {row['ms'] / found['step_ms']:6.1%} {speed}")
    print(f"{'step':26} {found['step_ms']:7.1f} ms, {found['gflop']:.1f} GFLOP, ", end="")
    print(f"{found['share_of_product']:.0%} of the {found['product_gflop_per_s']:.0f} GFLOP/s of a matrix product")
    print(", ".join(f"{name} {ms:.1f} ms" for name, ms in found["parts_ms"].items()), end="")
    print(f", in {found['precision']}; peak memory {found['peak_mib']} MiB")
    if given.out is not None:
        given.out.mkdir(parents=True, exist_ok=True)
        about = {key: value for key, value in vars(given).items() if key != "out"}
        text = json.dumps({**about, **found, "environment": describe_environment()}, indent=2)
        (given.out / "step.json").write_text(text + "\n")


if __name__ == "__main__":
    main()

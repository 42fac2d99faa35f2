"""Where the time of a training step goes: every tensor operation, forward and backward, timed as it runs.

    python benchmarks/step.py [--model cct_2_3x2_32] [--variant convex] [--steps 20] [--out results/step]

One thread. Each operation is timed where torch hands it to its kernel, so nothing is kept alive that a step would free:
torch's own profiler makes this step half as long again, because the next activations then need new memory. Operations
are added up by kind, with the floating-point operations that torch.utils.flop_counter knows and the speed they make.
"Between the operations" is what the step takes beside them, without the timing: Python, autograd, the fused optimiser's
launch. Processor time; the machine should do nothing else meanwhile.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import defaultdict
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from crossnorm.functional import Variant
from crossnorm.study.storage.environment import describe_environment
from crossnorm.training.benchmark.synthetic_load import Workload, open_workload
from crossnorm.training.recipe.recipes import make_recipe
from crossnorm.training.runtime.process_memory import hold_memory

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
    "optimiser": ("_fused_adamw", "_foreach"),
}


def kind_of(name: str) -> str:
    """The kind of an operation; "elementwise and the rest" for what is not named above."""
    for kind, starts in KINDS.items():
        if any(name == start or name.startswith((start + "_", start)) for start in starts):
            return kind
    return "elementwise and the rest"


class Timed(TorchDispatchMode):
    """Adds up processor time and floating-point operations of everything inside, by kind."""

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


def product_speed(workload: Workload) -> float:
    """FLOP/s of a large matrix product in bfloat16: the ceiling of this machine."""
    left, right = (torch.randn(2048, 2048).bfloat16() for _ in range(2))
    left @ right
    times = []
    for _ in range(5):
        started = time.process_time()
        left @ right
        times.append(time.process_time() - started)
    return float(2 * 2048**3 / median(times))


def profile(workload: Workload, variant: Variant | None, steps: int) -> dict[str, Any]:
    """Milliseconds a step by kind, medians over the steps, plain and timed steps taking turns."""
    member, (inputs, targets) = workload.member(variant), workload.batch(0)
    plain, kinds, operations = [], defaultdict(list), {}
    for turn in range(steps + 3):
        started = time.process_time()
        workload.step(member, inputs, targets)
        took = time.process_time() - started
        with Timed() as timed:
            workload.step(member, inputs, targets)
        if turn >= 3:  # until memory has settled
            plain.append(took)
            for kind, seconds in timed.seconds.items():
                kinds[kind].append(seconds)
            operations = dict(timed.operations)
    step, ceiling = median(plain), product_speed(workload)
    rows = {kind: {"ms": 1e3 * median(times), "flop": operations.get(kind, 0)} for kind, times in kinds.items()}
    rows["between the operations"] = {"ms": 1e3 * step - sum(row["ms"] for row in rows.values()), "flop": 0}
    return {
        "step_ms": 1e3 * step,
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
    if given.out is not None:
        given.out.mkdir(parents=True, exist_ok=True)
        about = {key: value for key, value in vars(given).items() if key != "out"}
        text = json.dumps({**about, **found, "environment": describe_environment()}, indent=2)
        (given.out / "step.json").write_text(text + "\n")


if __name__ == "__main__":
    main()

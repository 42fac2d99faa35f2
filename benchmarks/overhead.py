"""Measure the overhead of every variant: the time of a training step, divided by that with plain attention.

    python benchmarks/overhead.py [--repeats 25] [--cases short long causal] [--processor-time] [--out results/overhead]

One thread; each case runs in its own process with the settings of a crossnorm worker:

    short    CCT-2/3x2 at 32 pixels, 64 tokens, batches of 128, at both sites
    long     the same model at 128 pixels, 1024 tokens, batches of 8, at both sites
    causal   the language model gpt_2, 256 tokens, causal mask, batches of 16

The variants take turns on one model and one batch; ratios are taken within a round. Close other programs first; if that
is not possible, --processor-time excludes the time in which the process waits. Exit code 1 if a median exceeds its
bound.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

CASES: dict[str, dict[str, Any]] = {
    "short": {"model": {"name": "cct_2_3x2_32"}, "recipe": "paper", "batch_size": 128, "tokens": 64},
    "long": {"model": {"name": "cct_2_3x2_32", "img_size": 128}, "recipe": "paper", "batch_size": 8, "tokens": 1024},
    "causal": {"model": {"name": "gpt_2", "seq_len": 256}, "recipe": "quick", "batch_size": 16, "tokens": 256},
}
LIGHT = ("convex", "additive", "matched", "centred", "attenuated")


def bound(case: str, variant: str) -> float:
    """The largest acceptable ratio."""
    if case == "causal" or variant == "laser":
        return 1.4
    return 1.05 if variant in LIGHT and case == "short" else 1.1


def measure_here(case: str, repeats: int, clock: Callable[[], float]) -> list[dict[str, Any]]:
    """Measure in this process."""
    import torch

    from crossnorm.functional import VARIANTS, Variant
    from crossnorm.training.benchmark.benchmark import every_site, overhead_of, step_jobs
    from crossnorm.training.benchmark.synthetic_load import open_workload
    from crossnorm.training.benchmark.timing import take_turns
    from crossnorm.training.recipe.recipes import make_recipe
    from crossnorm.training.runtime.process_memory import hold_memory

    torch.set_num_threads(1)
    hold_memory()  # as every worker does
    about = CASES[case]
    recipe = make_recipe(about["recipe"], batch_size=about["batch_size"], optimizer="adamw")
    work = open_workload(about["model"], recipe, torch.device("cpu"))
    sites = every_site(work.member())
    variants = [Variant(name=name, alpha=0.5, site=site) for site in sites for name in VARIANTS]
    found = overhead_of(take_turns(step_jobs(work, variants), repeats, clock=clock))
    return [{"variant": v.name, "site": v.site, "ratio": asdict(found[v.name][v.site])} for v in variants]


def measure(case: str, repeats: int, processor_time: bool) -> list[dict[str, Any]]:
    """Measure in a new process."""
    command = [sys.executable, __file__, "--here", case, "--repeats", str(repeats)]
    command += ["--processor-time"] if processor_time else []
    env = os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    done = subprocess.run(command, env=env, stdout=subprocess.PIPE, text=True, check=True)
    rows: list[dict[str, Any]] = json.loads(done.stdout)
    for row in rows:
        row["bound"] = bound(case, row["variant"])
        row["met"] = row["ratio"]["median"] <= row["bound"]
        spread = "{median:.3f} [{low:.3f} to {high:.3f}]".format(**row["ratio"])
        missed = "" if row["met"] else "  missed"
        print(f"{case:7} {row['site']:10} {row['variant']:11} {spread}  ≤ {row['bound']}{missed}", flush=True)
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--repeats", type=int, default=25)
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--processor-time", action="store_true")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--here", choices=CASES, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.here is not None:
        clock = time.process_time if given.processor_time else time.perf_counter
        print(json.dumps(measure_here(given.here, given.repeats, clock)))
        return 0
    from crossnorm.study.storage.environment import describe_environment

    cases = {case: {**CASES[case], "rows": measure(case, given.repeats, given.processor_time)} for case in given.cases}
    measured = "processor time" if given.processor_time else "wall-clock time"
    found = {"measured": measured, "repeats": given.repeats, "cases": cases, "environment": describe_environment()}
    if given.out is not None:
        given.out.mkdir(parents=True, exist_ok=True)
        (given.out / "overhead.json").write_text(json.dumps(found, indent=2) + "\n")
    return int(not all(row["met"] for case in cases.values() for row in case["rows"]))


if __name__ == "__main__":
    raise SystemExit(main())

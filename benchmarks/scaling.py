"""Measure time and memory of planning, resuming and reporting a study of 10 000 tiny runs.

    python benchmarks/scaling.py [--arms 10] [--seeds 1000] [--out results/scaling]

The learning curves are random numbers; nothing is trained. Each command runs in its own process. Processor time is
reported beside wall-clock time, for machines with other load.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import yaml

from crossnorm.study.spec.schema import parse_spec
from crossnorm.study.storage.run_folder import RunFolder
from crossnorm.study.storage.study_folder import open_folder
from crossnorm.study.storage.study_lock import locked
from crossnorm.study.workload.workload import open_workload
from crossnorm.training.loop.outcome import Outcome, RunStatus


def make_study(folder: Path, arms: int, seeds: int) -> int:
    """Write a finished study with random curves; returns the number of runs."""
    fields = {
        "name": "large",
        "task": "digits",
        "train_examples": 67,
        "model": {"embedding_dim": 8, "num_layers": 1},
        "recipe": {"name": "quick", "batch_size": 31},
        "epochs": 2,
        "variants": [],
        "arms": [{"name": f"arm {i}", "variant": "convex", "alpha": i / arms} for i in range(1, arms)],
        "seeds": seeds,
    }
    (folder / "large.yaml").write_text(yaml.safe_dump(fields))
    workload = open_workload(parse_spec(fields, "large"))
    draws = np.random.default_rng(0)
    os.fsync = lambda handle: None  # the folder is temporary
    with locked(folder / "out"):
        plan, _ = open_folder(folder / "out", workload.plan, workload.digest)
        for run in plan.runs:
            own = RunFolder(folder / "out", run, plan)
            own.rewind()
            for epoch in range(3):
                loss = float(2.3 / (1 + epoch) + 0.1 * draws.standard_normal())
                about = {"step": 2 * epoch, "epoch": epoch, "images": 62 * epoch, "seconds": 0.1 * epoch, "alpha": 0.5}
                own.append(about | {"train_loss": loss if epoch else None, "test_loss": loss, "test_accuracy": 0.5})
            own.finish(Outcome(RunStatus.COMPLETE), {"step": 4, "seconds": 0.2, "device": "cpu"})
    return len(workload.plan.runs)


def measured(*arguments: str, cwd: Path) -> dict[str, float]:
    """Wall-clock and processor seconds, and the peak MiB, of one command."""
    started = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", "crossnorm", *arguments], cwd=cwd, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if os.waitstatus_to_exitcode(status) != 0:
        raise SystemExit(f"{' '.join(arguments)} ended with status {status}")
    divisor = 1024**2 if platform.system() == "Darwin" else 1024
    return {
        "seconds": round(time.perf_counter() - started, 1),
        "processor_seconds": round(usage.ru_utime + usage.ru_stime, 1),
        "peak_mib": round(usage.ru_maxrss / divisor),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--arms", type=int, default=10)
    parser.add_argument("--seeds", type=int, default=1000)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="crossnorm-scaling-") as scratch:
        folder = Path(scratch)
        runs = make_study(folder, given.arms, given.seeds)
        found = {
            "runs": runs,
            "arms": given.arms,
            "seeds": given.seeds,
            "plan": measured("plan", "large.yaml", "--out", "out", cwd=folder),
            "resume": measured("plot", "large.yaml", "--out", "out", cwd=folder),
            "report": measured("report", "out", cwd=folder),
            "page_mb": round((folder / "out" / "report.html").stat().st_size / 1e6, 1),
            "own_peak_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        }
    text = json.dumps(found, indent=2) + "\n"
    print(text, end="")
    if given.out is not None:
        given.out.mkdir(parents=True, exist_ok=True)
        (given.out / "scaling.json").write_text(text)


if __name__ == "__main__":
    main()

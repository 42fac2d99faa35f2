"""Measure the speedup of the quick study with more workers.

    python benchmarks/workers.py [--workers 1 2] [--repeats 1] [--out results/scaling]

Each measurement is the whole command in a new folder, start-up, verdict and figures included; the numbers of workers
take turns. Close other programs first.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median


def seconds(workers: int) -> float:
    """Wall-clock seconds of the quick study."""
    with tempfile.TemporaryDirectory(prefix="crossnorm-workers-") as folder:
        started = time.perf_counter()
        command = [sys.executable, "-m", "crossnorm", "plot", "--workers", str(workers), "--out", "quick"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise SystemExit(done.stderr)
        return round(time.perf_counter() - started, 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    taken: dict[int, list[float]] = {workers: [] for workers in given.workers}
    for _ in range(given.repeats):
        for workers, times in taken.items():
            times.append(seconds(workers))
            print(f"{workers} workers: {times[-1]} s", flush=True)
    first = median(taken[given.workers[0]])
    found = {
        "study": "quick",
        "cores": os.cpu_count(),
        "processor": platform.processor() or platform.machine(),
        "seconds": {str(workers): times for workers, times in taken.items()},
        "times_as_fast": {str(workers): round(first / median(times), 3) for workers, times in taken.items()},
    }
    text = json.dumps(found, indent=2) + "\n"
    print(text, end="")
    if given.out is not None:
        given.out.mkdir(parents=True, exist_ok=True)
        (given.out / "workers.json").write_text(text)


if __name__ == "__main__":
    main()

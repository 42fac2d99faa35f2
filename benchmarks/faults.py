"""Kill a small study at random times, resume it, and compare its results with an undisturbed one.

    python -m benchmarks.faults [--kills 200] [--of function|task] [--seed 0] [--out results/faults]

Each kill is a SIGKILL to the study's process or to one of its workers; the same command then resumes. A study that
finishes is followed by another until all kills are used. Linux only.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
from pathlib import Path

from tests.study.fault_cases import curves, kill_at_random, plotted, verdict, write_slow, write_task

WRITE = {"function": write_slow, "task": write_task}


def finished(folder: Path) -> tuple[bytes, dict[str, list]]:
    done = plotted(folder)
    if done.returncode != 0:
        raise SystemExit(done.stderr)
    return verdict(folder), curves(folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--of", choices=WRITE, default="function", help="What trains.")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    draws, total, studies, equal = random.Random(given.seed), {"study": 0, "worker": 0}, 0, 0
    with tempfile.TemporaryDirectory(prefix="crossnorm-faults-") as scratch:
        whole = Path(scratch) / "whole"
        whole.mkdir()
        WRITE[given.of](whole)
        expected = finished(whole)
        while sum(total.values()) < given.kills:
            folder = Path(scratch) / str(studies)
            folder.mkdir()
            WRITE[given.of](folder)
            count = kill_at_random(folder, given.kills - sum(total.values()), draws)
            total = {key: total[key] + count[key] for key in total}
            studies += 1
            equal += finished(folder) == expected
            print(f"{sum(total.values())} kills, {studies} studies, {equal} of them equal", flush=True)
    found = {"of": given.of, "kills": total, "studies": studies, "studies_equal_to_the_byte": equal, "seed": given.seed}
    if given.out is not None:
        given.out.mkdir(parents=True, exist_ok=True)
        name = "faults.json" if given.of == "function" else f"faults-{given.of}.json"
        (given.out / name).write_text(json.dumps(found, indent=2) + "\n")
    raise SystemExit(equal < studies)


if __name__ == "__main__":
    main()

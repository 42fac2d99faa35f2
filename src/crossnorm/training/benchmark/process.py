"""A bench in a process of its own, which starts as the workers of a study do: what it measures is what they reach.

Started by ``python -m crossnorm.training.benchmark.process``. It reads a job, one line of JSON, from its
input, and tells turns and the outcome as lines of JSON on its output. Knows nothing of what is measured.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

from pydantic import TypeAdapter

from crossnorm.errors import BadInput
from crossnorm.training.benchmark.bench_records import Bench, BenchSettings
from crossnorm.training.benchmark.benchmark import measure
from crossnorm.training.runtime.process_memory import hold_memory

__all__ = ["main", "run_bench"]


def run_bench(settings: BenchSettings, told: Callable[[int, int], object], imports: Sequence[str] = ()) -> Bench:
    """Measure in a process of its own.

    Args:
        settings: What.
        told: Called with (turns done, turns in all).
        imports: Modules with variants of the user's own.

    Raises:
        BadInput: As `measure`, or the process died.
    """
    job = {"settings": TypeAdapter(BenchSettings).dump_python(settings, mode="json"), "imports": list(imports)}
    threads = {name: str(settings.threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
    with subprocess.Popen(
        [sys.executable, "-m", "crossnorm.training.benchmark.process"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        env=os.environ | threads,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(job) + "\n")
        process.stdin.close()
        for line in process.stdout:
            event = json.loads(line)
            if event["event"] == "found":
                return TypeAdapter(Bench).validate_python(event["bench"])
            if event["event"] == "bad":
                raise BadInput(*event["error"])
            told(event["done"], event["total"])
    hint = "What it said last stands above; a variant of one's own may have failed."
    raise BadInput("bench", "a measuring process that ends well", f"exit status {process.returncode}", hint)


def main() -> None:
    """Do the job on the input."""
    hold_memory()
    tell = _take_output()
    job = json.loads(sys.stdin.readline())
    try:
        for module in job["imports"]:
            import_module(module)
        settings = TypeAdapter(BenchSettings).validate_python(job["settings"])
        found = measure(settings, lambda done, total: tell({"event": "turn", "done": done, "total": total}))
    except BadInput as error:
        got = error.got if isinstance(error.got, str) else repr(error.got)
        tell({"event": "bad", "error": [error.name, error.expected, got, error.hint]})
    except KeyboardInterrupt:
        sys.exit(130)
    else:
        tell({"event": "found", "bench": TypeAdapter(Bench).dump_python(found, mode="json")})


def _take_output() -> Callable[[dict[str, Any]], None]:
    """Keep the output for events: whatever else prints goes to the error stream."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)

    def tell(event: dict[str, Any]) -> None:
        out.write(json.dumps(event) + "\n")

    return tell


if __name__ == "__main__":
    main()

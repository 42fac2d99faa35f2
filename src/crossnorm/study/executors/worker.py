"""A worker process: reads orders from its input, carries out cohorts one after the other, tells events on its output.

Started by ``python -m crossnorm.study.executors.worker`` so that nobody's ``__main__`` is imported twice. The
first line is the job, every further line a cohort; all lines are JSON. Ends at once when its input closes, whatever
it is doing: a worker never outlives who started it. Knows nothing of other workers.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import queue
import signal
import sys
import threading
from typing import Any, TextIO

from crossnorm.training.runtime.process_memory import forgo_triton, hold_memory, peak_memory

__all__ = ["main"]


def main() -> None:
    """Serve orders until the input closes."""
    _die_with_parent()
    tell = _take_output()
    orders: queue.Queue[dict[str, Any]] = queue.Queue()
    threading.Thread(target=_read_orders, args=(orders,), daemon=True).start()
    job = orders.get()

    import torch

    torch.set_num_threads(job["threads"])
    from crossnorm.io import storage_fault
    from crossnorm.study.spec.plan import Cohort
    from crossnorm.study.workload.workload import carrier

    hold_memory()
    if job["device"] == "cpu" and job["spec"]["function"] is None:  # a function of one's own may compile
        forgo_triton()
    carry = carrier(job)
    while True:
        tell({"event": "idle"})
        order = orders.get()
        try:
            carry(Cohort(order["seed"], tuple(order["arms"])), tell)
        except OSError as error:
            fault = storage_fault(error)
            if fault is None:
                raise
            tell({"event": "storage", "text": fault})


def _die_with_parent() -> None:
    """Where the system can (Linux), have it kill this process when its starter dies, even in the middle of a long call.

    The closed input says the same on every system, but only once Python's lock is free.
    """
    parent = os.getppid()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    if os.getppid() != parent:
        os._exit(0)


def _take_output() -> Any:
    """Keep the output for events: whatever else prints, in Python or below it, goes to the error stream."""
    out: TextIO = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)
    lock = threading.Lock()

    def tell(event: dict[str, Any]) -> None:
        if event["event"] == "evaluated":
            event = event | {"memory": peak_memory()}
        with lock:
            out.write(json.dumps(event) + "\n")

    return tell


def _read_orders(orders: queue.Queue[dict[str, Any]]) -> None:
    for line in sys.stdin:
        orders.put(json.loads(line))
    os._exit(0)


if __name__ == "__main__":
    main()

"""A worker process: trains cohorts, and writes its events to its standard output.

Started by `process_pool` with a few lines of its own, so that no ``__main__`` is imported twice. The first line of
its input is the job, every further line a cohort. It exits as soon as its input closes, so it never outlives the
process that started it.
"""

from __future__ import annotations

import contextlib
import ctypes
import io
import os
import queue
import signal
import sys
import threading
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from crossnorm.study.events import Emit

__all__ = ["main"]


def main() -> None:
    """Train cohorts until the input closes."""
    _die_with_parent()
    out = _take_output()
    lines: queue.Queue[str] = queue.Queue()
    threading.Thread(target=_read_input, args=(lines,), daemon=True).start()

    from crossnorm.io import storage_fault
    from crossnorm.study.events import DiskFailed, Idle, decode_cohort
    from crossnorm.study.workload.job import Job, cohort_runner
    from crossnorm.training.runtime.process_memory import forgo_triton

    emit = _emitter(out)
    job = Job.decode(lines.get())
    if job.device == "cpu" and job.plan.spec.function is None:  # a training function may compile
        forgo_triton()
    run_cohort = cohort_runner(job)
    while True:
        emit(Idle())
        cohort = decode_cohort(lines.get())
        try:
            run_cohort(cohort, emit)
        except OSError as error:
            fault = storage_fault(error)
            if fault is None:
                raise
            emit(DiskFailed(fault))


def _die_with_parent() -> None:
    """On Linux, have the kernel kill this process when its parent dies, even during a long call.

    The closed input tells the same on every system, but is noticed only while Python's global lock is free.
    """
    parent = os.getppid()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    if os.getppid() != parent:
        os._exit(0)


def _take_output() -> TextIO:
    """Reserve the standard output for events; all other prints, of Python and of libraries, go to standard error."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)  # a killed run leaves what it printed
    return out


def _emitter(out: TextIO) -> Emit:
    from dataclasses import replace

    from crossnorm.study.events import Evaluated, Event, encode
    from crossnorm.training.runtime.process_memory import peak_memory

    lock = threading.Lock()

    def emit(event: Event) -> None:
        if isinstance(event, Evaluated):
            event = replace(event, memory=peak_memory())
        with lock:
            out.write(encode(event) + "\n")

    return emit


def _read_input(lines: queue.Queue[str]) -> None:
    for line in sys.stdin:
        lines.put(line)
    os._exit(0)

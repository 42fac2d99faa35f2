"""One thread a process: tests run side by side, and results must not depend on how many.

Interrupts are listened to even where the shell that started the tests in its background told them not to: processes
that tests start and interrupt inherit that.
"""

from __future__ import annotations

import os
import signal

for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

"""What a process that only trains does with freed memory, and the most that it ever held.

Knows nothing of models. Freed memory: measured with glibc (Linux); elsewhere nothing happens.
"""

from __future__ import annotations

import contextlib
import ctypes
import sys

__all__ = ["forgo_triton", "hold_memory", "peak_memory"]

# mallopt's parameters, from glibc's malloc.h.
_TRIM_THRESHOLD, _MMAP_MAX = -1, -4


def hold_memory() -> None:
    """Keep freed memory for the next step instead of giving it back to the system.

    A step frees large activations that the next step asks for again; by default each of them is mapped anew and its
    pages are zeroed at first touch (10 900 page faults a step of CCT-2/3x2 at batch 128, an eighth of its time). The
    peak stays as it is. Only for processes of one's own: it holds for the whole process until it ends.
    """
    with contextlib.suppress(OSError, AttributeError, TypeError):  # no C library by that name, or another than glibc
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_MMAP_MAX, 0)
        mallopt(_TRIM_THRESHOLD, 2**31 - 1)


def forgo_triton() -> None:
    """Keep torch from loading triton, which every optimizer asks for, in a process that computes on a CPU.

    76 MiB of a compiler for GPUs. Only for processes of one's own, and before the first optimizer is made.
    """
    sys.modules.setdefault("triton", None)  # type: ignore[arg-type]  # documented: an import of it then fails


def peak_memory() -> int | None:
    """The most memory this process ever had resident, in bytes; None where the system does not tell."""
    try:
        import resource
    except ImportError:
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)

"""A process that only trains keeps the memory it has."""

from __future__ import annotations

import importlib.util
import platform
import subprocess
import sys

import pytest

_FAULTS = """
import resource, sys
import torch
from crossnorm.training.runtime.process_memory import hold_memory
if sys.argv[1] == "held":
    hold_memory()
def churn():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(7):
        torch.ones(48 * 2**20 // 4)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
churn()
print(min(churn() for _ in range(11)))
"""


def faults(mode: str) -> int:
    """Page faults of the calmest of eleven churns: now and then a small object splits the memory just freed."""
    return printed(_FAULTS, mode)


def printed(program: str, mode: str) -> int:
    """The number that a program prints, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", program, mode], capture_output=True, text=True, check=True, timeout=120
    )
    return int(done.stdout)


_TRAINS = """
import sys
import torch
from crossnorm.training.runtime.process_memory import forgo_triton
if sys.argv[1] == "forgone":
    forgo_triton()
layer = torch.nn.Linear(3, 5)
optimizer = torch.optim.AdamW(layer.parameters(), fused=True)
layer(torch.ones(7, 3)).sum().backward()
optimizer.step()
print(int("libtriton" in open("/proc/self/maps").read()))
"""


@pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="there is nothing to forgo")
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_triton_is_not_loaded_where_it_is_of_no_use() -> None:
    loaded = {mode: printed(_TRAINS, mode) for mode in ("forgone", "as usual")}
    assert loaded == {"forgone": 0, "as usual": 1}


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the setting is glibc's")
def test_freed_memory_is_not_mapped_anew() -> None:
    pages = 48 * 2**20 // 4096
    assert faults("held") < pages
    assert faults("free") >= 7 * pages // 512  # at least once a huge page

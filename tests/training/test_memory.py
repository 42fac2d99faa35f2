"""A process that only trains keeps the memory it has."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

_FAULTS = """
import resource, sys
import torch
from crossnorm.training.memory import hold_memory
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
    done = subprocess.run(
        [sys.executable, "-c", _FAULTS, mode], capture_output=True, text=True, check=True, timeout=120
    )
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the setting is glibc's")
def test_freed_memory_is_not_mapped_anew() -> None:
    pages = 48 * 2**20 // 4096
    assert faults("held") < pages
    assert faults("free") >= 7 * pages // 512  # at least once a huge page

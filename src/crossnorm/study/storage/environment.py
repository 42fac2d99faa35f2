"""The environment of a study: versions, hardware, code revision. Stored in its folder; never part of a verdict."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import crossnorm

__all__ = ["describe_environment"]

_OPTIONAL = ("transformers", "timm")
_PACKAGES = ("crossnorm", "torch", "torchvision", "numpy", "scipy", "mnist1d", "scikit-learn")


def describe_environment() -> dict[str, str]:
    """Name → value, in the order to show them; "unknown" if the system does not tell."""
    facts = {
        "python": platform.python_version(),
        **{package: _version(package) for package in _PACKAGES},
        **{package: found for package in _OPTIONAL if (found := _version(package)) != "unknown"},
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "processor": _processor(),
        "cores": str(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()),
        "revision": _revision(),
    }
    import torch

    if torch.cuda.is_available():
        facts["gpu"] = f"{torch.cuda.device_count()} × {torch.cuda.get_device_name(0)}"
    return facts


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or "unknown"
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or "unknown")


def _revision() -> str:
    """The commit of crossnorm's source tree; "release" for an installed package.

    An installed package may lie inside a repository of somebody else, whose settings may name programs to run.
    """
    root = Path(crossnorm.__file__).parents[2]
    if not (root / ".git").exists():
        return "release"
    try:
        answer = subprocess.run(
            ["git", "-C", str(root), "-c", "core.fsmonitor=false", "describe", "--always", "--dirty", "--abbrev=12"],
            capture_output=True,
            text=True,
            timeout=5,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return "release"
    return answer.stdout.strip() or "release"

"""A study of seconds, and the command line as a person calls it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import yaml

TINY = {
    "task": "digits",
    "train_examples": 67,
    "model": {"embedding_dim": 8, "num_layers": 1},
    "alphas": [0, 1],
    "seeds": 3,
    "recipe": {"name": "quick", "batch_size": 31},
    "epochs": 2,
    "margin": 0.5,
}


def write_study(folder: Path, **changes) -> str:
    (folder / "tiny.yaml").write_text(yaml.safe_dump(TINY | changes), encoding="utf-8")
    return "tiny.yaml"


def crossnorm(*arguments: str, cwd: Path, timeout: float = 300) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "crossnorm", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=timeout)


def refused(done: subprocess.CompletedProcess, *words: str) -> None:
    """Exit code 2 and one clear message: no traceback, nothing on the output."""
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    for word in words:
        assert word in done.stderr, done.stderr


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}

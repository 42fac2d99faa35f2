"""A study that can be killed anywhere, ways to kill it, and what must hold of its folder afterwards."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

TRAIN = """
import random, time, torch

STEPS = 12

def train(run):
    value = torch.rand(())
    state = run.resume()
    if state is not None:
        value = state["value"]
    for step in range(0 if state is None else state["step"], STEPS):
        value = 0.8 * value + 0.1 * torch.rand(()) + 0.05 * random.random() + 0.01 * run.dose
        time.sleep(run.settings.get("pause", 0))
        run.log(step, loss=value)
        run.save({"value": value, "step": step + 1})
"""
STEPS = 12
STUDY = "function: slow:train\nsettings: {pause: 0.05}\nalphas: [0, 1]\nseeds: 3\nmetric: loss\ndirection: lower\n"

TASK = """
task: digits
train_examples: 600
model: {embedding_dim: 16, num_layers: 1}
alphas: [0, 1]
seeds: 3
recipe: {name: quick, batch_size: 31}
epochs: 12
"""


def write_slow(folder: Path, pause: float = 0.05) -> None:
    (folder / "slow.py").write_text(TRAIN, encoding="utf-8")
    (folder / "slow.yaml").write_text(STUDY.replace("0.05", str(pause)), encoding="utf-8")


def write_task(folder: Path) -> None:
    """The same with models that crossnorm trains itself, in cohorts."""
    (folder / "slow.py").write_text("", encoding="utf-8")
    (folder / "slow.yaml").write_text(TASK, encoding="utf-8")


def command(*more: str) -> list[str]:
    return [sys.executable, "-m", "crossnorm", "plot", "slow.yaml", "--import", "slow", "--out", "out", *more]


def plotted(folder: Path, *more: str) -> subprocess.CompletedProcess:
    return subprocess.run(command(*more), cwd=folder, capture_output=True, text=True, timeout=300)


def started(folder: Path, *more: str) -> subprocess.Popen:
    return subprocess.Popen(
        command(*more), cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )


def workers_of(pid: int) -> list[int]:
    """The worker processes that a process has started (Linux)."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                words = (entry / "cmdline").read_bytes()
            except (OSError, IndexError):
                continue
            if parent == pid and b"crossnorm.study.executors.worker" in words:
                found.append(int(entry.name))
    return found


def alive(pid: int) -> bool:
    try:
        return (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_until(holds, seconds: float) -> bool:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if holds():
            return True
        time.sleep(0.02)
    return bool(holds())


def progress(folder: Path) -> int:
    return sum(path.stat().st_size for path in (folder / "out").glob("runs/*/*/metrics.jsonl"))


def kill_at_random(folder: Path, kills: int, draws: random.Random, *more: str) -> dict[str, int]:
    """Kill the study so often, each time at a random moment: itself, or one of its workers; start it again when it is
    dead or done. Moments are drawn from the time in which something is written."""
    done = {"study": 0, "worker": 0}
    process = None
    while sum(done.values()) < kills:
        if process is None or process.poll() is not None:
            if process is not None and process.returncode == 0:
                break  # nothing is left to be killed
            process = started(folder, *more)
            before = progress(folder)
            wait_until(
                lambda before=before, process=process: progress(folder) != before or process.poll() is not None, 60
            )
        time.sleep(draws.uniform(0, 0.6))
        workers = workers_of(process.pid)
        if workers and draws.random() < 0.4:
            os.kill(draws.choice(workers), signal.SIGKILL)
            done["worker"] += 1
        elif process.poll() is None:
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            done["study"] += 1
    if process is not None and process.poll() is None:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    return done


def check_curves(folder: Path, steps: int = STEPS) -> None:
    """Every line is whole, and every step of every run stands there once."""
    files = sorted((folder / "out").glob("runs/*/*/metrics.jsonl"))
    assert files
    for file in files:
        assert [json.loads(line)["step"] for line in file.read_text().splitlines()] == list(range(steps)), file


def verdict(folder: Path) -> bytes:
    return (folder / "out" / "verdict.json").read_bytes()


def curves(folder: Path) -> dict[str, list]:
    """Every line of every run as it stands there, times apart."""
    return {
        str(file.relative_to(folder)): [json.loads(line) | {"seconds": None} for line in file.read_text().splitlines()]
        for file in sorted((folder / "out").glob("runs/*/*/metrics.jsonl"))
    }

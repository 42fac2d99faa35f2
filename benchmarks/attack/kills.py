"""Studies killed at random moments: the same command goes on, and ends with the undisturbed answer."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.attack.arena import Arena, Done, Trial, installed
from benchmarks.attack.studies import CASES, Case, answer, half_written
from tests.study.fault_cases import progress, wait_until, workers_of

PER_STUDY = 25
"""Kills of one study; then it finishes, and another one of the kind begins."""
HOW = (
    *(("study", signal.SIGKILL),) * 3,
    *(("worker", signal.SIGKILL),) * 3,
    *(("group", signal.SIGKILL),) * 2,
    ("study", signal.SIGTERM),
    ("study", signal.SIGINT),
    ("group", signal.SIGINT),
)


@dataclass
class Undisturbed:
    """The study of a case without a kill; trained when first needed."""

    case: Case
    found: dict[str, object] | None = None
    seconds: float = 0.0

    def answer(self, arena: Arena) -> dict[str, object]:
        if self.found is None:
            started = time.monotonic()
            work = arena.tools.scratch / "undisturbed" / self.case.name.replace(" ", "-")
            work.mkdir(parents=True)
            self.case.write(work)
            done = arena.whole(*self.case.argv, cwd=work, seconds=600, allowed=(0,))
            if done.code != 0:
                raise RuntimeError(done.err[-500:])
            self.seconds = time.monotonic() - started
            self.found = answer(work / "out")
            shutil.rmtree(work)
        return self.found


def trials(draws: random.Random, kills: int) -> Iterator[Trial]:
    """Studies of every kind, with `kills` kills in all."""
    cases = [case for case in CASES if not case.missing]
    for number, case in enumerate(cases):
        undisturbed, left, study = Undisturbed(case), kills // len(cases) + (number < kills % len(cases)), 0
        while left > 0:
            share, study, seed = min(PER_STUDY, left), study + 1, draws.random()

            def act(arena: Arena, case=case, share=share, seed=seed, undisturbed=undisturbed) -> None:
                kill_study(arena, case, share, random.Random(seed), undisturbed)

            yield Trial(f"{case.name} {study}, {share} kills", act)
            left -= share


def kill_study(arena: Arena, case: Case, kills: int, draws: random.Random, undisturbed: Undisturbed) -> None:
    """Kill one study so often, or begin it again if it ends before; then let it finish, and compare."""
    expected = undisturbed.answer(arena)
    arena.outputs = ("out", "far")
    case.write(arena.work)
    made = 0
    while made < kills:
        process, log = start(arena, case)
        finished = kill_once(arena, case, process, log, draws, undisturbed.seconds)
        if finished:
            compare(arena, expected, "before all kills were made")
            shutil.rmtree(arena.out)
            shutil.rmtree(arena.work / "far", ignore_errors=True)
            continue
        made += 1
        if broken := half_written(arena.out):
            arena.find("half-written answer", broken)
        if case.mirror and draws.random() < 0.3:
            wait_until(lambda: not running(arena.out), 10)
            shutil.rmtree(arena.out, ignore_errors=True)
            arena.counts["folders deleted"] = arena.counts.get("folders deleted", 0) + 1
    done = arena.whole(*case.argv, seconds=60 + 2 * undisturbed.seconds, allowed=(0,))
    if done.code == 0:
        compare(arena, expected, f"after {kills} kills")


def start(arena: Arena, case: Case, env: Mapping[str, str] | None = None) -> tuple[subprocess.Popen, Path]:
    log = arena.root / "stderr"
    with log.open("wb") as file:
        process = subprocess.Popen(
            (*installed(), *case.argv),
            cwd=arena.work,
            env=arena.environment(env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=file,
            start_new_session=True,
        )
    return process, log


def kill_once(
    arena: Arena, case: Case, process: subprocess.Popen, log: Path, draws: random.Random, seconds: float
) -> bool:
    """Kill a running study, or one of its workers until one of the others ends it; whether it finished before."""
    if draws.random() < 0.3:  # at any moment, also while it starts or draws its figures
        wait_until(lambda: process.poll() is not None, draws.uniform(0, seconds))
    else:  # soon after the next evaluation
        before = progress(arena.work)
        wait_until(lambda: progress(arena.work) != before or process.poll() is not None, 60)
        time.sleep(draws.uniform(0, 0.6))
    target, sent = draws.choice(HOW)
    workers = workers_of(process.pid)
    if target == "worker" and workers:
        os.kill(draws.choice(workers), sent)
        count(arena, target, sent)
        time.sleep(draws.uniform(0, 0.6))
        target, sent = "study", signal.SIGKILL  # the study has retried, or is about to
    if process.poll() is not None:
        judge(arena, case, process, log, (0,))
        return process.returncode == 0
    (os.killpg if target == "group" else os.kill)(process.pid, sent)
    count(arena, target, sent)
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        arena.find("hang", f"{sent.name} did not end the study in 30 seconds", ended(case, None, log))
        return False
    if sent is not signal.SIGKILL:
        judge(arena, case, process, log, (0, 130, -sent, 128 + sent))
    return process.returncode == 0


def judge(arena: Arena, case: Case, process: subprocess.Popen, log: Path, allowed: tuple[int, ...]) -> None:
    arena.judge(ended(case, process.returncode, log), allowed)


def ended(case: Case, code: int | None, log: Path) -> Done:
    return Done(case.argv, code, "", log.read_text(encoding="utf-8", errors="replace"))


def count(arena: Arena, target: str, sent: signal.Signals) -> None:
    for name in ("kills", f"{sent.name} to {'the ' if target != 'worker' else 'a '}{target}"):
        arena.counts[name] = arena.counts.get(name, 0) + 1


def running(folder: Path) -> bool:
    """Whether a process still has a file of the folder open: an orphaned worker."""
    for entry in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            if str(entry.readlink()).startswith(f"{folder}/"):
                return True
        except OSError:
            continue
    return False


def compare(arena: Arena, expected: dict[str, object], when: str) -> None:
    found = answer(arena.out)
    differ = sorted(name for name in {*expected, *found} if expected.get(name) != found.get(name))
    if differ:
        arena.find("wrong verdict" if "verdict.json" in differ else "wrong curve", f"{when}: {', '.join(differ[:6])}")
    elif broken := half_written(arena.out):
        arena.find("half-written answer", f"{when}: {broken}")

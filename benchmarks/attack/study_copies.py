"""Copies of a small study to tamper with, finished or half done, and what may become of them.

`report` may refuse a copy, or give the undisturbed answer; the table that it writes may hold no value that was not
measured. `plot` trains again what is missing, and ends with the undisturbed answer, or refuses.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from benchmarks.attack.arena import Arena, Done, Tools, Trial, installed
from benchmarks.attack.studies import FUNCTION, TRAIN, answer, counted_values, half_written, plotted
from tests.study.fault_cases import wait_until

FIELDS = FUNCTION + "seeds: 3\nsettings: {pause: 0.1, steps: 6}\nmargin: 0.02\n"
OTHER = FIELDS.replace("steps: 6", "steps: 6, other: 1")
"""Another study with the names of the first."""
DRAWN = ("curves.png", "trend.png", "report.html")
"""Not copied: large, and nothing reads them."""
LOADED = (
    "import crossnorm, sys\n"
    "try: v = crossnorm.load('out').verdict\n"
    "except crossnorm.BadInput as e: print(e, file=sys.stderr); sys.exit(2)\n"
    "print(v.to_json())\n"
)
Edit = Callable[[Arena], None]


@dataclass(frozen=True)
class Templates:
    """Folders to copy: a finished study, the same half done, and another one of the same names."""

    finished: Path
    half: Path
    other: Path
    other_half: Path
    answer: dict[str, object]
    values: frozenset[tuple[str, ...]]


@cache
def _templates(scratch: Path) -> Templates:
    root = scratch / "templates"
    for name in ("finished", "other"):
        half = root / f"half-{name}"
        _half_done(half, other=name == "other")
        shutil.copytree(half, root / name)
        subprocess.run((*installed(), *plotted()), cwd=root / name, check=True, capture_output=True, timeout=300)
        for file in DRAWN:
            (root / name / "out" / file).unlink()
    out = root / "finished" / "out"
    return Templates(
        root / "finished", root / "half-finished", root / "other", root / "half-other", answer(out),
        frozenset(counted_values(out)),
    )  # fmt: skip


def _half_done(work: Path, *, other: bool) -> None:
    """Seeds 0 and 1 are done; the first run of the last is killed when it has a checkpoint."""
    work.mkdir(parents=True)
    (work / "slow.py").write_text(TRAIN.replace("0.01 *", "0.02 *") if other else TRAIN)
    (work / "study.yaml").write_text(OTHER if other else FIELDS)
    process = subprocess.Popen(
        (*installed(), *plotted("--workers", "1")), cwd=work, stderr=subprocess.DEVNULL, start_new_session=True
    )
    begun = wait_until(lambda: any(work.glob("out/runs/*/2/checkpoint.safetensors")), 120)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    if not begun:
        raise RuntimeError("the half-done study has no checkpoint")


def templates(tools: Tools) -> Templates:
    return _templates(tools.scratch)


def copied(arena: Arena, state: str) -> Templates:
    known = templates(arena.tools)
    shutil.copytree(getattr(known, state), arena.work, dirs_exist_ok=True)
    return known


def reported(name: str, state: str, edit: Edit) -> Trial:
    """`report` and `crossnorm.load` on what the edit leaves."""

    def act(arena: Arena) -> None:
        known = copied(arena, state)
        edit(arena)
        done = arena.run("report", "out")
        truthful(arena, known, state, done)
        loaded(arena, known)

    return Trial(name, act)


def loaded(arena: Arena, known: Templates) -> None:
    """The public API reads the same folder: a complete verdict is the undisturbed one."""
    done = arena.run(python=LOADED)
    if done.code == 0:
        try:
            complete = json.loads(done.out)["complete"]
        except (ValueError, KeyError):
            arena.find("wrong verdict", "load gives no verdict", done)
            return
        if complete and json.loads(done.out) != json.loads(known.answer["verdict.json"]):
            arena.find("wrong verdict", "crossnorm.load gives another verdict, called complete", done)


def insisted(name: str, edit: Edit) -> Trial:
    """``report --partial`` leaves out what was tampered with, and calls nothing complete that is not."""

    def act(arena: Arena) -> None:
        known = copied(arena, "finished")
        edit(arena)
        done = arena.run("report", "out", "--partial")
        verdict = arena.out / "verdict.json"
        if done.code != 0 or not verdict.is_file():
            return
        if json.loads(verdict.read_bytes())["complete"] and verdict.read_bytes() != known.answer["verdict.json"]:
            arena.find("wrong verdict", "another verdict is called complete", done)
        measured(arena, known, done)

    return Trial(name, act)


def audited(name: str, edit: Edit) -> Trial:
    """`audit` refuses, or keeps to its exit codes."""

    def act(arena: Arena) -> None:
        known = copied(arena, "finished")
        edit(arena)
        done = arena.run("audit", "out", "--import", "slow", "--json", seconds=120)
        kept(arena, known, "finished", done)

    return Trial(name, act)


def continued(name: str, state: str, edit: Edit) -> Trial:
    """`plot` on what the edit leaves: refused, or the undisturbed answer."""

    def act(arena: Arena) -> None:
        known = copied(arena, state)
        edit(arena)
        done = arena.run(*plotted(), seconds=120)
        if done.code == 0:
            undisturbed(arena, known, done)
        else:
            kept(arena, known, state, done)

    return Trial(name, act)


def undisturbed(arena: Arena, known: Templates, done: Done) -> None:
    """Verdict, curves and models are those of the untouched study."""
    found = answer(arena.out)
    differ = sorted(name for name in {*known.answer, *found} if known.answer.get(name) != found.get(name))
    if differ:
        arena.find("wrong verdict" if "verdict.json" in differ else "wrong curve", ", ".join(differ), done)


def measured(arena: Arena, known: Templates, done: Done) -> None:
    """The table counts no value that was not measured."""
    if foreign := counted_values(arena.out) - known.values:
        arena.find("wrong verdict", f"table.csv counts {len(foreign)} values that were not measured", done)


def truthful(arena: Arena, known: Templates, state: str, done: Done) -> None:
    """A finished study keeps its verdict; a table has no row that was not measured."""
    kept(arena, known, state, done)
    verdict = arena.out / "verdict.json"
    if state == "half" and done.code == 0 and verdict.is_file():
        try:
            complete = json.loads(verdict.read_text())["complete"]
        except (ValueError, KeyError, TypeError):
            complete = False
        if complete and verdict.read_bytes() != known.answer["verdict.json"]:
            arena.find("wrong verdict", "the verdict of a half-done study is called complete", done)
    if verdict.is_file() and done.code == 0:
        measured(arena, known, done)


def kept(arena: Arena, known: Templates, state: str, done: Done) -> None:
    """The verdict of a finished study is the undisturbed one, whatever was tampered with, unless the attack hit it."""
    verdict = arena.out / "verdict.json"
    if state != "finished" or verdict.is_symlink() or not verdict.is_file():
        return
    if verdict.read_bytes() != known.answer["verdict.json"]:
        if done.code == 0:
            arena.find("wrong verdict", "verdict.json has changed, with exit code 0", done)
        elif "verdict.json" not in done.err and not damaged_by_attack(verdict):
            arena.find("wrong verdict", f"the good verdict.json is gone, with exit code {done.code}", done)
    elif broken := half_written(arena.out):
        arena.find("half-written answer", broken, done)


def damaged_by_attack(verdict: Path) -> bool:
    try:
        json.loads(verdict.read_bytes())
    except (ValueError, RecursionError):
        return True
    return False

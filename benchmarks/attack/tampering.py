"""Studies whose files are edited, swapped, damaged or replaced: what does not belong is named and never counted.

Every trial tampers with a copy of a small study (`study_copies`), finished or half done.
"""

from __future__ import annotations

import random
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.attack.arena import SECONDS, Arena, Done, Trial, confined, installed, without_privileges
from benchmarks.attack.edits import (
    DAMAGES,
    LINKS,
    RUN_FILES,
    TREES,
    WHATS,
    checkpoint_moved,
    checkpoint_of,
    copy_over,
    on_folder,
    replacing,
)
from benchmarks.attack.studies import half_written, plotted
from benchmarks.attack.study_copies import (
    Edit,
    audited,
    continued,
    copied,
    insisted,
    kept,
    reported,
    templates,
    truthful,
    undisturbed,
)

OWN_FILES = ("study.yaml", "verdict.json", "table.csv")
PLACES = (
    *(".owner", ".lock", ".workers", ".watched", "status.json", "verdict.json", ".verdict.json.new", "table.csv"),
    *(".table.csv.new", "report.html", "curves.png", "study.yaml", "runs", "runs/baseline", "runs/baseline/0"),
    *("runs/baseline/0/metrics.jsonl", "runs/baseline/0/.metrics.jsonl.new", "runs/baseline/0/result.json"),
    *("runs/baseline/0/log.txt", "runs/baseline/0/checkpoint.new", "runs/baseline/0/checkpoint.safetensors"),
)


def trials(draws: random.Random) -> Iterator[Trial]:
    """All ways of tampering, each with its own numbers."""
    for name, change in TREES.items():
        for state in ("finished", "half")[: 1 if name.startswith("study.yaml") else 2]:
            yield reported(f"{state}: {name}", state, on_folder(change, draws.random()))
    for name in ("append a line", "edit a line", "swap two arms", "copy seed 0 over seed 1", "result.json: step",
                 "delete result.json", "delete the last line and the outcome"):  # fmt: skip
        yield continued(f"finished, plot: {name}", "finished", on_folder(TREES[name], draws.random()))
        yield continued(f"half, plot: {name}", "half", on_folder(TREES[name], draws.random()))
    for name in ("append a line", "edit a line", "swap two seeds", "copy seed 0 over seed 1", "delete result.json"):
        yield insisted(f"finished, report --partial: {name}", on_folder(TREES[name], draws.random()))
    for name in ("swap two arms", "append a line", "result.json: step", "study.yaml: margin, checksum removed"):
        yield audited(f"finished, audit: {name}", on_folder(TREES[name], draws.random()))
    for name in ("study.yaml: margin, checksum removed", "study.yaml: settings, checksum removed"):
        yield continued(f"finished, plot: {name}", "finished", on_folder(TREES[name], draws.random()))
    for file in (*OWN_FILES, *(f"runs/baseline/0/{name}" for name in RUN_FILES)):
        for how, damage in DAMAGES.items():
            seed = draws.random()

            def damaged(arena: Arena, file=file, damage=damage, seed=seed) -> None:
                path = arena.out / file
                path.write_bytes(damage(path.read_bytes(), random.Random(seed)))

            yield reported(f"finished: {file} {how}", "finished", damaged)
    yield from replaced()
    yield from foreign()
    yield from unreadable()
    yield from mirrors()
    yield from together()


def replaced() -> Iterator[Trial]:
    """Every file replaced by something else; `report` for all, `plot` where it writes."""
    for place in PLACES:
        for what in WHATS:
            yield reported(f"finished: {what} for {place}", "finished", replacing(place, what))
    for place in (".owner", ".lock", ".workers", "status.json", "verdict.json", "runs/baseline", "runs/baseline/2",
                  "runs/baseline/2/metrics.jsonl", "runs/baseline/2/.metrics.jsonl.new", "runs/baseline/2/log.txt",
                  "runs/baseline/2/checkpoint.new"):  # fmt: skip
        for what in ("a FIFO", *LINKS):
            yield continued(f"half, plot: {what} for {place}", "half", replacing(place, what))


def foreign() -> Iterator[Trial]:
    """Parts of another study with the same names."""

    def of_other(*places: str) -> Edit:
        def edit(arena: Arena) -> None:
            for place in places:
                copy_over(templates(arena.tools).other / "out" / place, arena.out / place)

        return edit

    def checkpoint(arena: Arena) -> None:
        copy_over(checkpoint_of(templates(arena.tools).other_half), checkpoint_of(arena.work))

    yield continued("half, plot: a checkpoint of another study", "half", checkpoint)
    for seed, of in (("2", "arm"), ("0", "seed")):
        moved = on_folder(lambda out, draws, seed=seed: checkpoint_moved(out, draws, seed), 0.5)
        yield continued(f"half, plot: a checkpoint of another {of}", "half", moved)
    parts: dict[str, tuple[str, ...]] = {
        "a run": ("runs/convex-1/1",),
        "all runs": ("runs",),
        "an arm": ("runs/baseline",),
        "study.yaml": ("study.yaml",),
        "verdict.json": ("verdict.json",),
        "a curve": ("runs/convex-1/1/metrics.jsonl",),
        "a curve and its outcome": ("runs/convex-1/1/metrics.jsonl", "runs/convex-1/1/result.json"),
    }
    for name, places in parts.items():
        for state in ("finished", "half"):
            yield reported(f"{state}: {name} of another study", state, of_other(*places))
            if name != "verdict.json":
                yield continued(f"{state}, plot: {name} of another study", state, of_other(*places))


def unreadable() -> Iterator[Trial]:
    """Files without permission to read, or folders without permission to write."""
    modes = (("study.yaml", 0), ("runs", 0), ("runs/baseline", 0), ("runs/baseline/0", 0), ("verdict.json", 0),
             ("runs/baseline/0/metrics.jsonl", 0), ("runs/baseline/0/result.json", 0), (".", 0o555), ("runs", 0o555),
             (".lock", 0), ("table.csv", 0o444))  # fmt: skip
    for place, mode in modes:

        def act(arena: Arena, place=place, mode=mode) -> None:
            before = without_privileges()
            if before is None:
                arena.counts["skipped: no setpriv"] = 1
                return
            known = copied(arena, "finished")
            target = arena.out / place
            target.chmod(mode)
            done = arena.whole("report", "out", program=(*before, *installed()))
            target.chmod(0o755)
            truthful(arena, known, "finished", done)

        yield Trial(f"finished: mode {mode:03o} of {place}", act)


EVERYWHERE = ("/", "file://", "file:///")
"""Addresses of the whole file system: only tried where the command can be confined to the scratch directory."""
ADDRESSES = (
    *("", *EVERYWHERE, "out", "out/far", ".", "..", "/dev/null", "memory://x", "http://", "s3://", "nosuch://x"),
    *("far\n", "zip://x::far", "simplecache::far"),
)


def mirrors() -> Iterator[Trial]:
    """Mirrors that hold something else, and addresses that are none."""

    def of(change: Callable[[Arena, Path], None], address: str = "far") -> Callable[[Arena], None]:
        def act(arena: Arena) -> None:
            known = copied(arena, "half")
            arena.outputs = ("out", "far")
            far = arena.work / "far"
            shutil.copytree(known.finished / "out", far)
            change(arena, far)
            if address in EVERYWHERE:
                before = confined(arena.root)
                if before is None:
                    arena.counts["skipped: cannot confine"] = 1
                    return
                done = arena.whole(*plotted("--mirror", address), program=(*before, *installed()))
            else:
                done = arena.run(*plotted("--mirror", address), seconds=120)
            if done.code == 0:
                undisturbed(arena, known, done)

        return act

    def other(arena: Arena, far: Path) -> None:
        copy_over(templates(arena.tools).other / "out", far)

    def other_without_plan(arena: Arena, far: Path) -> None:
        other(arena, far)
        (far / "study.yaml").unlink()

    def files(**contents: str) -> Callable[[Arena, Path], None]:
        def change(arena: Arena, far: Path) -> None:
            for name, content in contents.items():
                (far / name).parent.mkdir(parents=True, exist_ok=True)
                (far / name).write_text(content)

        return change

    def link(arena: Arena, far: Path) -> None:
        (far / "more").symlink_to(arena.outside)

    def local_link(arena: Arena, far: Path) -> None:
        shutil.rmtree(arena.out / "runs" / "baseline")
        (arena.out / "runs" / "baseline").symlink_to(arena.outside / "folder")

    def emptied(arena: Arena, far: Path) -> None:
        shutil.rmtree(far)
        far.mkdir()

    yield Trial("mirror: of another study", of(other))
    yield Trial("mirror: of another study, without study.yaml", of(other_without_plan))
    yield Trial("mirror: empty", of(emptied))
    yield Trial("mirror: .owner and .lock", of(files(**{".owner": "x", ".lock": "x", ".workers": "x"})))
    yield Trial("mirror: encoded names", of(files(**{"..%2Fx": "x", "%2e%2e/x": "x", "runs/..x": "x"})))
    yield Trial("mirror: a module", of(files(**{"slow.py": "", "yaml.py": "raise SystemExit(9)\n"})))
    yield Trial("mirror: a link outside", of(link))
    yield Trial("mirror: an arm's folder is a link", of(local_link))
    for address in ADDRESSES:
        yield Trial(f"mirror: address {address!r}", of(lambda arena, far: None, address))


def together() -> Iterator[Trial]:
    """Two commands on one folder at once."""

    def act_of(*commands: tuple[str, ...], state: str) -> Callable[[Arena], None]:
        def act(arena: Arena) -> None:
            known = copied(arena, state)
            processes = [
                subprocess.Popen(
                    (*installed(), *command),
                    cwd=arena.work,
                    env=arena.environment(),
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    text=True,
                )
                for command in commands
            ]
            for command, process in zip(commands, processes, strict=True):
                out, err = process.communicate(timeout=8 * SECONDS)
                arena.judge(Done(command, process.returncode, out, err))
            if broken := half_written(arena.out):
                arena.find("half-written answer", broken)
            if state == "finished":
                kept(arena, known, state, Done((), 0, "", ""))

        return act

    report, plot = ("report", "out"), plotted()
    for state in ("finished", "half"):
        yield Trial(f"{state}: two reports at once", act_of(report, report, state=state))
        yield Trial(f"{state}: report during plot", act_of(plot, report, state=state))
        yield Trial(f"{state}: two plots at once", act_of(plot, plot, state=state))

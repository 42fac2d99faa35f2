"""Studies whose files are edited, swapped, damaged or replaced: what does not belong is named and never counted.

Every trial tampers with a copy of a small study, finished or half done. `report` may then refuse, or give the
undisturbed answer; the table that it writes may hold no value that was not measured. `plot` trains again what is
missing, and ends with the undisturbed answer, or refuses.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import yaml
from benchmarks.attack.arena import (
    SECONDS,
    Arena,
    Done,
    Tools,
    Trial,
    confined,
    installed,
    without_privileges,
)
from benchmarks.attack.studies import FUNCTION, TRAIN, answer, counted_values, half_written, plotted
from tests.study.fault_cases import wait_until

FIELDS = FUNCTION + "seeds: 3\nsettings: {pause: 0.1, steps: 6}\nmargin: 0.02\n"
OTHER = FIELDS.replace("steps: 6", "steps: 6, other: 1")
"""Another study with the names of the first."""
RUN_FILES = ("metrics.jsonl", "result.json", "log.txt")
OWN_FILES = ("study.yaml", "verdict.json", "table.csv")
DRAWN = ("curves.png", "trend.png", "report.html")
"""Not copied: large, and nothing reads them."""
LOADED = (
    "import crossnorm, sys\n"
    "try: v = crossnorm.load('out').verdict\n"
    "except crossnorm.BadInput as e: print(e, file=sys.stderr); sys.exit(2)\n"
    "print(v.to_json())\n"
)
RECORD = ("data_digest", "code", "extensions", "environment", "checksum")
"""What the record of study.yaml holds beside a study's id."""
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


def runs(out: Path) -> list[Path]:
    return sorted(path for path in out.glob("runs/*/*"))


def run_of(out: Path, draws: random.Random) -> Path:
    return draws.choice([run for run in runs(out) if (run / "result.json").exists()])


# Edits of the folder: each takes the study's folder and draws.


def append_line(out: Path, draws: random.Random) -> None:
    curve = run_of(out, draws) / "metrics.jsonl"
    curve.write_bytes(curve.read_bytes() + b'{"step": 6, "seconds": 1.0, "alpha": 0.0, "loss": 0.001}\n')


def edit_line(out: Path, draws: random.Random) -> None:
    curve = run_of(out, draws) / "metrics.jsonl"
    lines = curve.read_text().splitlines()
    lines[-1] = json.dumps(json.loads(lines[-1]) | {"loss": 0.123})
    curve.write_text("\n".join(lines) + "\n")


def delete_line(out: Path, draws: random.Random) -> None:
    curve = run_of(out, draws) / "metrics.jsonl"
    lines = curve.read_bytes().splitlines(keepends=True)
    del lines[draws.randrange(len(lines))]
    curve.write_bytes(b"".join(lines))


def delete_last_line_and_outcome(out: Path, draws: random.Random) -> None:
    run = run_of(out, draws)
    (run / "result.json").unlink()
    (run / "metrics.jsonl").write_bytes(b"".join((run / "metrics.jsonl").read_bytes().splitlines(keepends=True)[:-1]))


def swap_arms(out: Path, draws: random.Random) -> None:
    one, two = draws.sample(sorted((out / "runs").iterdir()), 2)
    swap(one, two)


def swap_seeds(out: Path, draws: random.Random) -> None:
    arm = draws.choice(sorted((out / "runs").iterdir()))
    swap(arm / "0", arm / "1")


def swap(one: Path, two: Path) -> None:
    aside = one.with_name("aside")
    one.rename(aside)
    two.rename(one)
    aside.rename(two)


def copy_seed(out: Path, draws: random.Random) -> None:
    arm = draws.choice(sorted((out / "runs").iterdir()))
    shutil.rmtree(arm / "1")
    shutil.copytree(arm / "0", arm / "1")


def copy_seed_file(out: Path, draws: random.Random, *, name: str) -> None:
    arm = draws.choice(sorted((out / "runs").iterdir()))
    shutil.copy(arm / "0" / name, arm / "1" / name)


def copy_arm_run(out: Path, draws: random.Random) -> None:
    shutil.rmtree(out / "runs" / "convex-1" / "0")
    shutil.copytree(out / "runs" / "baseline" / "0", out / "runs" / "convex-1" / "0")


def edit_result(out: Path, draws: random.Random, **changes: object) -> None:
    path = run_of(out, draws) / "result.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def checkpoint_of(work: Path) -> Path:
    """The folder of the run that was killed."""
    return next(work.glob("out/runs/*/2/checkpoint.safetensors")).parent


def checkpoint_moved(out: Path, draws: random.Random, seed: str) -> None:
    """A checkpoint with its curve, of another arm or another seed."""
    source = checkpoint_of(out.parent)
    arm = draws.choice([arm for arm in sorted((out / "runs").iterdir()) if arm != source.parent])
    target = (arm if seed == "2" else source.parent) / seed
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target)


def edit_study(out: Path, draws: random.Random, *, changes: dict[str, object], without: tuple[str, ...]) -> None:
    path = out / "study.yaml"
    fields = yaml.safe_load(path.read_text())
    record = fields["record"]
    fields["record"] = {name: value for name, value in record.items() if not _removed(name, without)}
    path.write_text(yaml.safe_dump(fields | changes, sort_keys=False, allow_unicode=True))


def _removed(name: str, without: tuple[str, ...]) -> bool:
    return name in without or ("others" in without and name not in RECORD)


STUDY_CHANGES: dict[str, dict[str, object]] = {
    "metric": {"metric": "seconds"},
    "confidence": {"confidence": 0.5},
    "margin": {"margin": 5.0},
    "margin null": {"margin": None},
    "name": {"name": "renamed"},
    "name with a path": {"name": "../outside/x"},
    "direction": {"direction": "higher"},
    "seeds fewer": {"seeds": [0, 1]},
    "seeds more": {"seeds": [0, 1, 2, 3]},
    "arms": {"alphas": [0.0, 0.5]},
    "control": {"control": False},
    "stop": {"stop": "decided", "max_seeds": 5},
    "settings": {"settings": {"pause": 0.1, "steps": 3}},
    "function": {"function": "os:system"},
}
WITHOUT = {
    "checksum kept": (),
    "checksum removed": ("checksum",),
    "checksum and id removed": ("checksum", "others"),
}
RESULTS: dict[str, dict[str, object]] = {
    "status diverged": {"status": "diverged"},
    "status crashed": {"status": "crashed"},
    "status stopped": {"status": "stopped"},
    "status unknown": {"status": "excellent"},
    "status list": {"status": ["complete"]},
    "reason": {"reason": "none of your business"},
    "step": {"step": 2},
    "step text": {"step": "six"},
    "seconds": {"seconds": -5},
    "seconds huge": {"seconds": 10**400},
    "curve null": {"curve": None},
    "curve number": {"curve": 7},
    "device": {"device": "cuda:9"},
    "nested": {"reason": {"a": [1] * 50}},
}
DAMAGES: dict[str, Callable[[bytes, random.Random], bytes]] = {
    "truncated": lambda content, draws: content[: draws.randrange(max(1, len(content)))],
    "empty": lambda content, draws: b"",
    "random": lambda content, draws: draws.randbytes(200),
    "a bit flipped": lambda content, draws: flipped(content, draws),
    "nested": lambda content, draws: b"[" * 20000,
    "NUL bytes": lambda content, draws: b"\0" * 64,
}
TREES: dict[str, Callable[[Path, random.Random], None]] = {
    "append a line": append_line,
    "edit a line": edit_line,
    "delete a line": delete_line,
    "delete the last line and the outcome": delete_last_line_and_outcome,
    "swap two arms": swap_arms,
    "swap two seeds": swap_seeds,
    "copy seed 0 over seed 1": copy_seed,
    "copy a baseline run over another arm's": copy_arm_run,
    **{f"copy {name} of seed 0": partial(copy_seed_file, name=name) for name in RUN_FILES[:2]},
    **{f"result.json: {name}": partial(edit_result, **changes) for name, changes in RESULTS.items()},
    "delete result.json": lambda out, draws: (run_of(out, draws) / "result.json").unlink(),
    "delete metrics.jsonl": lambda out, draws: (run_of(out, draws) / "metrics.jsonl").unlink(),
    "delete study.yaml": lambda out, draws: (out / "study.yaml").unlink(),
    **{
        f"study.yaml: {name}, {how}": partial(edit_study, changes=changes, without=without)
        for name, changes in STUDY_CHANGES.items()
        for how, without in WITHOUT.items()
    },
    "study.yaml: id removed": partial(edit_study, changes={}, without=("others",)),
    "study.yaml: digest of the code removed": partial(edit_study, changes={}, without=("code", "checksum")),
}


def flipped(content: bytes, draws: random.Random) -> bytes:
    place = draws.randrange(max(1, len(content)))
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :] if content else b""


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


def on_folder(change: Callable[[Path, random.Random], None], seed: float) -> Edit:
    return lambda arena: change(arena.out, random.Random(seed))


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
        if foreign := counted_values(arena.out) - known.values:
            arena.find("wrong verdict", f"table.csv counts {len(foreign)} values that were not measured", done)

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
        if done.code == 0 and (differ := differences(known.answer, answer(arena.out))):
            arena.find("wrong verdict" if "verdict.json" in differ else "wrong curve", ", ".join(differ), done)
        elif done.code != 0:
            kept(arena, known, state, done)

    return Trial(name, act)


def differences(expected: dict[str, object], found: dict[str, object]) -> list[str]:
    return sorted(name for name in {*expected, *found} if expected.get(name) != found.get(name))


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
    if verdict.is_file() and (done.code == 0) and (foreign := counted_values(arena.out) - known.values):
        arena.find("wrong verdict", f"table.csv counts {len(foreign)} values that were not measured", done)


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


# What stands where a file or folder should be.

PLACES = (
    *(".owner", ".lock", ".workers", ".watched", "status.json", "verdict.json", ".verdict.json.new", "table.csv"),
    *(".table.csv.new", "report.html", "curves.png", "study.yaml", "runs", "runs/baseline", "runs/baseline/0"),
    *("runs/baseline/0/metrics.jsonl", "runs/baseline/0/.metrics.jsonl.new", "runs/baseline/0/result.json"),
    *("runs/baseline/0/log.txt", "runs/baseline/0/checkpoint.new", "runs/baseline/0/checkpoint.safetensors"),
)


LINKS = ("a link to a file outside", "a link to a folder outside", "a dangling link")
WHATS = ("a folder", "a FIFO", "a link to itself", *LINKS)


def put(path: Path, what: str, outside: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
    if what == "a folder":
        path.mkdir()
        (path / "inner").write_text("inner\n")
    elif what == "a FIFO":
        os.mkfifo(path)
    elif what == "a link to a file outside":
        path.symlink_to(outside / "canary.txt")
    elif what == "a link to a folder outside":
        path.symlink_to(outside / "folder")
    elif what == "a dangling link":
        path.symlink_to(outside / "new")
    else:
        path.symlink_to(path.name)


def replaced() -> Iterator[Trial]:
    """Every file replaced by something else; `report` for all, `plot` where it writes."""
    for place in PLACES:
        for what in WHATS:

            def edit(arena: Arena, place=place, what=what) -> None:
                put(arena.out / place, what, arena.outside)

            yield reported(f"finished: {what} for {place}", "finished", edit)
    for place in (".owner", ".lock", ".workers", "status.json", "verdict.json", "runs/baseline", "runs/baseline/2",
                  "runs/baseline/2/metrics.jsonl", "runs/baseline/2/.metrics.jsonl.new", "runs/baseline/2/log.txt",
                  "runs/baseline/2/checkpoint.new"):  # fmt: skip
        for what in ("a FIFO", *LINKS):

            def edit(arena: Arena, place=place, what=what) -> None:
                put(arena.out / place, what, arena.outside)

            yield continued(f"half, plot: {what} for {place}", "half", edit)


def foreign() -> Iterator[Trial]:
    """Parts of another study with the same names."""

    def of_other(*places: str) -> Edit:
        def edit(arena: Arena) -> None:
            for place in places:
                source, target = templates(arena.tools).other / "out" / place, arena.out / place
                if source.is_dir():
                    shutil.rmtree(target, ignore_errors=True)
                    shutil.copytree(source, target)
                else:
                    shutil.copy(source, target)

        return edit

    def checkpoint(arena: Arena) -> None:
        target = checkpoint_of(arena.work)
        shutil.rmtree(target)
        shutil.copytree(checkpoint_of(templates(arena.tools).other_half), target)

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
            if done.code == 0 and (differ := differences(known.answer, answer(arena.out))):
                arena.find("wrong verdict" if "verdict.json" in differ else "wrong curve", ", ".join(differ), done)

        return act

    def other(arena: Arena, far: Path) -> None:
        shutil.rmtree(far)
        shutil.copytree(templates(arena.tools).other / "out", far)

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

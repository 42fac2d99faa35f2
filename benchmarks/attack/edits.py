"""Edits of a study's folder: of its runs, its study.yaml, and of what stands in place of its files."""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import yaml
from benchmarks.attack.study_copies import Edit

RUN_FILES = ("metrics.jsonl", "result.json", "log.txt")
RECORD = ("data_digest", "code", "extensions", "environment", "checksum")
"""What the record of study.yaml holds beside a study's id."""
FolderEdit = Callable[[Path, random.Random], None]


def run_of(out: Path, draws: random.Random) -> Path:
    return draws.choice([run for run in sorted(out.glob("runs/*/*")) if (run / "result.json").exists()])


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


def copy_over(source: Path, target: Path) -> None:
    """Replace a file or folder by a copy of another one."""
    if source.is_dir():
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(source, target)
    else:
        shutil.copy(source, target)


def copy_seed(out: Path, draws: random.Random) -> None:
    arm = draws.choice(sorted((out / "runs").iterdir()))
    copy_over(arm / "0", arm / "1")


def copy_seed_file(out: Path, draws: random.Random, *, name: str) -> None:
    arm = draws.choice(sorted((out / "runs").iterdir()))
    copy_over(arm / "0" / name, arm / "1" / name)


def copy_arm_run(out: Path, draws: random.Random) -> None:
    copy_over(out / "runs" / "baseline" / "0", out / "runs" / "convex-1" / "0")


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
    copy_over(source, (arm if seed == "2" else source.parent) / seed)


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
TREES: dict[str, FolderEdit] = {
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


def on_folder(change: FolderEdit, seed: float) -> Edit:
    return lambda arena: change(arena.out, random.Random(seed))


LINKS = ("a link to a file outside", "a link to a folder outside", "a dangling link")
WHATS = ("a folder", "a FIFO", "a link to itself", *LINKS)


def replacing(place: str, what: str) -> Edit:
    """Put something else in place of a file or folder of the study."""
    return lambda arena: put(arena.out / place, what, arena.outside)


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

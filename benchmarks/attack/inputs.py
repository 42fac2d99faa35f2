"""Nonsense in every field of a study file, every option of every command, and every file that a command reads."""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.attack import input_files, model_files
from benchmarks.attack.arena import Arena, Trial, installed
from benchmarks.attack.studies import TINY
from benchmarks.attack.study_copies import copied

BOMB = "".join(f"b{n}: &b{n} [{', '.join([f'*b{n - 1}'] * 9)}]\n" for n in range(1, 12))
VALUES = {
    "text": "nonsense",
    "empty text": "''",
    "list": "[1, 2]",
    "empty list": "[]",
    "list of lists": "[[1], [2]]",
    "mapping": "{a: 1}",
    "null": "null",
    "true": "true",
    "nan": ".nan",
    "inf": ".inf",
    "1e308": "1.0e+308",
    "5e-324": "5.0e-324",
    "-1": "-1",
    "0": "0",
    "0.5": "0.5",
    "10**9": "1000000000",
    "10**400": "1" + "0" * 400,
    "5000 digits": "9" * 5000,
    "lone surrogate": '"\\ud800"',
    "NUL": '"a\\0b"',
    "escape codes": '"\\e[2J\\a"',
    "a megabyte": '"' + "x" * 1_000_000 + '"',
    "list of 100 000": "[" + "1, " * 100_000 + "1]",
    "lists 3000 deep": "[" * 3000 + "]" * 3000,
    "mappings 300 deep": "{a: " * 300 + "1" + "}" * 300,
    "alias of itself": "&a [*a]",
    "binary": "!!binary aGVsbG8=",
    "set": "!!set {a, b}",
    "date": "2001-01-01",
    "sexagesimal": "190:20:30",
    "python tag": "!!python/object/apply:os.system ['touch MARKS/tag']",
    "os:system": "os:system",
    "a module": "'evil:train'",
    "a path": "../outside/canary.txt",
    "/dev/zero": "/dev/zero",
    "/dev/stdin": "/dev/stdin",
    "a FIFO": "fifo",
    "Greek": "δοκιμή",
    "leading dash": "'--help'",
    "expression": "'${HOME} $(touch MARKS/shell) `touch MARKS/shell` {{ 7 * 7 }}'",
}
WORDS = {
    **{name: value for name, value in VALUES.items() if len(value) < 100_000 and name not in ("NUL", "lone surrogate")},
    "text": "nonsense",
    "empty text": "",
    "escape codes": "\x1b[2J\a",
    "lone surrogate": "a\udcffb",
    "nan": "nan",
    "inf": "inf",
    "1e308": "1e308",
    "commas": ",,,",
    "=": "=",
    "assignment": "model.__class__=1",
    "long assignment": "a.b.c.d.e.f=[" + "[" * 500,
    "100 000 letters": "x" * 100_000,
    "a module": "evil:train",
    "python tag": "!!python/object/apply:os.system ['touch MARKS/tag']",
    "newline": "a\nb",
    "expression": "$(touch MARKS/shell)",
    "leading dash": "--help",
    "folder": ".",
}
FLAGS = {"--help", "--json", "--pilot", "--wait"}
SLOW = {"--epochs", "--seeds", "--repeats", "--members", "--batch-size", "--train-examples", "--set", "--threads"}
"""Options whose large values are valid, and then take long to train."""
MODEL = (
    *("name", "from", "config", "num_layers", "embedding_dim", "img_size", "kernel_size"),
    *("max_tokens", "word_vectors"),
)
COMMANDS: dict[str, tuple[str, ...]] = {
    "plan": ("plan", "study.yaml"),
    "plot": ("plot", "study.yaml", "--out", "new", "--epochs", "1", "--seeds", "1"),
    "report": ("report", "out"),
    "report --from": ("report", "--from", "out/table.csv", "--metric", "loss", "--direction", "lower", "--out", "new"),
    "audit": ("audit", "out"),
    "new": ("new", "new.yaml"),
    "schema": ("schema",),
    "list": ("list", "variants"),
    "train": ("train", "--task", "digits", "--epochs", "1", "--train-examples", "67", "--out", "new"),
    "finetune": ("finetune", "--from", "./nothing", "--task", "digits", "--out", "new"),
    "eval": ("eval", "nothing", "--task", "digits"),
    "bench": ("bench", "--repeats", "1", "--members", "1", "--variants", "convex", "--batch-size", "2"),
    "picture": ("picture", "--left", "a.png", "--right", "a.png", "--out", "new"),
    "watch": ("watch", "nothing"),
}
TRAINS = ("plot", "train", "finetune", "audit", "bench", "picture")
OUTPUTS = ("out", "new", "new.yaml", "new.schema.json", "study.schema.json", "crossnorm")


def trials(draws: random.Random, count: int) -> Iterator[Trial]:
    """All files, and so many of the fields and options that there are `count` trials in all."""
    files = [*study_files(), *input_files.trials(), *model_files.trials()]
    others = [*fields(), *options()]
    draws.shuffle(others)
    yield from files
    yield from others[: max(0, count - len(files))]


def setting(arena: Arena) -> None:
    """What the inputs name: a finished study, a canary module, a FIFO."""
    copied(arena, "finished")
    arena.outputs = OUTPUTS
    (arena.work / "evil.py").write_text(f"open({str(arena.marks / 'module')!r}, 'w')\n")
    os.mkfifo(arena.work / "fifo")


def planned(arena: Arena, content: bytes, *more: str) -> None:
    (arena.work / "study.yaml").write_bytes(content.replace(b"MARKS", os.fsencode(arena.marks)))
    arena.run("plan", "study.yaml", *more)


def fields() -> Iterator[Trial]:
    """Every field of the JSON schema with every value."""
    schema = json.loads(subprocess.run((*installed(), "schema"), capture_output=True, check=True).stdout)
    for path in sorted(field_paths(schema)):
        for name, value in VALUES.items():

            def act(arena: Arena, path=path, value=value) -> None:
                setting(arena)
                planned(arena, written(path, value).encode("utf-8", "surrogatepass"))

            yield Trial(f"field {path}: {name}", act)


def field_paths(schema: dict[str, Any]) -> set[str]:
    """Fields as ``epochs``, ``recipe.lr``, ``variants[].gain``; `model` and `settings` have no schema of their own."""
    found = set(schema["properties"]) | {"surplus", "studies", "common", "record"}
    for field, name in (("recipe", "Recipe"), ("alpha_schedule", "ScheduleSpec"), ("variants[]", "VariantSpec"),
                        ("arms[]", "ArmSpec")):  # fmt: skip
        definitions = schema["$defs"]
        matches = [part for key, part in definitions.items() if key.startswith(name[:6]) and "properties" in part]
        for part in matches:
            found |= {f"{field}.{inner}" for inner in part["properties"]}
    return found | {f"model.{inner}" for inner in MODEL}


def written(path: str, value: str) -> str:
    """A small study with one field of this value."""
    outer, _, inner = path.partition(".")
    name, listed = outer.removesuffix("[]"), outer.endswith("[]")
    entry = f"{{{inner}: {value}}}" if inner else value
    if listed:
        first = "" if inner == "name" else "name: convex, " if name == "variants" else "name: more, "
        entry = f"[{{{first}{inner}: {value}}}]"
    lines = [line for line in (TINY + "seeds: 2\n").splitlines() if not line.startswith(f"{name}:")]
    return "\n".join((*lines, f"{name}: {entry}", ""))


def options() -> Iterator[Trial]:
    """Every option of every command, and its arguments, with every word."""
    for name, base in COMMANDS.items():
        shown = subprocess.run((*installed(), base[0], "--help"), capture_output=True, check=True, text=True).stdout
        known = sorted({*re.findall(r"^  (--[a-z-]+)", shown, re.MULTILINE)} - FLAGS)
        for option in (*known, "the argument", "--surplus"):
            for kind, word in WORDS.items():

                def act(arena: Arena, base=base, option=option, word=word, name=name) -> None:
                    setting(arena)
                    word = word.replace("MARKS", str(arena.marks))
                    argv = (base[0], word, *base[2:]) if option == "the argument" else (*base, option, word)
                    (arena.work / "study.yaml").write_text(TINY + "seeds: 2\n")
                    if option in ("--out", "--mirror", "the argument"):  # which may be written
                        arena.outputs = (*OUTPUTS, word.partition("/")[0])
                    arena.online = option == "--from"  # a name on the hub is looked for there
                    patient = (name in TRAINS and option in SLOW) or name == "watch"
                    arena.run(*argv, patient=patient)

                yield Trial(f"{name} {option}: {kind}", act)


def study_files() -> Iterator[Trial]:
    """Whole study files that are none."""
    start = (TINY + "seeds: 2\n").encode()
    contents: dict[str, bytes] = {
        "empty": b"",
        "blank": b" \n\n",
        "BOM": b"\xef\xbb\xbf" + start,
        "UTF-16": start.decode().encode("utf-16"),
        "Latin-1": start + "name: é\n".encode("latin-1"),
        "NUL bytes": start + b"\0\0\0",
        "binary": bytes(range(256)) * 8,
        "a duplicate key": start + b"task: mnist1d\n",
        "a list": b"- task: digits\n",
        "a number": b"7\n",
        "two documents": start + b"---\n" + start,
        "aliases bomb": b"b0: &b0 [x]\n" + BOMB.encode() + start,
        "aliases bomb in a field": b"settings: {}\n" + start + b"arms: *b\n",
        "merge keys": b"a: &a {task: digits}\n<<: *a\n",
        "tabs": b"task:\tdigits\n\tseeds: 2\n",
        "Windows lines": start.replace(b"\n", b"\r\n"),
        "10 MB of comments": b"# comment\n" * 1_000_000 + start,
        "100 000 arms": start + b"arms:\n" + b"".join(b"- {name: a%d}\n" % n for n in range(100_000)),
        "a python object": b"!!python/object/apply:os.system ['touch MARKS/object']\n",
        "a python name": b"task: !!python/name:os.system\n",
        "no colon": b"task digits\n",
        "keys that are numbers": start + b"1: 2\n",
        "keys that are lists": start + b"? [a, b]\n: c\n",
        "the key __class__": start + b"__class__: x\n",
        "arms of one name": start + b"arms: [{name: a}, {name: a}]\n",
        "an arm baseline": start + b"arms: [{name: baseline, lr: 1}]\n",
        "an arm with a path": start + b"arms: [{name: ../../x, lr: 1}, {name: /etc, lr: 2}, {name: .., lr: 3}]\n",
        "an arm of 300 letters": start + b"arms: [{name: " + b"n" * 300 + b"}]\n",
        "arms that control each other": start + b"arms: [{name: a, control: b}, {name: b, control: a}]\n",
        "a suite": b"studies: [quick, quick]\n",
        "a suite of itself": b"studies: [study.yaml]\n",
        "the schema": b"$schema: x\n" + start,
    }
    for name, content in contents.items():

        def act(arena: Arena, content=content) -> None:
            setting(arena)
            planned(arena, content)

        yield Trial(f"study file: {name}", act)
    places: dict[str, Callable[[Path], None]] = {
        "a folder": Path.mkdir,
        "a FIFO": os.mkfifo,
        "a link to itself": lambda path: path.symlink_to(path.name),
        "a link to /dev/zero": lambda path: path.symlink_to("/dev/zero"),
        "a link to /dev/null": lambda path: path.symlink_to("/dev/null"),
        "a link to /dev/full": lambda path: path.symlink_to("/dev/full"),
        "a link to /proc/self/mem": lambda path: path.symlink_to("/proc/self/mem"),
        "missing": lambda path: None,
    }
    for name, make in places.items():
        for command in ("plan", "plot", "new --from"):

            def act(arena: Arena, make=make, command=command) -> None:
                setting(arena)
                (arena.work / "study.yaml").unlink()
                make(arena.work / "study.yaml")
                if command == "new --from":
                    arena.run("new", "new.yaml", "--from", "study.yaml")
                else:
                    arena.run(command, "study.yaml")

            yield Trial(f"study file, {command}: {name}", act)

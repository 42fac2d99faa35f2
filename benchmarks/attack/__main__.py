"""Attack crossnorm and write down what was found: ``python -m benchmarks.attack --help``."""

from __future__ import annotations

import argparse
import json
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.attack import environments, inputs, kills, page, tampering
from benchmarks.attack.arena import ForkServer, Network, Tools, Trial, conduct, remove
from benchmarks.attack.table import write_table

Family = Callable[[random.Random, argparse.Namespace], Iterable[Trial]]
FAMILIES: dict[str, Family] = {
    "kills": lambda draws, given: kills.trials(draws, given.kills),
    "tampering": lambda draws, given: tampering.trials(draws),
    "inputs": lambda draws, given: inputs.trials(draws, given.inputs),
    "environments": lambda draws, given: environments.trials(draws),
    "page": lambda draws, given: page.trials(draws),
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.attack", description=__doc__.partition("\n")[0])
    parser.add_argument("--of", nargs="+", choices=FAMILIES, default=list(FAMILIES), metavar="FAMILY")
    parser.add_argument("--kills", type=int, default=225, help="Kills in all.")
    parser.add_argument("--inputs", type=int, default=700, help="Inputs in all; the list is longer.")
    parser.add_argument("--only", default="", help="Trials whose name contains this text.")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("attack"), help="Goes on with what this folder holds.")
    given = parser.parse_args()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell starts background jobs without it
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is ended
    given.out.mkdir(parents=True, exist_ok=True)
    log = given.out / "trials.jsonl"
    with tempfile.TemporaryDirectory(prefix="crossnorm-attack-") as scratch:
        Path(scratch).chmod(0o755)  # some trials run as another user
        tools = Tools(Path(scratch), ForkServer(), Network())
        tools.cache.mkdir()
        tools.cache.chmod(0o777)
        try:
            for family in given.of:
                attack(tools, family, FAMILIES[family](random.Random(f"{given.seed} {family}"), given), log, given.only)
        finally:
            tools.server.close()
            remove(tools.scratch / "trial")
    entries = stored(log)
    write_table(given.out, entries, seed=given.seed)
    raise SystemExit(any(entry["findings"] for entry in entries))


def attack(tools: Tools, family: str, trials: Iterable[Trial], log: Path, only: str) -> None:
    """Carry out the trials of a family that the log does not hold, and add them to it."""
    known = {entry["trial"] for entry in stored(log) if entry["family"] == family}
    todo = [trial for trial in trials if trial.name not in known and only in trial.name]
    findings: list[dict[str, Any]] = []
    for trial in bar(family, todo, findings):
        started = time.monotonic()
        try:
            found, counts = conduct(tools, trial)
        except Exception as error:
            found, counts = [{"what": "the trial failed", "detail": f"{type(error).__name__}: {error}"[:600]}], {}
        findings += found
        entry = {"family": family, "trial": trial.name, "seconds": round(time.monotonic() - started, 1)}
        with log.open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry | {"counts": counts, "findings": found}, ensure_ascii=False) + "\n")


def bar(family: str, trials: list[Trial], findings: list[dict[str, Any]]) -> Iterator[Trial]:
    """The trials, with a line about them on the error stream."""
    started = time.monotonic()
    for number, trial in enumerate(trials):
        so_far = f"{number}/{len(trials)}, {len(findings)} findings, {time.monotonic() - started:.0f} s"
        line = f"{family} {so_far}: {trial.name}"
        print(f"\r\x1b[K{line[:118]}", end="", file=sys.stderr, flush=True)
        yield trial
    print(f"\r\x1b[K{family}: {len(trials)} trials, {len(findings)} findings", file=sys.stderr)


def stored(log: Path) -> list[dict[str, Any]]:
    if not log.exists():
        return []
    return [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines() if line.endswith("}")]


if __name__ == "__main__":
    main()

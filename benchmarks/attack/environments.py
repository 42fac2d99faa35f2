"""Hostile surroundings: few files, no disk, no home, other encodings, closed streams, modules in the way."""

from __future__ import annotations

import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.attack.arena import Arena, Trial, installed, without_privileges
from benchmarks.attack.kills import compare, ended, start
from benchmarks.attack.studies import ONE_RUN, TINY, Case, answer, plotted
from benchmarks.attack.study_copies import copied, undisturbed
from tests.study.fault_cases import progress, wait_until

MODULES = (
    *("yaml", "pydantic", "numpy", "torch", "typer", "rich", "json", "matplotlib", "jinja2", "sitecustomize", "scipy"),
    *("usercustomize", "crossnorm", "safetensors", "transformers", "pandas", "fsspec", "plotly", "filelock", "random"),
)
ULIMITS = {
    "64 files": "-n 64",
    "16 files": "-n 16",
    "files of 1 KiB": "-f 1",
    "files of 200 KiB": "-f 200",
    "1 GB of memory": "-v 1000000",
}
REPORT = ("report", "out")
PLAN = ("plan", "study.yaml", "--import", "slow")


def trials(draws: random.Random) -> Iterator[Trial]:
    yield from variables()
    yield from limits()
    yield from streams()
    yield from folders()
    yield from modules()
    yield from threads()


def on_template(name: str, act: Callable[[Arena], None], state: str = "finished") -> Trial:
    def whole(arena: Arena) -> None:
        copied(arena, state)
        act(arena)

    return Trial(name, whole)


def goes_on(arena: Arena, **more: object) -> None:
    """`plot` of the half-done study: whatever happens, plotting again without the disturbance gives the answer."""
    known = copied(arena, "half")
    arena.whole(*plotted(), **more)  # type: ignore[arg-type]
    done = arena.whole(*plotted(), allowed=(0,))
    undisturbed(arena, known, done)


def variables() -> Iterator[Trial]:
    """Variables of the environment."""
    cases: dict[str, dict[str, str | None]] = {
        "HOME unset": {"HOME": None, "XDG_CACHE_HOME": None, "MPLCONFIGDIR": None, "HF_HOME": None},
        "HOME of a file": {"HOME": "/dev/null", "XDG_CACHE_HOME": None, "MPLCONFIGDIR": None},
        "HOME missing": {"HOME": "/nonexistent", "XDG_CACHE_HOME": None, "MPLCONFIGDIR": None},
        "cache in a file": {"XDG_CACHE_HOME": "/dev/null"},
        "TMPDIR missing": {"TMPDIR": "/nonexistent"},
        "LANG=C": {"LANG": "C", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        "ASCII output": {"PYTHONIOENCODING": "ascii:strict", "PYTHONUTF8": "0"},
        "COLUMNS=1": {"COLUMNS": "1", "LINES": "1"},
        "COLUMNS=nonsense": {"COLUMNS": "nonsense"},
        "TERM=dumb": {"TERM": "dumb", "NO_COLOR": "1"},
        "colors forced": {"FORCE_COLOR": "1", "TERM": "xterm-256color"},
        "no PATH": {"PATH": None},
        "empty PATH": {"PATH": ""},
        "PYTHONSAFEPATH": {"PYTHONSAFEPATH": "1"},
        "PYTHONOPTIMIZE": {"PYTHONOPTIMIZE": "2"},
        "PYTHONWARNINGS": {"PYTHONWARNINGS": "error"},
        "TZ": {"TZ": "Nowhere/Nothing"},
        "MPLBACKEND": {"MPLBACKEND": "nonsense"},
        "CUDA_VISIBLE_DEVICES": {"CUDA_VISIBLE_DEVICES": "nonsense"},
        "OMP_NUM_THREADS": {"OMP_NUM_THREADS": "nonsense"},
    }
    for name, env in cases.items():
        yield on_template(f"report, {name}", lambda arena, env=env: _reported(arena, env))
    for name in ("HOME missing", "TMPDIR missing", "LANG=C", "no PATH", "PYTHONSAFEPATH", "MPLBACKEND"):
        yield Trial(f"plot, {name}", lambda arena, env=cases[name]: goes_on(arena, env=env))

    def greek(arena: Arena) -> None:
        (arena.work / "μελέτη.yaml").write_text((arena.work / "study.yaml").read_text() + "name: μελέτη α\n", "utf-8")
        (arena.work / "διπλό").mkdir()
        arena.outputs = ("διπλό", "crossnorm")
        arena.whole("plan", "μελέτη.yaml", "--import", "slow", "--out", "διπλό/x", env=cases["LANG=C"])

    yield on_template("plan, LANG=C, Greek names", greek)


def _reported(arena: Arena, env: dict[str, str | None]) -> None:
    expected = (arena.out / "verdict.json").read_bytes()
    done = arena.whole(*REPORT, env=env)
    if (arena.out / "verdict.json").read_bytes() != expected:
        arena.find("wrong verdict", "verdict.json has changed", done)


def limits() -> Iterator[Trial]:
    """Limits of the shell's ulimit, and full disks."""
    for name, option in ULIMITS.items():
        program = ("bash", "-c", f'ulimit {option}; exec "$@"', "bash", *installed())
        yield on_template(f"report, {name}", lambda arena, program=program: _limited(arena, program))
        if option != "-v 1000000":
            yield Trial(f"plot, {name}", lambda arena, program=program: goes_on(arena, program=program))
    for size in ("64k", "1m", "3m"):

        def small(arena: Arena, size=size) -> None:
            known = copied(arena, "half")
            if not _mounted(arena.out, size):
                arena.counts["skipped: cannot mount"] = 1
                return
            try:
                done = arena.whole(*plotted(), seconds=120)
                if done.code == 0:
                    undisturbed(arena, known, done)
            finally:
                subprocess.run(("umount", str(arena.out)), check=True)

        yield Trial(f"plot, a disk of {size}", small)


def _limited(arena: Arena, program: tuple[str, ...]) -> None:
    expected = (arena.out / "verdict.json").read_bytes()
    done = arena.whole(*REPORT, program=program)
    if (arena.out / "verdict.json").read_bytes() != expected:
        arena.find("wrong verdict", "verdict.json has changed", done)


def _mounted(folder: Path, size: str) -> bool:
    shutil.rmtree(folder)
    folder.mkdir()
    return (
        subprocess.run(
            ("mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)), capture_output=True
        ).returncode
        == 0
    )


def streams() -> Iterator[Trial]:
    """Closed and full outputs."""
    shells = {
        "stdout full": '"$@" >/dev/full',
        "stdout full, --json": '"$@" --json >/dev/full',
        "stderr full": '"$@" 2>/dev/full',
        "stdout closed": '"$@" >&-',
        "stderr closed": '"$@" 2>&-',
        "both closed": '"$@" >&- 2>&-',
        "all closed": '"$@" <&- >&- 2>&-',
        "stdin closed": '"$@" <&-',
        "a pipe that nobody reads": '"$@" | true; exit ${PIPESTATUS[0]}',
        "a pipe that nobody reads, --json": '"$@" --json | head -c 1; exit ${PIPESTATUS[0]}',
    }
    for name, shell in shells.items():
        for command in (REPORT, PLAN, ("list", "tasks")):

            def act(arena: Arena, shell=shell, command=command) -> None:
                before = answer(arena.out)
                done = arena.whole(*command, program=("bash", "-c", shell, "bash", *installed()),
                                   allowed=(0, 1, 2, 3, 130, 141))  # fmt: skip
                if done.code == 141 or "closed" in shell or "full" in shell or "&-" in shell:
                    excuse_silence(arena)
                if answer(arena.out) != before:
                    arena.find("wrong verdict", "the study's files have changed", done)

            yield on_template(f"{command[0]}, {name}", act)
    yield Trial("plot, both closed", lambda arena: goes_on(
        arena, program=("bash", "-c", '"$@" >&- 2>&-', "bash", *installed())))  # fmt: skip

    def full(arena: Arena) -> None:
        goes_on(arena, program=("bash", "-c", '"$@" 2>/dev/full', "bash", *installed()))
        excuse_silence(arena)

    yield Trial("plot, stderr full", full)


def excuse_silence(arena: Arena) -> None:
    """Where nothing can be printed, a message is not missed."""
    arena.found = [finding for finding in arena.found if finding["what"] != "no message"]


def folders() -> Iterator[Trial]:
    """Working directories that are gone, or cannot be written."""

    def gone(arena: Arena, *command: str) -> None:
        program = ("bash", "-c", 'mkdir gone; cd gone; rmdir ../gone; exec "$@"', "bash", *installed())
        arena.whole(*command, program=program)

    commands: tuple[tuple[str, ...], ...] = (
        *(("list", "tasks"), ("schema",), ("new", "x.yaml"), REPORT),
        *(("plan", "quick"), ("plan", "evil:train", "--metric", "a", "--direction", "lower")),
        ("plot", "quick", "--epochs", "1"),
    )
    for command in commands:
        name = f"{' '.join(command[:2])}, the working directory is gone"
        yield on_template(name, lambda arena, command=command: gone(arena, *command))

    def forbidden(arena: Arena, *command: str) -> None:
        before = without_privileges()
        if before is None:
            arena.counts["skipped: no setpriv"] = 1
            return
        arena.work.chmod(0o555)
        arena.out.chmod(0o555)
        arena.whole(*command, program=(*before, *installed()))
        arena.out.chmod(0o755)
        arena.work.chmod(0o755)

    for command in (REPORT, plotted(), ("new", "x.yaml"), ("train", *ONE_RUN), PLAN):
        name = f"{command[0]}, a folder that cannot be written"
        yield on_template(name, lambda arena, command=command: forbidden(arena, *command))


def modules() -> Iterator[Trial]:
    """Modules in the working directory that the command must not import."""
    commands = {
        "report": REPORT,
        "list": ("list", "variants"),
        "plan": ("plan", "tiny.yaml"),
        "plot": ("plot", "tiny.yaml", "--out", "new", "--epochs", "1"),
        "train": ("train", *ONE_RUN[:-2], "--out", "new"),
        "plan --import": PLAN,
        "plot --import": plotted(),
    }
    ways: dict[str, tuple[tuple[str, ...], dict[str, str | None]]] = {
        "": ((), {}),
        ", PYTHONSAFEPATH": ((), {"PYTHONSAFEPATH": "1"}),
        ", python -P -m": ((sys.executable, "-P", "-m", "crossnorm"), {}),
    }
    for way, (program, env) in ways.items():
        for name, command in commands.items():

            def act(arena: Arena, command=command, program=program, env=env) -> None:
                canaries(arena)
                (arena.work / "tiny.yaml").write_text(TINY + "seeds: 1\n")
                arena.outputs = ("out", "new")
                arena.whole(*command, program=program, env=env)

            yield on_template(
                f"{name}, modules in the way{way}", act, "half" if name == "plot --import" else "finished"
            )


def canaries(arena: Arena) -> None:
    """Files named as libraries and their settings; each leaves a mark when it runs."""
    for name in MODULES:
        mark = str(arena.marks / name)
        (arena.work / f"{name}.py").write_text(f"open({mark!r}, 'w')\nraise ImportError('the wrong {name}')\n")
    (arena.work / "matplotlibrc").write_text("backend: module://mplevil\nfont.size: 90\n")
    (arena.work / "mplevil.py").write_text(f"open({str(arena.marks / 'matplotlibrc')!r}, 'w')\n")
    (arena.work / ".env").write_text("PYTHONPATH=/nonexistent\n")
    (arena.work / "pyproject.toml").write_text("[tool.crossnorm]\nseeds = 9\n")


def threads() -> Iterator[Trial]:
    """A single run that goes on from a checkpoint keeps its number of threads, on which its bits depend."""
    case = Case("train", ("train", *ONE_RUN))

    def act(arena: Arena, first: str, second: str) -> None:
        whole = {threads: _whole_run(arena, threads) for threads in (first, second)}
        before = progress(arena.work)
        process, log = start(arena, case, {"OMP_NUM_THREADS": first})
        wait_until(lambda: progress(arena.work) != before or process.poll() is not None, 60)
        time.sleep(0.5)
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            process.wait(60)
            arena.judge(ended(case, process.returncode, log))
        goes_on = any(arena.out.glob("runs/*/*/checkpoint.*"))
        arena.whole(*case.argv, env={"OMP_NUM_THREADS": second}, allowed=(0,))
        compare(arena, whole[first if goes_on else second], f"{first} threads, then {second}")

    yield Trial("train, OMP_NUM_THREADS 1, then 4", lambda arena: act(arena, "1", "4"))
    yield Trial("train, OMP_NUM_THREADS 4, then 1", lambda arena: act(arena, "4", "1"))


def _whole_run(arena: Arena, threads: str) -> dict[str, object]:
    arena.whole("train", *ONE_RUN, env={"OMP_NUM_THREADS": threads}, allowed=(0,))
    found = answer(arena.out)
    shutil.rmtree(arena.out)
    return found

"""Run commands of crossnorm in forks of one process that has imported everything: each costs no time to start.

Reads one request a line (JSON: argv or python, cwd, env, out, err, seconds, limits) and answers ``{"code": …}``;
the code is null if the command was killed because its time was up.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import json
import os
import resource
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any

WARM_UP = (
    ("plan", "quick"),
    ("report", "--from", "runs.csv", "--metric", "loss", "--direction", "lower", "--out", "out"),
    ("picture", "--left", "a.png", "--right", "a.png", "--out", "out"),
    ("plan", "trec.yaml"),
    ("eval", "nothing.safetensors", "--task", "digits"),
)
"""Commands whose modules are imported before the first request; those that fail import what they reach."""
TABLE = "arm,seed,step,loss\nbaseline,0,0,1\nbaseline,1,0,2\nb,0,0,2\nb,1,0,1\n"
STUDY = "task: trec\ndata: nothing\nmodel: {from: nothing}\n"


def preload() -> None:
    """Import what the warm-up's commands import in forks: only forks use torch, whose threads do not survive one."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "runs.csv").write_text(TABLE)
        (Path(folder) / "trec.yaml").write_text(STUDY)
        for argv in WARM_UP:
            names = Path(folder) / "modules"
            request = {"argv": argv, "cwd": folder, "env": dict(os.environ), "out": os.devnull, "err": os.devnull}
            pid = os.fork()
            if pid == 0:
                become(request | {"limits": {}})
                carried_out(request | {"python": ""})
                names.write_text("\n".join(sys.modules))
                os._exit(0)
            ended(pid, 300)
            for name in names.read_text().splitlines():
                with contextlib.suppress(Exception):
                    importlib.import_module(name)


def become(request: dict[str, Any]) -> None:
    """Turn this fork into the command's process."""
    os.setsid()
    os.chdir(request["cwd"])
    for number, name, flags in (
        (0, os.devnull, os.O_RDONLY),
        (1, request["out"], os.O_WRONLY | os.O_CREAT | os.O_APPEND),
        (2, request["err"], os.O_WRONLY | os.O_CREAT | os.O_APPEND),
    ):
        handle = os.open(name, flags, 0o666)
        os.dup2(handle, number)
    os.environ.clear()
    os.environ.update(request["env"])
    for name, value in request["limits"].items():
        resource.setrlimit(getattr(resource, name), (value, value))
    sys.argv = [str(Path(sys.executable).with_name("crossnorm")), *request["argv"]]
    sys.path[0] = str(Path(sys.executable).parent)  # as for an installed script
    sys.stdin = open(0)  # noqa: SIM115


def carried_out(request: dict[str, Any]) -> int:
    """Run the command, or the program; the exit code, as Python gives it."""
    try:
        if request["python"]:
            exec(request["python"], {"__name__": "__main__"})
        else:
            from crossnorm.cli import main as command

            command()
    except SystemExit as error:
        if error.code is not None and not isinstance(error.code, int):
            print(error.code, file=sys.stderr)
            return 1
        return error.code or 0
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def end(code: int) -> None:
    """Leave without taking apart all that was imported, which would copy this process's memory."""
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(ValueError, OSError):
            stream.flush()
    os._exit(code & 0xFF)


def ended(pid: int, seconds: float) -> int | None:
    """The exit code (negative: a signal), or None after killing the command and all that it has started."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.004)
    os.killpg(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return None


def main() -> None:
    preload()
    gc.collect()
    gc.freeze()  # collecting in a fork would copy it, too
    answers = os.fdopen(os.dup(1), "w")
    for line in sys.stdin:
        request = json.loads(line)
        pid = os.fork()
        if pid == 0:
            answers.close()
            become(request)
            end(carried_out(request))
        print(json.dumps({"code": ended(pid, request["seconds"])}), file=answers, flush=True)
    os._exit(0)  # see `end`


if __name__ == "__main__":
    main()

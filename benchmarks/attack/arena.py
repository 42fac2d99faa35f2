"""One trial's scratch directory: runs commands in it, and finds what must never happen."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ALLOWED = (0, 1, 2, 3, 130)
SECONDS = 30.0
MEMORY = 8 << 30
"""Address space of a command: an input that exhausts the memory must not take the machine's."""
LARGEST = 1 << 30
"""Bytes of a file that a command writes: one that copies /dev/zero must not fill the disk."""
OWN = ("__pycache__", ".cache", ".config", ".local")
"""Folders that Python, and libraries with a cache, may write anywhere."""


@dataclass(frozen=True)
class Trial:
    """One attempt: a name, unique in its family, and what is done in an arena."""

    name: str
    act: Callable[[Arena], None]


@dataclass(frozen=True)
class Done:
    """A command that has ended. `code` is negative after a signal, and None if its time was up."""

    argv: tuple[str, ...]
    code: int | None
    out: str
    err: str


class ForkServer:
    """Commands in forks of a process that has imported everything, see `fork_server`; one at a time."""

    def __init__(self) -> None:
        environment = os.environ | {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.attack.fork_server"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )

    def run(self, **request: Any) -> int | None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())["code"]

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


class Network:
    """The proxy that every command is told to use: counts requests and answers none."""

    def __init__(self) -> None:
        self.calls = 0
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            caller, _ = self._socket.accept()
            self.calls += 1
            caller.close()


@dataclass
class Tools:
    """What the arenas of a call share."""

    scratch: Path
    server: ForkServer
    network: Network

    @property
    def cache(self) -> Path:
        return self.scratch / "cache"


@dataclass
class Arena:
    """`work` is the working directory, `out` the study's folder in it; `home` and `outside` hold canaries.

    Attributes:
        found: Findings so far, as dictionaries.
        counts: Numbers for the table, such as kills.
        outputs: Names in `work` that commands may write; anything else counts as touched.
    """

    tools: Tools
    root: Path
    found: list[dict[str, Any]] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    outputs: tuple[str, ...] = ("out",)
    online: bool = False

    def __post_init__(self) -> None:
        for folder in (self.work, self.home, self.outside / "folder", self.marks):
            folder.mkdir(parents=True)
        for path in (self.home / "notes.txt", self.outside / "canary.txt", self.outside / "folder" / "inner.txt"):
            path.write_text("canary\n")
        (self.outside / "verdict.json").write_text('{"canary": true}\n')

    @property
    def work(self) -> Path:
        return self.root / "work"

    @property
    def out(self) -> Path:
        return self.work / "out"

    @property
    def home(self) -> Path:
        return self.root / "home"

    @property
    def outside(self) -> Path:
        return self.root / "outside"

    @property
    def marks(self) -> Path:
        """Where code that must not run would leave a file."""
        return self.root / "marks"

    def find(self, what: str, detail: str = "", done: Done | None = None) -> None:
        """Record a finding; the same one of a command only once."""
        lines = [] if done is None else done.err.strip().splitlines()[-6:]
        command = None if done is None else " ".join(word[:200] for word in done.argv)
        self.found.append(
            {"what": what, "detail": detail[:600], "command": command}
            | {"exit": None if done is None else done.code, "stderr": [line[:300] for line in lines]}
        )

    def environment(self, changes: Mapping[str, str | None] | None = None) -> dict[str, str]:
        proxy = dict.fromkeys(("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY"), self.tools.network.address)
        base = {"HOME": str(self.home), "XDG_CACHE_HOME": str(self.tools.cache), "NO_PROXY": "localhost"}
        base |= {"MPLCONFIGDIR": str(self.tools.cache / "matplotlib"), "HF_HOME": str(self.tools.cache / "hf")}
        base |= {name: os.environ[name] for name in ("PATH", "PYTHONPATH", "LANG", "VIRTUAL_ENV") if name in os.environ}
        changed: dict[str, str | None] = {**base, **proxy, "PYTHONDONTWRITEBYTECODE": "1", **(changes or {})}
        return {name: value for name, value in changed.items() if value is not None}

    def run(
        self,
        *argv: object,
        env: Mapping[str, str | None] | None = None,
        seconds: float = SECONDS,
        limits: Mapping[str, int] | None = None,
        allowed: Iterable[int] = ALLOWED,
        patient: bool = False,
        python: str = "",
    ) -> Done:
        """Run one command in a fork, and judge how it ended.

        Args:
            argv: The command's words.
            python: A program to run instead.
            env: Changes to the environment; None removes a variable.
            seconds: When it counts as hanging and is killed.
            limits: Names of `resource` limits, and their values.
            allowed: Exit codes that are no finding.
            patient: Whether running out of time is expected.
        """
        words = tuple(map(str, argv)) or (python,)
        before, calls = self.state(), self.tools.network.calls
        files = [self.root / "stdout", self.root / "stderr"]
        for file in files:
            file.write_bytes(b"")
            file.chmod(0o666)
        code = self.tools.server.run(
            argv=words,
            python=python,
            cwd=str(self.work),
            env=self.environment(env),
            out=str(files[0]),
            err=str(files[1]),
            seconds=seconds,
            limits={"RLIMIT_AS": MEMORY, "RLIMIT_FSIZE": LARGEST, **(limits or {})},
        )
        out, err = (file.read_text(encoding="utf-8", errors="replace") for file in files)
        done = Done(words, code, out, err)
        self.judge(done, allowed, patient)
        self.untouched(before, done)
        if self.tools.network.calls > calls and not self.online:
            self.find("network", f"{self.tools.network.calls - calls} connections", done)
        return done

    def whole(
        self,
        *argv: object,
        env: Mapping[str, str | None] | None = None,
        seconds: float = 90.0,
        allowed: Iterable[int] = ALLOWED,
        program: tuple[str, ...] = (),
        cwd: Path | None = None,
        **streams: Any,
    ) -> Done:
        """The same in a process of its own, as a person starts it."""
        words, before = (*(program or installed()), *map(str, argv)), self.state()
        process = subprocess.Popen(
            words,
            cwd=cwd or self.work,
            env=self.environment(env),
            start_new_session=True,
            **{"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **streams},
        )
        code: int | None
        try:
            out, err = process.communicate(timeout=seconds)
            code = process.returncode
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            out, err = process.communicate()
            code = None
        done = Done(words, code, *((text or b"").decode(errors="replace") for text in (out, err)))
        self.judge(done, allowed)
        self.untouched(before, done)
        return done

    def judge(self, done: Done, allowed: Iterable[int] = ALLOWED, patient: bool = False) -> None:
        """Find a hang, a traceback, an exit code that is not documented, and an error without a message."""
        if done.code is None:
            if not patient:
                self.find("hang", done=done)
            return
        if "Traceback" in done.err:
            self.find("traceback", done.err.strip().splitlines()[-1], done)
        if done.code not in allowed:
            self.find("exit code", str(done.code), done)
        elif done.code in (1, 2) and not (done.err + done.out).strip():
            self.find("no message", "", done)
        if ran := sorted(path.name for path in self.marks.iterdir()):
            self.find("code run", ", ".join(ran), done)
            for name in ran:
                (self.marks / name).unlink()

    def state(self) -> dict[str, tuple]:
        """Everything in the scratch directory that no command may touch."""
        ours = {self.work / name for name in self.outputs} | {self.root / "stdout", self.root / "stderr", self.marks}
        return {str(path.relative_to(self.root)): _facts(path) for path in _walk(self.root, ours)}

    def untouched(self, before: Mapping[str, tuple], done: Done) -> None:
        """Find files outside the study's folder that have been changed, added or removed since."""
        now = self.state()
        changed = sorted(path for path in {*before, *now} if before.get(path) != now.get(path))
        if changed:
            self.find("file touched", ", ".join(changed[:6]), done)


def installed() -> tuple[str, ...]:
    """The installed command."""
    script = Path(sys.executable).with_name("crossnorm")
    return (str(script),) if script.exists() else (sys.executable, "-m", "crossnorm")


def without_privileges() -> tuple[str, ...] | None:
    """What to put before a command so that permissions hold for root, too; None if that cannot be done."""
    if os.getuid() != 0:
        return ()
    if shutil.which("setpriv") is None:
        return None
    return ("setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-dac_override,-dac_read_search")


def confined(folder: Path) -> tuple[str, ...] | None:
    """What to put before a command so that it can write only below a folder; None if that cannot be done."""
    if os.getuid() != 0 or shutil.which("unshare") is None:
        return None
    mounts = 'mount --make-rprivate / && mount --bind "$0" "$0" && mount -o remount,bind,ro / && cd "$PWD"'
    return ("unshare", "-m", "bash", "-c", f'{mounts} && ulimit -f 1024 && exec "$@"', str(folder))


def _walk(folder: Path, without: set[Path]) -> Iterable[Path]:
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        path = Path(entry.path)
        if path in without or entry.name in OWN:
            continue
        yield path
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(path, without)


def _facts(path: Path) -> tuple:
    found = path.lstat()
    if stat.S_ISLNK(found.st_mode):
        return ("link", str(path.readlink()))
    if stat.S_ISDIR(found.st_mode):
        return ("folder", found.st_mode)
    if not stat.S_ISREG(found.st_mode):
        return ("special", found.st_mode)
    content = hashlib.sha256(path.read_bytes()).hexdigest() if found.st_size < 1 << 22 else ""
    return ("file", found.st_mode, found.st_mtime_ns, found.st_size, content)


def conduct(tools: Tools, trial: Trial) -> tuple[list[dict[str, Any]], dict[str, int]]:
    """Carry out one trial in a new arena; its findings and counts."""
    root = tools.scratch / "trial"
    remove(root)
    arena = Arena(tools, root)
    try:
        trial.act(arena)
    finally:
        remove(root)
    return arena.found, arena.counts


def remove(folder: Path) -> None:
    """Remove a folder, also one whose permissions were taken away."""
    if folder.exists():
        for path, folders, _ in os.walk(folder):
            for name in folders:
                if not (Path(path) / name).is_symlink():
                    (Path(path) / name).chmod(0o755)
        shutil.rmtree(folder)

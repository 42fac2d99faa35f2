"""Requests to the live page of `watch`: it answers only whom it should, and goes on whatever it is sent."""

from __future__ import annotations

import http.client
import os
import random
import re
import signal
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from benchmarks.attack.arena import Arena, Done, Trial, installed
from benchmarks.attack.edits import TREES, on_folder, replacing
from benchmarks.attack.study_copies import copied

FILES = (b"root:x:", b": baseline, seed 0, started")
"""What only stands in files that are not served: /etc/passwd, log.txt. The page itself shows study.yaml."""
LOCAL = ("localhost", "127.0.0.1", "127.0.0.1:{port}", "localhost:{port}", "[::1]", "127.8.8.8")
FOREIGN = (
    *("evil.example", "evil.example:{port}", "127.0.0.1.evil.example", "localhost.evil.example", "LOCALHOST.EVIL"),
    *("user@evil.example", "localhost@evil.example", "evil.example@localhost:80@evil.example", "[evil.example]"),
    *("127.0.0.1 evil.example", "127.0.0.1,evil.example", "xn--localhost", "ⓛocalhost"),
    *("0.0.0.0", "8.8.8.8", "[::ffff:8.8.8.8]", "", " ", "2130706433", "0x7f000001", "127.1"),
)
PATHS = (
    *("/../study.yaml", "/..%2fstudy.yaml", "/%2e%2e/study.yaml", "/study.yaml", "/verdict.json", "/.owner"),
    *("//etc/passwd", "/etc/passwd", "/runs/baseline/0/log.txt", "/plotly.js/../study.yaml", "/\\..\\study.yaml"),
    *("http://evil.example/", "*", "/progress/../study.yaml", "/%00", "/" + "a" * 60_000, "/?" + "<script>" * 100),
)
METHODS = ("POST", "PUT", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PATCH", "NONSENSE", "get", "G" * 5000)
HOSTS = (
    *("127.1", "0x7f000001", "2130706433", "", " ", "localhost", "::1", "[::1]", "fe80::1", "0.0.0.0", "::"),
    *("nonsense.invalid", "127.0.0.1:80", "http://127.0.0.1", "-1", "256.256.256.256", "a" * 300, "é", "MACHINE"),
)
DAMAGED = (
    *("study.yaml", "status.json", "verdict.json", "runs"),
    *("runs/baseline/0/metrics.jsonl", "runs/baseline/0/result.json"),
)
EDITED = (
    *("append a line", "swap two arms", "delete study.yaml"),
    "study.yaml: name with a path, checksum removed",
)
RAW: dict[str, bytes] = {
    "nothing": b"",
    "a blank line": b"\r\n\r\n",
    "binary": bytes(range(256)) * 20,
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(300),
    "HTTP/0.9": b"GET /\r\n\r\n",
    "HTTP/9.9": b"GET / HTTP/9.9\r\nHost: localhost\r\n\r\n",
    "no version": b"GET / HTTP\r\nHost: localhost\r\n\r\n",
    "a line of 1 MB": b"GET /" + b"a" * 1_000_000,
    "a header of 1 MB": b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 1_000_000 + b"\r\n\r\n",
    "10 000 headers": b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 10_000 + b"\r\n",
    "two hosts": b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n",
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "a folded header": b"GET / HTTP/1.1\r\nHost: localhost\r\n evil.example\r\n\r\n",
    "a body of 10^18 bytes": b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 999999999999999999\r\n\r\nx",
    "a negative length": b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
    "chunks": b"GET / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    "smuggled": b"GET /progress HTTP/1.1\r\nHost: localhost\r\nContent-Length: 40\r\n\r\n"
    b"GET /study.yaml HTTP/1.1\r\nHost: x\r\n\r\n",
    "100 requests at once": b"GET /progress HTTP/1.1\r\nHost: localhost\r\n\r\n" * 100,
}


@dataclass
class Page:
    """A page that is served: its address, and its process."""

    host: str
    port: int
    process: subprocess.Popen

    def get(self, path: str = "/", *, host: str = "localhost", method: str = "GET") -> tuple[int, bytes]:
        """Status and body; raises OSError or HTTPException if there is no answer in 20 seconds."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=20)
        try:
            connection.putrequest(method, "/", skip_host=True, skip_accept_encoding=True)
            connection._buffer = [f"{method} {path} HTTP/1.1".encode("utf-8", "surrogateescape")]  # type: ignore[attr-defined]
            connection._buffer.append(b"Host: " + host.encode())  # type: ignore[attr-defined]
            connection.endheaders()
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def raw(self, content: bytes, seconds: float = 5) -> bytes:
        """What comes back for these bytes."""
        found = b""
        with suppress(OSError), socket.create_connection((self.host, self.port), timeout=seconds) as connection:
            connection.sendall(content)
            connection.shutdown(socket.SHUT_WR)
            while part := connection.recv(1 << 16):
                found += part
        return found


@contextmanager
def served(arena: Arena, *more: str, seconds: float = 60) -> Iterator[Page | Done]:
    """The page of the study's folder; or how the command ended, if it serves nothing. Judges its end."""
    argv = ("watch", "out", *more)
    log, shown = arena.root / "stderr", arena.root / "stdout"
    before = arena.state()
    with log.open("wb") as err, shown.open("wb") as out:
        process = subprocess.Popen(
            (*installed(), *argv), cwd=arena.work, env=arena.environment({"PYTHONUNBUFFERED": "1"}),
            stdin=subprocess.DEVNULL, stdout=out, stderr=err, start_new_session=True,
        )  # fmt: skip
    until, found = time.monotonic() + seconds, None
    while found is None and process.poll() is None and time.monotonic() < until:
        time.sleep(0.05)
        found = re.search(r"http://\[?([^\]/]+?)\]?:(\d+)/", shown.read_text("utf-8", "replace") + _text(log))
    try:
        if found is None:
            code = process.poll()
            done = Done(argv, code, _text(shown), _text(log))
            arena.judge(done)
            yield done
        else:
            host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(found[1], found[1])
            yield Page(host, int(found[2]), process)
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
                with suppress(subprocess.TimeoutExpired):
                    process.wait(30)
            arena.judge(Done(argv, process.returncode, _text(shown), _text(log)), (0, 130))
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        arena.untouched(before, Done(argv, process.returncode, "", _text(log)))


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")


def trials(draws: random.Random) -> Iterator[Trial]:
    """One trial is one served page; the requests to it are counted."""
    yield Trial("hosts", on_page(hosts))
    yield Trial("paths and methods", on_page(paths))
    yield Trial("raw bytes", on_page(raw))
    yield Trial("slow and vanishing clients", on_page(slow))
    for spelling in HOSTS:
        yield Trial(f"--host {spelling[:40]!r}", on_host(spelling))
    for port in ("-1", "65536", "1", "nonsense", "99999999999999999999"):
        yield Trial(f"--port {port}", on_port(port))
    for place in DAMAGED:
        for what in ("a FIFO", "a folder", "a link to a file outside"):
            yield Trial(f"{what} for {place}", on_damage(replacing(place, what)))
    for name in EDITED:
        yield Trial(name, on_damage(on_folder(TREES[name], draws.random())))


def answers(arena: Arena, page: Page, when: str) -> None:
    """The page still answers, in time."""
    arena.counts["requests"] = arena.counts.get("requests", 0) + 1
    try:
        status, body = page.get()
    except (OSError, http.client.HTTPException) as error:
        arena.find("hang", f"no answer {when}: {type(error).__name__}: {error}")
        return
    if status != 200 or b"<html" not in body[:2000].lower():
        arena.find("exit code", f"status {status} {when}")


def on_page(act: Callable[[Arena, Page], None]) -> Callable[[Arena], None]:
    def trial(arena: Arena) -> None:
        copied(arena, "finished")
        with served(arena) as page:
            if isinstance(page, Done):
                arena.find("exit code", "nothing is served", page)
                return
            answers(arena, page, "at the beginning")
            act(arena, page)
            answers(arena, page, "at the end")

    return trial


def asked(arena: Arena, page: Page, **request: str) -> tuple[int, bytes]:
    """Status and body; 0 if the connection was closed without an answer, and a finding if nothing came at all."""
    arena.counts["requests"] = arena.counts.get("requests", 0) + 1
    try:
        return page.get(**request)
    except TimeoutError:
        arena.find("hang", f"no answer to {request}"[:300])
    except (OSError, http.client.HTTPException, UnicodeError):
        pass
    return 0, b""


def hosts(arena: Arena, page: Page) -> None:
    for host in LOCAL:
        status, _ = asked(arena, page, host=host.format(port=page.port))
        if status != 200:
            arena.find("exit code", f"Host {host}: status {status}, expected 200")
    for host in FOREIGN:
        status, body = asked(arena, page, host=host.format(port=page.port))
        if status == 200 or b"convex" in body:
            arena.find("foreign host", f"Host {host!r} was answered")


def paths(arena: Arena, page: Page) -> None:
    for path in PATHS:
        _, body = asked(arena, page, path=path)
        if any(text in body for text in FILES):
            arena.find("file served", path[:80])
    for method in METHODS:
        status, _ = asked(arena, page, method=method)
        if status == 200:
            arena.find("exit code", f"method {method[:20]} was answered")


def raw(arena: Arena, page: Page) -> None:
    for name, content in RAW.items():
        arena.counts["requests"] = arena.counts.get("requests", 0) + 1
        found = page.raw(content)
        if any(text in found for text in FILES):
            arena.find("file served", name)
        answers(arena, page, f"after {name}")


def slow(arena: Arena, page: Page) -> None:
    """Clients that send nothing, read nothing, or reset the connection: the page still answers others."""
    held = []
    for number in range(150):
        connection = socket.create_connection((page.host, page.port), timeout=5)
        connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nX-A: b\r\n"[: number % 40])
        held.append(connection)
    answers(arena, page, "beside 150 silent clients")
    for connection in held:
        connection.close()
    for _ in range(50):
        connection = socket.create_connection((page.host, page.port), timeout=5)
        connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()  # with a reset
    answers(arena, page, "after 50 resets")
    unread = [socket.create_connection((page.host, page.port), timeout=5) for _ in range(20)]
    for connection in unread:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
    answers(arena, page, "beside 20 clients that read nothing")
    for connection in unread:
        connection.close()
    threads = [threading.Thread(target=asked, args=(arena, page)) for _ in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def on_host(spelling: str) -> Callable[[Arena], None]:
    """A spelling of an address: refused, or served; on a loopback address only to the machine's own names."""

    def trial(arena: Arena) -> None:
        copied(arena, "finished")
        host = socket.gethostname() if spelling == "MACHINE" else spelling
        with served(arena, "--host", host) as page:
            if isinstance(page, Page):
                answers(arena, page, f"with --host {spelling!r}")
                loopback = page.host in ("127.0.0.1", "::1", "localhost") and spelling not in ("0.0.0.0", "::")
                if loopback and asked(arena, page, host="evil.example")[0] == 200:
                    arena.find("foreign host", f"evil.example was answered with --host {spelling!r}")
                if not spelling.strip():
                    arena.find("foreign host", f"--host {spelling!r} is served at all")

    return trial


def on_port(port: str) -> Callable[[Arena], None]:
    def trial(arena: Arena) -> None:
        copied(arena, "finished")
        with served(arena, "--port", port):
            pass

    return trial


def on_damage(edit: Callable[[Arena], None]) -> Callable[[Arena], None]:
    """The page of a folder that was tampered with shows something, and says so in words."""

    def trial(arena: Arena) -> None:
        copied(arena, "finished")
        edit(arena)
        with served(arena) as page:
            if isinstance(page, Page):
                answers(arena, page, "of the damaged folder")
                asked(arena, page, path="/progress")

    return trial

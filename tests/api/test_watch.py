from __future__ import annotations

import base64
import hashlib
import html
import http.client
import ipaddress
import json
import re
import socket
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from crossnorm.api import read_result, watch
from crossnorm.api._watch import Watched, progress_of
from crossnorm.cli import app
from crossnorm.errors import BadInput
from crossnorm.report.html.http_server import bind_server, host_allowed, is_private
from crossnorm.study.events import CohortStarted, Evaluated, Stepped
from crossnorm.study.monitoring.status_file import StatusFile, read_status
from crossnorm.study.spec.plan import Cohort, Run, make_plan
from crossnorm.study.storage.study_record import read_folder
from tests.api.stored_studies import begun, status, trained


def test_while_unfinished_the_verdict_is_sequential_and_says_so(tmp_path: Path) -> None:
    plan = begun(tmp_path)
    trained(tmp_path, plan, 20)
    page = Watched(tmp_path).page()
    assert read_result(tmp_path, looking=True).verdict.interval == "sequential"
    assert read_result(tmp_path).verdict.interval == "bonferroni-t"
    assert read_result(tmp_path, looking=True).verdict.answer.sentence in re.sub("<[^>]*>", "", page)
    assert 'id="provisional"' in page
    assert "Sequential intervals." not in page
    trained(tmp_path, plan, 25)
    whole = read_result(tmp_path, looking=True).verdict
    assert whole.to_json() == read_result(tmp_path).verdict.to_json()
    assert whole.interval == "bonferroni-t"
    assert 'id="provisional"' not in Watched(tmp_path).page()


def test_an_extension_after_watching_counts_as_after_a_look(tmp_path: Path) -> None:
    for watched, pairs, seen in ((True, 20, True), (True, 0, False), (False, 20, False)):
        folder = tmp_path / f"{watched}-{pairs}"
        plan = begun(folder)
        trained(folder, plan, pairs)
        if watched:
            Watched(folder).page()
        begun(folder, seeds=7)
        stored = read_folder(folder)
        assert stored is not None
        assert [extension["results_seen"] for extension in stored[1].extensions] == [seen]


def test_a_report_of_an_unfinished_study_is_a_look_too(tmp_path: Path) -> None:
    """Wherever it is written: intervals allow for looking, and an extension counts as after a look."""
    folder, elsewhere = tmp_path / "o", tmp_path / "elsewhere"
    plan = begun(folder)
    for pairs, interval in ((20, "sequential"), (25, "bonferroni-t")):
        trained(folder, plan, pairs)
        done = CliRunner().invoke(app, ["report", str(folder), "--out", str(elsewhere)])
        assert done.exit_code == 0, done.output
        assert json.loads((elsewhere / "verdict.json").read_text())["interval"] == interval
    begun(folder, seeds=7)
    stored = read_folder(folder)
    assert stored is not None
    assert [extension["results_seen"] for extension in stored[1].extensions] == [True]


def test_progress_counts_runs_and_tells_a_living_study_from_a_dead_one(tmp_path: Path) -> None:
    plan = begun(tmp_path)
    trained(tmp_path, plan, 10)
    result = read_result(tmp_path, looking=True)
    stopped = progress_of(tmp_path, result)
    assert (stopped.state, stopped.runs, stopped.done, stopped.running, stopped.to_come) == ("stopped", 25, 10, 0, 15)
    status(tmp_path, plan)
    running = progress_of(tmp_path, result)
    assert (running.state, running.done, running.running, running.to_come) == ("running", 10, 5, 10)
    assert running.share == pytest.approx((10 + 5 * 26 / 130) / 25)
    assert running.seconds_left == 83.0
    (worker,) = running.workers
    assert (worker.number, worker.seed, worker.share, worker.memory) == (0, 2, 0.2, 300 * 2**20)
    status(tmp_path, plan, age=60)
    assert progress_of(tmp_path, result).state == "silent"
    trained(tmp_path, plan, 25)
    assert progress_of(tmp_path, read_result(tmp_path)).state == "done"
    (tmp_path / "status.json").write_text('{"updated": "long ago"}', encoding="utf-8")
    assert read_status(tmp_path) is None


def test_workers_at_arms_that_are_not_read_yet_wait(tmp_path: Path) -> None:
    plan = begun(tmp_path)
    trained(tmp_path, plan, 10)
    result = read_result(tmp_path, looking=True)
    status(tmp_path, begun(tmp_path, variants=["convex", "matched"]))
    assert progress_of(tmp_path, result).running == 5


def test_the_fragment_says_what_is_known_and_what_is_not(tmp_path: Path) -> None:
    plan = begun(tmp_path)
    trained(tmp_path, plan, 10)
    status(tmp_path, plan)
    html = Watched(tmp_path).progress()["html"]
    for said in ("Running.", "of 25", "about 83 s", "1234", "300 MiB", "20 %"):
        assert said in html
    text = (tmp_path / "status.json").read_text(encoding="utf-8")
    (tmp_path / "status.json").write_text(text.replace("314572800", "null").replace("83.0", "null"), encoding="utf-8")
    html = Watched(tmp_path).progress()["html"]
    assert html.count("not measured") == 2


def test_the_version_follows_the_files(tmp_path: Path) -> None:
    folder = tmp_path / "later"
    site = Watched(folder)
    versions = [site.progress()["version"]]
    assert "No study yet." in site.page()
    plan = begun(folder)
    for runs in (0, 5, 10):
        trained(folder, plan, runs)
        site._not_before = 0.0
        versions.append(site.progress()["version"])
        assert site.progress()["version"] == versions[-1]
    assert len(set(versions)) == 4
    assert "No study yet." not in site.page()


@pytest.mark.parametrize("fault", ["plan", "outcome", "file", "not yaml"])
def test_a_broken_folder_gives_a_sentence(tmp_path: Path, fault: str) -> None:
    folder = tmp_path / "study"
    if fault == "file":
        folder.write_text("", encoding="utf-8")
    else:
        plan = begun(folder)
        trained(folder, plan, 5)
    if fault == "plan":
        (folder / "study.yaml").write_text("format: 1\n", encoding="utf-8")
    elif fault == "not yaml":
        (folder / "study.yaml").write_bytes(b"\xff\x00{")
    elif fault == "outcome":
        path = folder / "runs" / "baseline" / "0" / "result.json"
        path.write_text(json.dumps({"status": "<b>eaten</b>"}), encoding="utf-8")
    site = Watched(folder)
    page = site.page()
    headlines = {"file": "This cannot be shown.", "outcome": "Provisional."}  # a damaged run is one still to come
    assert headlines.get(fault, "The folder cannot be read.") in page
    assert "Traceback" not in page
    assert "<b>eaten</b>" not in page
    assert site.progress()["html"]
    assert fault == "outcome" or "null</script>" in page


@pytest.fixture
def served(tmp_path: Path) -> Iterator[int]:
    with bind_server(Watched(tmp_path / "none"), "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


def asked(
    port: int, path: str, *, method: str = "GET", host: str | None = None, address: str = "127.0.0.1"
) -> tuple[int, bytes, str]:
    connection = http.client.HTTPConnection(address, port, timeout=30)
    connection.request(method, path, headers={} if host is None else {"Host": host})
    answer = connection.getresponse()
    found = answer.status, answer.read(), answer.getheader("Content-Type", "")
    connection.close()
    return found


def test_three_addresses_and_no_more(served: int) -> None:
    status, body, kind = asked(served, "/")
    assert (status, kind) == (200, "text/html; charset=utf-8")
    assert b"No study yet." in body
    assert asked(served, "/", method="HEAD")[:2] == (200, b"")
    assert json.loads(asked(served, "/progress")[1]).keys() == {"version", "html"}
    assert len(asked(served, "/plotly.js")[1]) > 1_000_000
    assert asked(served, "/study.yaml")[0] == 404
    assert asked(served, "/../study.yaml")[0] == 404
    assert asked(served, "/", host="evil.example")[0] == 403
    with pytest.raises(BadInput, match=rf"127.0.0.1:{served}: cannot listen on this address"):
        bind_server(Watched(Path("none")), "127.0.0.1", served)


@pytest.mark.parametrize(
    ("header", "own", "allowed"),
    [
        ("127.0.0.1:80", "127.0.0.1", True),
        ("localhost:8000", "127.0.0.1", True),
        ("LocalHost.", "127.0.0.1", True),
        ("[::1]:80", "::1", True),
        ("evil.example:80", "127.0.0.1", False),
        ("evil.example:80", "::1", False),
        ("evil.example@127.0.0.1", "127.0.0.1", False),
        ("10.1.2.3", "127.0.0.1", False),
        ("", "127.0.0.1", False),
        (None, "127.0.0.1", False),
        ("evil.example:80", "127.0.0.2", False),
        ("evil.example:80", "0:0:0:0:0:0:0:1", False),
        ("evil.example:80", "0.0.0.0", False),
        ("evil.example:80", "::", False),
        ("10.1.2.3:80", "0.0.0.0", True),
        ("[fe80::1]:80", "::", True),
        ("node7:80", "0.0.0.0", True),
        ("10.1.2.3", "10.1.2.3", True),
        ("10.1.2.4", "10.1.2.3", False),
        ("evil.example", "10.1.2.3", False),
        ("node7", "10.1.2.3", True),
    ],
)
def test_who_may_ask(header: str | None, own: str, allowed: bool) -> None:
    names = frozenset({"localhost", "node7"})
    assert host_allowed(header, ipaddress.ip_address(own), names) is allowed


@pytest.mark.parametrize("host", ["127.1", "0x7f000001", "2130706433", "localhost", "127.0.0.1"])
def test_every_way_to_write_this_machine_is_checked_alike(tmp_path: Path, host: str) -> None:
    with bind_server(Watched(tmp_path / "none"), host, 0) as server:
        assert is_private(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address, port = server.server_address[:2]
        for name, status in (("evil.example", 403), ("127.0.0.1", 200), ("localhost", 200), (host, 200)):
            assert asked(port, "/", host=name, address=str(address))[0] == status, name
        server.shutdown()


def test_other_machines_are_told_apart(tmp_path: Path) -> None:
    for host in ("", " "):
        with pytest.raises(BadInput, match="host: expected an address or a name"):
            bind_server(Watched(tmp_path), host, 0)
    with bind_server(Watched(tmp_path / "none"), "0.0.0.0", 0) as server:
        assert not is_private(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        port = server.server_address[1]
        names = (("evil.example", 403), (socket.gethostname(), 200), ("192.0.2.7", 200), ("localhost", 200))
        for name, status in names:
            assert asked(port, "/", host=name)[0] == status, name
        server.shutdown()


def test_the_command_says_that_other_machines_can_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("http.server.ThreadingHTTPServer.serve_forever", lambda self: None)
    for host, said in (("127.0.0.1", False), ("0.0.0.0", True)):
        done = CliRunner().invoke(app, ["watch", str(tmp_path), "--wait", "--host", host])
        assert done.exit_code == 0
        assert ("There is no password." in done.stderr) is said


def test_no_page_frames_these_or_learns_of_them(served: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", served, timeout=30)
    for path in ("/", "/progress", "/study.yaml"):
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read().decode()
        assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
        assert answer.headers["X-Frame-Options"] == "DENY"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        if path == "/":
            policy = html.unescape(re.findall('http-equiv="Content-Security-Policy" content="([^"]*)"', body)[0])
            (scripts,) = re.findall("script-src ([^;]*);", policy)
            assert "unsafe" not in scripts
            inline = re.findall("<script>(.*?)</script>", body, flags=re.DOTALL)
            digests = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in inline]
            assert scripts.split() == [*(f"'sha256-{digest}'" for digest in digests), "'self'"]
    connection.close()


def test_broken_and_endless_requests_are_passed_over(served: int, capfd: pytest.CaptureFixture[str]) -> None:
    slow = [socket.create_connection(("127.0.0.1", served)) for _ in range(20)]
    for one in slow:
        one.sendall(b"GET / HTTP/1.1\r\nHost: ")
    long = socket.create_connection(("127.0.0.1", served))
    long.sendall(b"GET / HTTP/1.1\r\n" + b"".join(b"X-%d: y\r\n" % k for k in range(200)) + b"\r\n")
    assert b" 431 " in long.recv(100)
    for part in (
        b"GET /plotly.js HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET / HT",
        b"GET / HTTP/1.1\r\nHost: lo",
        b"",
    ):
        gone = socket.create_connection(("127.0.0.1", served))
        gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        gone.sendall(part)
        time.sleep(0.05)
        gone.close()  # with a reset
    assert asked(served, "/progress")[0] == 200
    for one in [*slow, long]:
        one.close()
    time.sleep(0.2)
    assert asked(served, "/progress")[0] == 200
    assert "Traceback" not in capfd.readouterr().err


def test_the_status_file_follows_the_executors_events(tmp_path: Path) -> None:
    plan = make_plan(begun(tmp_path).spec)
    with StatusFile(tmp_path) as status:
        listen = status.begin(plan, plan.runs, plan.runs[10:], lambda arm: 7 * arm.training.epochs)
        listen(0, CohortStarted(Cohort(2, ("baseline", "convex-1"))))
        listen(0, Stepped(2, {"baseline": 5}, restored=True))
        listen(0, Evaluated(Run("baseline", 2), {}, memory=11))
        status._write()
        found = read_status(tmp_path)
        assert found is not None
        assert found["seconds_left"] is None
        assert found["workers"]["0"]["examples_per_second"] is None
        for step in (1, 2, 3):
            listen(0, Stepped(2, {"baseline": 5 + step, "convex-1": step}))
        status._write()
        found = read_status(tmp_path)
        assert found is not None
        worker = found["workers"]["0"]
        assert (worker["done"], worker["total"], worker["memory"]) == (11, 2 * 7 * 3, 11)
        assert found["runs"] == 25
        assert found["seconds_left"] >= 0
        assert worker["examples_per_second"] > 0
    assert not (tmp_path / "status.json").exists()


def test_a_folder_without_a_study_is_refused(tmp_path):
    with pytest.raises(BadInput, match=r"nothing: no study is here: .* --wait"):
        watch(tmp_path / "nothing")
    assert not (tmp_path / "nothing").exists()

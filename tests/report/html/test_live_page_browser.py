"""The live page of a study that runs beside it, is killed, and goes on: in a real browser."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from crossnorm.report.formatting import interval, number
from tests.report.accessibility import serious_faults

pytestmark = pytest.mark.slow

EVIL = "<script>alert(1)</script>"
STUDY = {
    "task": "digits",
    "train_examples": 220,
    "model": {"embedding_dim": 8, "num_layers": 1},
    "alphas": [0, 1],
    "arms": [{"name": EVIL, "lr": 1e-3}],
    "seeds": 7,
    "recipe": {"name": "quick", "batch_size": 31},
    "epochs": 18,
    "margin": 0.5,
}
ENDS = 300_000  # milliseconds within which a study of seconds must have ended, on the slowest machine


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts commands of crossnorm in a folder with the study file; none outlives the test."""
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(STUDY), encoding="utf-8")
    running: list[subprocess.Popen[str]] = []

    def start(*arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "crossnorm", *arguments]
        running.append(subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True))
        return running[-1]

    yield start
    for process in running:
        process.kill()
        process.communicate()


def opened(browser: Any, address: str) -> tuple[Any, list[str]]:
    page = browser.new_context(viewport={"width": 1100, "height": 900}).new_page()
    noise: list[str] = []
    page.on("console", lambda message: noise.append(message.text))
    page.on("pageerror", lambda error: noise.append(str(error)))
    page.on("dialog", lambda dialog: (noise.append(dialog.message), dialog.dismiss()))
    page.on("request", lambda request: noise.append(request.url) if not request.url.startswith(address) else None)
    page.goto(address)
    return page, noise


def chosen(page: Any) -> list[Any]:
    """What the reader has chosen, as the page shows it."""
    return page.evaluate(
        """() => [
          document.getElementById("metric").value,
          [...document.querySelectorAll("#arms label:not(:has(input:checked))")].map((row) => row.textContent),
          document.getElementById("curves").data.filter((t) => t.name).map((t) => t.name),
          document.querySelector("#arms-table [aria-sort]").textContent,
          [...document.querySelectorAll("details")].map((item) => item.open),
          window.kept,
        ]"""
    )


def test_a_study_is_watched_from_before_its_beginning_to_its_end(
    browser: Any, started: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    watcher = started("watch", "out", "--wait")
    assert watcher.stdout is not None
    address = watcher.stdout.readline().split()[-1]
    page, noise = opened(browser, address)
    page.get_by_text("No study yet.").wait_for(timeout=ENDS)
    page.evaluate("window.kept = 'not loaded again'")
    assert serious_faults(page) == []

    study = started("plot", "tiny.yaml", "--out", "out", "--workers", "1")
    page.locator("#state[data-state=running]").wait_for(timeout=ENDS)
    page.locator("#workers-table").wait_for(timeout=ENDS)
    page.locator("#time-left").wait_for(timeout=ENDS)
    page.locator("#metric option[value=test_accuracy]").wait_for(state="attached", timeout=ENDS)
    page.locator("tr[data-arm=attenuated-1] td:nth-child(3):text-matches('[1-9]')").wait_for(timeout=ENDS)
    page.select_option("#metric", "test_accuracy")
    page.uncheck("#arms label:has-text('attenuated-1') input")
    page.click("#arms-table th:has-text('mean') button")
    page.locator("summary", has_text="Curves as a table").click()
    before = chosen(page)
    assert before[0] == "test_accuracy"
    assert before[1] == ["attenuated-1"]
    assert page.is_visible("#provisional")
    assert study.poll() is None, "the study ended before it could be killed"
    assert serious_faults(page) == []

    os.kill(study.pid, signal.SIGKILL)
    study.wait()
    (tmp_path / "out" / "status.json").unlink(missing_ok=True)
    page.locator("#state[data-state=stopped]").wait_for(timeout=ENDS)
    assert chosen(page)[:2] == before[:2]

    resumed = started("plot", "tiny.yaml", "--out", "out", "--workers", "2")
    other, other_noise = opened(browser, address)
    for each in (page, other):
        each.locator("#state[data-state=done]").wait_for(timeout=ENDS)
        each.locator("#provisional").wait_for(state="detached", timeout=ENDS)
    resumed.wait(timeout=ENDS / 1000)
    assert chosen(page) == before

    verdict = json.loads((tmp_path / "out" / "verdict.json").read_text(encoding="utf-8"))
    for each in (page, other):
        check_equals(each, verdict)
    page.set_viewport_size({"width": 390, "height": 844})
    page.wait_for_timeout(500)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert chosen(page) == before
    assert noise == other_noise == []


def check_equals(page: Any, verdict: dict[str, Any]) -> None:
    """Sentence, estimate and every row of the page are verdict.json's."""
    assert verdict["complete"]
    page.get_by_text(verdict["answer"]["sentence"]).first.wait_for(timeout=ENDS)
    answer = verdict["answer"]
    assert page.inner_text("#estimate") == number(answer["estimate"], sign=True)
    assert page.inner_text("#bounds") == interval(answer["low"], answer["high"])
    rows = {row.locator("th").inner_text(): row for row in page.locator("#arms-table tbody tr").all()}
    assert rows.keys() == {row["arm"] for row in verdict["arms"]}
    assert EVIL in rows
    for row in verdict["arms"]:
        cells = rows[row["arm"]].locator("td").all_inner_texts()
        assert cells[1] == str(row["n"])
        assert cells[3] == number(row["difference"], sign=True)
        assert cells[4] == interval(row["low"], row["high"])
        assert (row["verdict"] or "–") in cells[5]


def test_a_folder_that_breaks_and_mends_is_followed(
    browser: Any, started: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "study.yaml").write_text("format: 7\n", encoding="utf-8")
    watcher = started("watch", "out", "--wait")
    assert watcher.stdout is not None
    page, noise = opened(browser, watcher.stdout.readline().split()[-1])
    page.get_by_text("The folder cannot be read.").wait_for(timeout=ENDS)
    assert "study.yaml" in page.inner_text("#message")
    assert page.get_by_text("Traceback").count() == 0
    (folder / "study.yaml").unlink()
    page.get_by_text("No study yet.").wait_for(timeout=ENDS)
    assert noise == []
    watcher.send_signal(signal.SIGINT)
    assert watcher.wait(timeout=60) == 0
    page.locator("#lost").wait_for(timeout=ENDS)

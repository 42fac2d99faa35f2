"""The page in a real browser: needs playwright and a Chromium; skipped, with the reason, where either is missing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from crossnorm.report.html.report_page import render_page
from crossnorm.stats import Table
from tests.report.accessibility import serious_faults
from tests.report.report_studies import FACTS, STATES, grid, judged

pytestmark = pytest.mark.slow

EVIL = "<script>alert(1)</script>"


def opened(browser: Any, folder: Path, html: str, **options: Any) -> tuple[Any, list[str]]:
    """The page, and everything it logged, asked of the network, or popped up."""
    file = folder / "report.html"
    file.write_text(html, encoding="utf-8")
    page = browser.new_context(**options).new_page()
    noise: list[str] = []
    page.on("console", lambda message: noise.append(message.text))
    page.on("pageerror", lambda error: noise.append(str(error)))
    page.on("dialog", lambda dialog: (noise.append(dialog.message), dialog.dismiss()))
    page.on("request", lambda request: noise.append(request.url) if request.url.startswith("http") else None)
    page.goto(file.as_uri())
    page.wait_for_timeout(500)
    return page, noise


@pytest.mark.parametrize("state", list(STATES))
def test_every_state_opens_in_silence(browser: Any, tmp_path: Path, state: str) -> None:
    make, options = STATES[state]
    table = make()
    html = render_page(table=table, verdict=judged(table, **options), facts=FACTS)
    page, noise = opened(browser, tmp_path, html, viewport={"width": 390, "height": 844})
    assert noise == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_serious_fault(browser: Any, tmp_path: Path, scheme: str) -> None:
    table = grid(alphas=(-0.5, 0.5, 1.0))
    html = render_page(table=table, verdict=judged(table), facts=FACTS)
    page, _ = opened(browser, tmp_path, html, color_scheme=scheme)
    page.evaluate("document.querySelectorAll('details').forEach((item) => { item.open = true; })")
    assert serious_faults(page) == []
    page.set_viewport_size({"width": 390, "height": 844})
    page.wait_for_timeout(300)
    assert serious_faults(page) == []


def test_axe_would_find_a_fault(browser: Any, tmp_path: Path) -> None:
    page, _ = opened(browser, tmp_path, "<html lang=en><title>t</title><main><h1>t</h1><button></button></main></html>")
    assert serious_faults(page) == ["button-name: 1"]


def test_charts_follow_their_controls_and_match_the_verdict(browser: Any, tmp_path: Path) -> None:
    table = grid()
    verdict = judged(table)
    page, noise = opened(browser, tmp_path, render_page(table=table, verdict=verdict, facts=FACTS))
    lines = "byName => document.getElementById('curves').data.filter(t => t.name === byName).map(t => [t.x, t.y])[0]"
    _, y = page.evaluate(lines, "convex-1")
    assert y == pytest.approx(table.metrics["test_loss"][2].mean(axis=0), rel=1e-4)
    page.select_option("#metric", "test_accuracy")
    page.select_option("#axis", "seconds")
    x, y = page.evaluate(lines, "convex-1")
    assert x == pytest.approx(table.metrics["seconds"][2].mean(axis=0), rel=1e-4)
    assert y == pytest.approx(table.metrics["test_accuracy"][2].mean(axis=0), rel=1e-4)
    page.check("#difference")
    assert page.evaluate(lines, "baseline") is None
    page.uncheck("#arms label:has-text('convex-1') input")
    assert page.evaluate(lines, "convex-1") is None
    page.get_by_role("button", name="only convex").click()
    assert page.evaluate(lines, "convex-1") is not None
    assert page.evaluate(lines, "attenuated-1") is None
    points = page.evaluate("document.getElementById('trend-1').data.filter(t => t.mode === 'markers')[0].y")
    assert points == [row.difference for row in verdict.contrasts]
    assert page.inner_text("#answer") == verdict.answer.sentence
    assert noise == []


def test_tables_sort_by_keyboard(browser: Any, tmp_path: Path) -> None:
    table = grid()
    verdict = judged(table)
    page, _ = opened(browser, tmp_path, render_page(table=table, verdict=verdict, facts=FACTS))
    page.focus("#arms-table th:has-text('difference') button")
    ordered = sorted((row for row in verdict.arms[1:]), key=lambda row: row.difference or 0.0)
    for rows, direction in ((ordered, "ascending"), (ordered[::-1], "descending")):
        page.keyboard.press("Enter")
        names = page.locator("#arms-table tbody th").all_inner_texts()
        assert names == [row.arm for row in rows] + ["baseline"]
        assert page.get_attribute("#arms-table th:has-text('difference')", "aria-sort") == direction


def test_dark_follows_the_system_and_the_button(browser: Any, tmp_path: Path) -> None:
    table = grid()
    html = render_page(table=table, verdict=judged(table), facts=FACTS)
    page, noise = opened(browser, tmp_path, html, color_scheme="dark")
    background = "getComputedStyle(document.body).backgroundColor"
    assert page.evaluate(background) == "rgb(20, 23, 27)"
    page.click("#theme")
    assert page.evaluate(background) == "rgb(255, 255, 255)"
    assert noise == []


def test_a_hostile_name_is_text_in_every_chart(browser: Any, tmp_path: Path) -> None:
    table = grid()
    arms = list(table.arms)
    arms[2] = type(arms[2])(name=EVIL, variant=EVIL, alpha=1.0, site="attention")
    table = Table(arms=tuple(arms), seeds=table.seeds, steps=table.steps, metrics=table.metrics, status=table.status)
    html = render_page(table=table, verdict=judged(table, study=EVIL), facts={"title": EVIL})
    page, noise = opened(browser, tmp_path, html, viewport={"width": 1200, "height": 900})
    assert noise == []
    assert page.inner_text("h1") == EVIL
    assert page.title() == EVIL
    labels = page.evaluate("[...document.querySelectorAll('.annotation-text')].map(t => t.textContent)")
    assert any(label.startswith("<script>alert(") for label in labels)
    assert page.evaluate("document.scripts.length") == 4
    assert json.loads(page.evaluate("document.getElementById('data').textContent"))["arms"][2]["name"] == EVIL

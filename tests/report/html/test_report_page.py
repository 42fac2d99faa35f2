from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from crossnorm.errors import BadInput
from crossnorm.report import write_report
from crossnorm.report.formatting import interval, number, pairs_needed
from crossnorm.report.html.chart_data import chart_data
from crossnorm.report.html.report_page import _values, embedded, render_page
from crossnorm.stats import Table, Verdict, bands
from tests.report.report_studies import FACTS, grid, judged, troubled

EVIL = "<script>alert(1)</script>"


class Page(HTMLParser):
    """Text by element id, rows of tables by id, and the names of all elements."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.stack: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, str] = {}
        self.tables: dict[str, list[list[str]]] = {}
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))
        if tag not in ("meta", "link", "input", "br"):
            self.stack.append((tag, dict(attributes)))
        table = self._table()
        if tag == "tr" and table:
            self.tables.setdefault(table, []).append([])
        if tag in ("td", "th") and table:
            self.tables[table][-1].append("")

    def handle_endtag(self, tag: str) -> None:
        while self.stack and self.stack.pop()[0] != tag:
            pass

    def handle_data(self, data: str) -> None:
        for _, attributes in self.stack:
            if name := attributes.get("id"):
                self.texts[name] = self.texts.get(name, "") + data
        if any(tag in ("td", "th") for tag, _ in self.stack) and (table := self._table()):
            self.tables[table][-1][-1] += data.strip()

    def _table(self) -> str | None:
        return next((given["id"] for tag, given in self.stack if tag == "table" and "id" in given), None)


def page(table: Table, verdict: Verdict, **facts: Any) -> Page:
    return Page(without_library(render_page(table=table, verdict=verdict, facts=FACTS | facts)))


def without_library(html: str) -> str:
    from plotly.offline import get_plotlyjs

    assert html.count(get_plotlyjs()) == 1
    return html.replace(get_plotlyjs(), "")


def test_every_state_makes_a_page_without_nan(state: tuple[Table, Verdict]) -> None:
    table, verdict = state
    found = page(table, verdict)
    assert found.texts["answer"] == verdict.answer.sentence
    data = json.loads(found.texts["data"], parse_constant=lambda name: pytest.fail(f"{name} in the page"))
    assert [arm["name"] for arm in data["arms"]] == [arm.name for arm in table.arms]
    assert len(found.tables["arms-table"]) == len(table.arms) + 1


def test_the_page_shows_the_verdicts_values() -> None:
    table = grid()
    verdict = judged(table)
    found = page(table, verdict)
    assert found.texts["estimate"] == number(verdict.answer.estimate, sign=True)
    assert found.texts["word"] == verdict.answer.verdict
    assert found.texts["bounds"] == interval(verdict.answer.low, verdict.answer.high)
    shown = found.tables["arms-table"][1:]
    for cells, row in zip(shown, verdict.arms, strict=True):
        assert cells[0] == row.arm
        assert cells[2:7] == [
            str(row.n),
            number(row.mean, digits=4),
            number(row.difference, sign=True),
            interval(row.low, row.high),
            row.verdict or "–",
        ]
    for cells, contrast in zip(found.tables["contrasts-table"][1:], verdict.contrasts, strict=True):
        assert cells[:2] == [contrast.arm, contrast.against]
        assert cells[4:] == [
            number(contrast.difference, sign=True),
            interval(contrast.low, contrast.high),
            contrast.verdict,
            pairs_needed(contrast),
        ]
    assert "simultaneous over 4 arms and 2 contrasts" in found.texts["footnote"]
    assert "7 pairs" in found.texts["footnote"]


def test_the_page_prices_the_pairs_that_are_needed() -> None:
    table = grid(alphas=(0.01, 1.0))
    verdict = judged(table, margin=0.002)
    found = page(table, verdict, seconds_per_seed=360.0).tables["arms-table"][1:]
    unpriced = page(table, verdict).tables["arms-table"][1:]
    assert found[0][7] == "–"
    assert {row.verdict for row in verdict.arms[1:]} > {"undecided"}
    for cells, plain, row in zip(found[1:], unpriced[1:], verdict.arms[1:], strict=True):
        assert row.pairs_needed is not None
        if row.verdict != "undecided":
            assert cells[7] == plain[7] == "–"
            continue
        likely, low, high = row.pairs_needed
        assert likely > row.n
        assert plain[7] == f"{likely}({low}–{high})"
        assert cells[7] == f"{likely}({low}–{high}), {number((likely - row.n) / 10, digits=2)} h more"
    contrasts = page(table, verdict, seconds_per_seed=360.0).tables["contrasts-table"][1:]
    (likely, low, high), n = verdict.contrasts[0].pairs_needed, verdict.contrasts[0].n
    assert verdict.contrasts[0].verdict == "undecided"
    assert contrasts[0][7] == f"{likely}({low}–{high}), {number((likely - n) / 10, digits=2)} h more"
    enough = judged(table, margin=0.5)
    assert "more" not in page(table, enough, seconds_per_seed=360.0).tables["arms-table"][1][7]


def test_the_page_says_what_is_needed_to_repeat() -> None:
    table = grid()
    found = page(table, judged(table))
    assert found.texts["command"] == FACTS["command"]
    assert found.texts["plan"] == FACTS["plan_yaml"]
    assert found.texts["extensions"].strip() == "seeds: 5, 6, seen: True"
    assert found.tables["failures-table"][1] == ["convex-0.5", "2", "diverged", "the loss is not finite"]
    text = render_page(table=table, verdict=judged(table), facts=FACTS)
    for said in ("2104.05704", "2411.03493", "Request for Plot", "0123abc", "torch"):
        assert said in without_library(text)


def test_only_sequential_intervals_are_called_so() -> None:
    table = grid()
    for kind, said in (("sequential", True), ("bonferroni-t", False)):
        html = without_library(render_page(table=table, verdict=judged(table, interval=kind), facts={}))
        assert ("Sequential intervals." in html) == said
    assert "Provisional." in without_library(render_page(table=troubled(), verdict=judged(troubled()), facts={}))


def test_charts_carry_the_tables_numbers() -> None:
    table = grid()
    verdict = judged(table)
    data = chart_data(table, verdict)
    assert data["metric"] == "test_loss"
    runs = np.array(data["metrics"]["test_loss"]["runs"])
    np.testing.assert_allclose(runs, table.metrics["test_loss"], rtol=1e-4)
    np.testing.assert_allclose(data["axes"]["seconds"]["runs"], table.metrics["seconds"], rtol=1e-4)
    np.testing.assert_allclose(data["axes"]["seconds"]["mean"], table.metrics["seconds"].mean(axis=1), rtol=1e-4)
    assert data["axes"]["epoch"]["shared"] == list(range(11))
    assert data["axes"]["step"]["shared"] == list(table.steps)
    for kind, difference in (("level", False), ("difference", True)):
        for band in bands(table, "test_loss", difference=difference).arms:
            shown = data["metrics"]["test_loss"][kind][band.arm]
            np.testing.assert_allclose(shown["mean"], band.curve, rtol=1e-4)
            np.testing.assert_allclose(shown["low"], band.low, rtol=1e-4)
            np.testing.assert_allclose(shown["high"], band.high, rtol=1e-4)
    arms, contrasts = data["trend"]
    assert arms["lines"][0]["mean"] == [row.difference for row in verdict.arms[1:3]]
    assert contrasts["lines"][0]["low"] == [row.low for row in verdict.contrasts]


def test_large_studies_are_thinned_and_small_ones_are_not() -> None:
    small = chart_data(grid(), judged(grid()))
    assert not small["thinned"]
    assert small["kept"] == list(range(11))
    table = grid(alphas=tuple(np.linspace(0.1, 1, 10).round(1)), seeds=7, steps=401)
    data = chart_data(table, judged(table))
    assert data["thinned"]
    assert data["kept"][0] == 0
    assert data["kept"][-1] == 400
    assert np.size(data["metrics"]["test_loss"]["runs"]) * 3 <= 125_000
    text = embedded(data)
    assert len(text) < 1_900_000


@pytest.mark.parametrize("steps", [83, 211, 401])
def test_the_table_of_curves_has_a_number_in_every_cell(steps: int) -> None:
    table = grid(steps=steps)
    found = _values(chart_data(table, judged(table)))
    assert len(found["steps"]) == 10
    for place, (name, _, means) in enumerate(found["rows"]):
        want = [table.metrics["test_loss"][place, :, int(step)].mean() for step in found["steps"]]
        assert means == pytest.approx(want, rel=1e-4), name


def test_positions_that_stand_still_are_no_axes() -> None:
    table = grid()
    doses = np.full((5, 7, 11), 0.5)
    doses[2, 3, 6:] = np.nan
    still = replace(table, metrics=table.metrics | {"alpha": doses})
    assert "alpha" not in chart_data(still, judged(still))["axes"]
    doses = np.linspace(0, 1, 11) * np.ones((5, 7, 1))
    moving = replace(table, metrics=table.metrics | {"alpha": doses})
    assert "alpha" in chart_data(moving, judged(moving))["axes"]


def test_arms_without_a_common_evaluation_make_a_page(tmp_path: Path) -> None:
    table = grid(seeds=12, steps=50, control=False, alphas=(1.0,))
    loss = table.metrics["test_loss"].copy()
    loss[0, :, 1::2], loss[1, :, 0::2] = np.nan, np.nan
    table = replace(table, metrics={"test_loss": loss})
    write_report(tmp_path, table=table, verdict=judged(table), facts=FACTS)
    assert (tmp_path / "report.html").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("value", "text"), [(3.75e29, "3.75e+29"), (-1.25e8, "−1.25e+08"), (1234567.0, "1234567"), (0.0, "0")]
)
def test_large_numbers_are_short(value: float, text: str) -> None:
    assert number(value) == text


def test_hostile_text_stays_text() -> None:
    table = grid()
    arms = list(table.arms)
    arms[2] = type(arms[2])(name=EVIL, variant="convex", alpha=1.0, site="attention", control=arms[4].name)
    table = Table(arms=tuple(arms), seeds=table.seeds, steps=table.steps, metrics=table.metrics, status=table.status)
    verdict = judged(table, study=EVIL)
    failures = [{"arm": EVIL, "seed": 1, "status": "crashed", "reason": EVIL}]
    hostile = dict.fromkeys(("title", "description", "command", "plan_yaml", "revision"), EVIL)
    html = render_page(
        table=table,
        verdict=verdict,
        facts=FACTS | hostile | {"failures": failures, "versions": {EVIL: EVIL}, "extensions": [EVIL, {EVIL: EVIL}]},
    )
    rest = without_library(html)
    assert EVIL not in rest
    assert "alert(1)" in rest
    found = Page(rest)
    assert [tag for tag, _ in found.tags].count("script") == 4
    assert found.tables["arms-table"][3][0] == EVIL
    assert found.tables["failures-table"][1][0] == EVIL
    assert json.loads(found.texts["data"])["arms"][2]["name"] == EVIL


def test_embedded_json_cannot_end_its_element() -> None:
    text = embedded({"a": "</script><!--&\u2028"})
    assert not re.search(r"[<>&\u2028]", text)
    assert json.loads(text) == {"a": "</script><!--&\u2028"}
    with pytest.raises(ValueError, match="JSON compliant"):
        embedded([float("nan")])


def test_nothing_is_loaded_from_elsewhere() -> None:
    table = grid()
    found = page(table, judged(table))
    for tag, attributes in found.tags:
        for name in ("src", "href", "action", "data", "poster"):
            value = attributes.get(name) or ""
            assert value.startswith(("#", "data:")) or not value, (tag, value)
    policy = next(given["content"] for _, given in found.tags if given.get("http-equiv"))
    assert policy is not None
    assert policy.startswith("default-src 'none'")
    assert "http" not in policy


def test_the_page_is_built_for_readers_of_every_kind() -> None:
    table = grid()
    found = page(table, judged(table))
    names = [tag for tag, _ in found.tags]
    assert names.count("h1") == 1
    assert names.count("main") == 1
    assert names.count("table") == names.count("caption")
    for tag, attributes in found.tags:
        if tag == "th":
            assert attributes.get("scope") in ("col", "row")
    ids = [given["id"] for _, given in found.tags if "id" in given]
    assert len(ids) == len(set(ids))


def test_write_report_is_whole_repeatable_and_says_what_it_does_not_know(tmp_path: Path) -> None:
    table = grid(alphas=(1.0,), seeds=3)
    folders = [tmp_path / name for name in "ab"]
    for folder in folders:
        folder.mkdir()
        write_report(folder, table=table, verdict=judged(table), facts=FACTS)
    names = sorted(entry.name for entry in folders[0].iterdir())
    assert names == ["curves.png", "report.html", "trend.png"]
    for name in names:
        assert (folders[0] / name).read_bytes() == (folders[1] / name).read_bytes()
    with pytest.raises(BadInput, match="Did you mean 'command'"):
        write_report(folders[0], table=table, verdict=judged(table), facts={"comand": "x"})
    before = (folders[0] / "report.html").read_bytes()
    assert before == (folders[1] / "report.html").read_bytes()

from __future__ import annotations

import io
import json
import re
from dataclasses import replace

import pytest
from rich.console import Console

from crossnorm.report import answer_panel, arms_table
from crossnorm.report.formatting import interval, number
from crossnorm.report.html.report_page import render_page
from crossnorm.report.terminal.verdict_summary import sparkline
from crossnorm.stats import Table, Verdict, caveats, robustness_checks
from tests.report.report_studies import grid, judged, troubled


def shown(thing: object, width: int = 150) -> str:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(thing)
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


def test_every_state_prints(state: tuple[Table, Verdict]) -> None:
    _, verdict = state
    text = " ".join(shown(answer_panel(verdict), 79).replace("│", " ").split())
    assert " ".join(verdict.answer.sentence.split()) in text
    lines = shown(arms_table(verdict), 79)
    assert max(map(len, lines.splitlines())) <= 79


def test_the_table_shows_the_verdicts_values() -> None:
    verdict = judged(grid())
    text = shown(arms_table(verdict))
    for row in (*verdict.arms[1:], *verdict.contrasts):
        line = next(
            line
            for line in text.splitlines()
            if line.strip().startswith(row.arm) and number(row.difference, sign=True) in line
        )
        assert interval(row.low, row.high, digits=2) in line
        assert row.verdict is not None
        assert row.verdict in line
    assert "failed" not in text
    failed = shown(arms_table(judged(troubled())))
    assert "1 diverged" in failed
    assert "1 crashed" in failed


def test_the_table_prices_the_pairs_that_are_needed() -> None:
    verdict = judged(grid(alphas=(0.01, 1.0)), margin=0.008)
    compared = (*verdict.arms[1:], *verdict.contrasts)
    rows = [row for row in compared if row.pairs_needed is not None and row.verdict == "undecided"]
    most = max(row.pairs_needed[0] - row.n for row in rows)
    text = " ".join(shown(arms_table(verdict, 360.0), 79).split())
    hours = number(most / 10, digits=2)
    assert f"{most} more pairs for all arms: {hours} h on one worker" in text
    shared = " ".join(shown(arms_table(verdict, 1080.0, workers=3), 79).split())
    assert f"{most} more pairs for all arms: {hours} h with 3 workers" in shared
    short = " ".join(shown(arms_table(verdict, 0.5), 79).split())
    assert f"for all arms: {most / 2:.2g} s on one worker" in short
    assert "more pairs" not in shown(arms_table(verdict))
    assert "pairs needed" in shown(arms_table(verdict))


def test_where_all_is_decided_no_pairs_are_needed_and_names_have_their_room() -> None:
    decided = judged(grid(alphas=(0.25, 0.75)), margin=0.5)
    assert {row.verdict for row in decided.arms[1:]} == {"same"}
    text = shown(arms_table(decided, 360.0), 79)
    assert "pairs needed" not in text
    assert "more pairs" not in text
    assert " attenuated-0.25 " in text


def test_names_are_not_markup() -> None:
    table = grid()
    arms = list(table.arms)
    arms[3] = type(arms[3])(name="[bold]x[/bold]", variant="attenuated", alpha=0.5, site="attention")
    arms[1] = type(arms[1])(name="convex-0.5", variant="convex", alpha=0.5, site="attention", control="[bold]x[/bold]")
    other = Table(arms=tuple(arms), seeds=table.seeds, steps=table.steps, metrics=table.metrics, status=table.status)
    assert "[bold]x[/bold]" in shown(arms_table(judged(other, study="[red]s")))
    assert "[red]s" in shown(answer_panel(judged(other, study="[red]s")))


def test_sparkline_has_a_block_per_value() -> None:
    assert sparkline([0.0, 0.5, None, 1.0]) == "▁▅·█"
    assert sparkline([2.0, 2.0]) == "▄▄"
    assert sparkline([]) == ""


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.012345, "0.0123"),
        (-1234.5, "−1234"),
        (0.0, "0"),
        (None, "–"),
        (float("nan"), "–"),
        (1e-9, "1.00e−09"),
        (float("inf"), "+∞"),
    ],
)
def test_numbers_for_readers(value: float | None, text: str) -> None:
    assert number(value) == text
    assert interval(None, 1.0) == "–"
    assert interval(-0.5, 0.25) == "[−0.500, +0.250]"


def test_notes_stand_next_to_the_answer() -> None:
    table = grid(steps=1)
    verdict = judged(table)
    (note,) = caveats(table, verdict)
    text = " ".join(shown(answer_panel(verdict, notes=(note,))).replace("│", " ").split())
    assert f"{verdict.answer.sentence} Note: {note} " in text
    assert "Note:" not in shown(answer_panel(verdict))
    page = render_page(table=table, verdict=verdict, facts={})
    assert f"<strong>Note.</strong> {note}</p>" in page
    assert "<strong>Note.</strong>" not in render_page(table=grid(), verdict=judged(grid()), facts={})


def test_infinite_intervals_say_from_how_many_pairs_they_are_finite() -> None:
    verdict = judged(grid(seeds=5), interval="sequential")
    text = " ".join(shown(arms_table(verdict)).split())
    assert "No intervals: 5 pairs, too few; sequential intervals of 6 comparisons are finite from 6 pairs." in text
    assert all(row.low is not None for row in judged(grid(seeds=6), interval="sequential").arms[1:])


def test_contrasts_show_the_pairs_they_need() -> None:
    verdict = judged(grid(alphas=(0.01, 1.0)), margin=0.002)
    contrast = verdict.contrasts[0]
    assert contrast.verdict == "undecided"
    below = shown(arms_table(verdict)).partition("arm − control")[2]
    line = next(line for line in below.splitlines() if line.strip().startswith(contrast.arm))
    assert "{} ({}–{})".format(*contrast.pairs_needed) in line  # type: ignore[misc]
    assert "pairs_needed" not in json.loads(verdict.to_json())["contrasts"][0]


@pytest.mark.parametrize("interval", ["bonferroni-t", "sequential"])
def test_no_number_has_a_hyphen_for_a_minus(interval: str) -> None:
    table = grid(alphas=(-1.0, 0.5))
    verdict = judged(table, interval=interval)
    page = re.sub(
        r"<(script|style).*?</\1>|<[^>]*>", "", render_page(table=table, verdict=verdict, facts={}), flags=re.S
    )
    for text in (verdict.answer.sentence, shown(answer_panel(verdict)), shown(arms_table(verdict)), page):
        names = [arm.name for arm in table.arms]
        for name in sorted(names, key=len, reverse=True):
            text = text.replace(name, "")
        assert not re.search(r"(?<!\w)-\.?\d", text)
        assert "−" in text


def test_a_table_of_doses_never_says_alpha() -> None:
    table = replace(grid(), dose_name="dose")
    text = shown(answer_panel(judged(table))) + shown(arms_table(judged(table)))
    assert "α" not in text
    assert "dose from 0 to 1" in text


def test_a_repeated_verdict_is_said_where_there_is_one() -> None:
    table = grid()
    arms = list(table.arms)
    first = next(arm for arm in arms[1:] if arm.variant == "convex")
    second = next(arm for arm in arms[1:] if arm.variant == "convex" and arm is not first)
    twin = type(second)(name="twin", variant="convex", alpha=first.alpha, site=first.site, control=arms[-1].name)
    arms[arms.index(second)] = twin
    other = Table(arms=tuple(arms), seeds=table.seeds, steps=table.steps, metrics=table.metrics, status=table.status)
    verdict = judged(other)
    (result,) = robustness_checks(verdict)
    assert result.against[1] == arms[-1].name
    assert result.sentence in " ".join(shown(answer_panel(verdict)).replace("│", " ").split())
    assert result.sentence in render_page(table=other, verdict=verdict, facts={})
    assert robustness_checks(judged(table)) == ()

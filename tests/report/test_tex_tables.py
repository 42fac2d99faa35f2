r"""answer.tex: its numbers are the verdict's, its environments balance, and every special character is escaped."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from crossnorm.report import tex_table
from crossnorm.report.tex_tables import escaped
from crossnorm.stats import ArmInfo, Table, Verdict
from tests.report.report_studies import grid, judged

NASTY = r"a_b & 50% $x$ #1 {c} \d ~e ^f <g> |h| 'i' " + '"j"'


def cells_of(text: str) -> list[list[str]]:
    """Cells of the body's rows, math and escapes undone."""
    body = text[text.index(r"\toprule") : text.index(r"\bottomrule")]
    lines = [line.removesuffix(r" \\") for line in body.splitlines() if line.endswith(r" \\")]
    return [
        [cell.replace("$-$", "-").replace("--", "").strip() for cell in re.split(r"(?<!\\)&", line)] for line in lines
    ]


def balanced(text: str) -> None:
    opened: list[str] = []
    for kind, name in re.findall(r"\\(begin|end)\{(\w+)\}", text):
        if kind == "begin":
            opened.append(name)
        else:
            assert opened.pop() == name
    assert opened == []
    bare = re.sub(r"\\[\\&%$#_{}]", "", "\n".join(line for line in text.splitlines() if not line.startswith("%")))
    assert bare.count("{") == bare.count("}")
    assert bare.count("$") % 2 == 0
    assert not re.search(r"[#%~^_\"<>|]", bare)
    assert bare.isascii()


def test_the_numbers_are_the_verdicts() -> None:
    verdict = judged(grid())
    head, *rows = cells_of(tex_table(verdict))
    assert head == ["Arm", r"$\alpha$", "$n$", "Mean", "Difference", r"95\,\% interval", "Verdict"]
    arms, contrasts = rows[: len(verdict.arms)], rows[len(verdict.arms) + 1 :]
    assert len(contrasts) == len(verdict.contrasts) == 2
    for cells, row in zip(arms, verdict.arms, strict=True):
        assert cells[0] == row.arm
        assert float(cells[3]) == pytest.approx(row.mean, rel=1e-3)
    for cells, found in zip([*arms[1:], *contrasts], [*verdict.arms[1:], *verdict.contrasts], strict=True):
        assert (float(cells[1]), int(cells[2]), cells[6]) == (found.alpha, found.n, found.verdict)
        assert float(cells[4]) == pytest.approx(found.difference, rel=5e-3)
        assert [float(end) for end in cells[5].strip("[]").split(",")] == pytest.approx(
            [found.low, found.high], rel=5e-3
        )
    assert {len(cells) for cells in (head, *arms, *contrasts)} == {7}


def test_the_methods_say_what_was_done() -> None:
    verdict = replace(judged(grid()), scope="a_model on a task")
    *_, methods = tex_table(verdict).splitlines()
    assert "($n = 7$ pairs)" in methods
    assert r"95\,\% Student-$t$ intervals" in methods
    assert "simultaneous over 4 arms and 2 contrasts (Bonferroni)" in methods
    assert r"within $\pm$0.02 count as the same" in methods
    assert methods.endswith(r"these seeds and this training and test set (a\_model on a task).")
    assert methods.count(". ") == 0
    assert "no margin was declared" in tex_table(judged(grid(), margin=None))
    assert "confidence sequences" in tex_table(judged(grid(), interval="sequential"))


def test_every_state_is_balanced(state: tuple[Table, Verdict]) -> None:
    balanced(tex_table(state[1]))


def test_names_are_escaped() -> None:
    table = grid(control=False)
    arms = (table.arms[0], ArmInfo(name=NASTY, variant=NASTY, alpha=1.0), table.arms[2])
    verdict = judged(replace(table, arms=arms), study=NASTY)
    balanced(tex_table(verdict))
    assert escaped(r"a_b \ 5%") == r"a\_b \textbackslash{} 5\%"
    assert escaped("−1 … α") == r"$-$1 \ldots{} $\alpha$"

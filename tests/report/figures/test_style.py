from __future__ import annotations

import html
import re
from dataclasses import replace
from pathlib import Path

import pytest

from crossnorm.api import Result, Study, compare
from crossnorm.errors import BadInput
from crossnorm.report import FigureStyle, save, trend_figure
from crossnorm.stats import Table
from tests.report.report_studies import grid, judged
from tests.study.study_cases import crossnorm

EVIL = "<script>alert(1)</script>"


def result(name: str = "convex-1") -> Result:
    table = grid()
    arms = [
        type(a)(name=name, variant=a.variant, alpha=a.alpha, site=a.site, control=a.control)
        if a.name == "convex-1"
        else a
        for a in table.arms
    ]
    table = Table(arms=tuple(arms), seeds=table.seeds, steps=table.steps, metrics=table.metrics, status=table.status)
    return Result(table=table, verdict=judged(table))


def test_figures_come_in_the_formats_width_and_text_that_were_asked_for(tmp_path: Path) -> None:
    style = FigureStyle(width=3.3, font_size=9, formats=("svg", "pdf"))
    result().save(tmp_path, style)
    names = sorted(path.name for path in tmp_path.iterdir())
    expected = ["curves.pdf", "curves.svg", "report.html", "table.csv", "trend.pdf", "trend.svg", "verdict.json"]
    assert names == expected
    for name in ("curves", "trend"):
        svg = (tmp_path / f"{name}.svg").read_text(encoding="utf-8")
        width = re.search(r'<svg[^>]*? width="([0-9.]+)pt"', svg)
        assert width is not None
        assert float(width[1]) == pytest.approx(72 * 3.3, abs=0.01)
        sizes = {float(size) for size in re.findall(r"font(?:-size)?: (?:\w+ )*([0-9.]+)px", svg)}
        assert 9.0 in sizes
        assert max(sizes) == 10.5
        box = (tmp_path / f"{name}.pdf").read_bytes()
        assert f"/MediaBox [ 0 0 {72 * 3.3:g}".encode() in box


def test_plot_takes_width_and_text_size() -> None:
    for figure in result().plot(width="column", font_size=7):
        assert figure.get_figwidth() == 3.4
        assert min(text.get_fontsize() for text in figure.texts) == 5.5


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"width": 1.0}, "width: expected column, page, or 2.5 to 20 inches"),
        ({"width": "poster"}, "size: expected one of column, page"),
        ({"font_size": 3}, "font_size: expected 5 to 20 points"),
        ({"formats": ("jpg",)}, "format: expected one of pdf, png, svg"),
        ({"formats": ()}, "formats: expected at least one"),
    ],
)
def test_styles_that_cannot_be_are_refused(given: dict[str, object], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        FigureStyle(**given)  # type: ignore[arg-type]


def test_a_figure_without_room_for_its_axes_is_refused() -> None:
    with pytest.raises(BadInput, match="width: .* too narrow for the axes"):
        result().plot(width=2.5, font_size=16)


def test_a_notebook_shows_the_answer_and_names_stay_text() -> None:
    shown = result(EVIL)
    text = shown._repr_html_()
    assert shown.verdict.answer.sentence in text
    assert text.count("data:image/png;base64,") == 2
    assert EVIL not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text


def test_a_notebook_shows_the_notes_of_the_result() -> None:
    """Also those that need to know the task: ten classes are guessed at a loss of log 10."""
    rows = [
        {"arm": arm, "seed": s, "step": 7 * k, "test_loss": 2.3026} for arm in "ab" for s in range(3) for k in (0, 1)
    ]
    guessed = replace(compare(rows, metric="test_loss", direction="lower"), facts={"classes": 10})
    assert any("at chance" in note for note in guessed.notes)
    shown = html.unescape(guessed._repr_html_())
    assert all(note in shown for note in guessed.notes)


def test_a_notebook_shows_a_study_before_it_runs() -> None:
    study = Study(task="digits", alphas=[0, 1], seeds=3, epochs=2, name=EVIL)
    text = study._repr_html_()
    assert "3 seeds, 9 runs" in text
    assert "<th>convex-1</th><td>convex</td><td>1</td><td>attenuated-1</td>" in text
    assert EVIL not in text


def test_hostile_names_are_text_in_svg(tmp_path: Path) -> None:
    result(EVIL).save(tmp_path, FigureStyle(formats=("svg",)))
    for name in ("curves", "trend"):
        svg = (tmp_path / f"{name}.svg").read_text(encoding="utf-8")
        assert "<script" not in svg


@pytest.mark.parametrize("font_size", [8.0, 12.0])
def test_long_names_take_fewer_columns_and_never_all_the_room(font_size: float) -> None:
    table = grid()
    names = {"convex-1": "a_module.of_ones_own.with_a_long_name:and_a_function_of_a_very_long_name_too"}
    arms = [
        type(a)(name=f"nominal {a.name} 0123456789", control=None)
        if a.name == "attenuated-0.5"
        else type(a)(name=a.name, variant=names.get(a.name, a.variant), alpha=a.alpha, site=a.site)
        for a in table.arms
    ]
    table = Table(arms=tuple(arms), seeds=table.seeds, steps=table.steps, metrics=table.metrics, status=table.status)
    for figure in Result(table=table, verdict=judged(table)).plot(font_size=font_size):
        widths = [axes.get_position().width * figure.get_figwidth() for axes in figure.axes]
        assert min(widths) >= 0.7


def test_figures_do_not_depend_on_anyones_matplotlibrc(tmp_path: Path) -> None:
    import matplotlib

    def drawn() -> list[bytes]:
        names = [tmp_path / f"trend.{ending}" for ending in ("png", "svg")]
        for name in names:
            save(trend_figure(grid(), judged(grid())), name)
        return [name.read_bytes() for name in names]

    plain = drawn()
    foreign = {"text.usetex": True, "font.size": 30, "savefig.facecolor": "red", "savefig.bbox": "tight"}
    with matplotlib.rc_context(foreign | {"lines.linewidth": 9, "xtick.direction": "in", "path.simplify": False}):
        assert drawn() == plain
        assert matplotlib.rcParams["font.size"] == 30


def test_a_matplotlibrc_in_the_working_directory_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "matplotlibrc").write_bytes(b"text.usetex: True\n\xff\xfe no text")
    rows = [f"{arm},{seed},1,{seed + (arm == 'mine')}" for arm in ("baseline", "mine") for seed in range(3)]
    (tmp_path / "runs.csv").write_text("\n".join(["arm,seed,step,loss", *rows]), encoding="utf-8")
    words = ("--metric", "loss", "--direction", "lower", "--out", "out", "--formats", "png")
    done = crossnorm("report", "--from", "runs.csv", *words, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "out" / "curves.png").read_bytes().startswith(b"\x89PNG")

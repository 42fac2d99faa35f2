from __future__ import annotations

import io
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.text import Text

from crossnorm.errors import BadInput
from crossnorm.metric import Metric
from crossnorm.report import curves_figure, save, trend_figure
from crossnorm.report.figures.arm_groups import drawable, horizontal, panels
from crossnorm.report.figures.line_labels import arm_labels, spread
from crossnorm.report.figures.style import arm_styles, readable
from crossnorm.stats import ArmInfo, Table, Verdict, bands, with_summaries
from tests.report.report_studies import grid, judged


def drawn(figure: Figure) -> None:
    figure.savefig(io.BytesIO(), format="png", dpi=40)


def test_every_state_draws_without_a_warning(state: tuple[Table, Verdict]) -> None:
    table, verdict = state
    drawn(curves_figure(table, verdict, size="column"))
    drawn(trend_figure(table, verdict, size="column"))


def test_thick_lines_are_the_means_of_the_table() -> None:
    table = grid()
    figure = curves_figure(table, judged(table))
    level, difference = figure.axes[0], figure.axes[2]
    for arm in (0, 1, 2):
        line = next(line for line in level.lines if line.get_gid() == table.arms[arm].name)
        np.testing.assert_allclose(line.get_ydata(), table.metrics["test_loss"][arm].mean(axis=0), rtol=1e-12)
        np.testing.assert_array_equal(line.get_xdata(), np.arange(11))
    line = next(line for line in difference.lines if line.get_gid() == "convex-1")
    expected = (table.metrics["test_loss"][2] - table.metrics["test_loss"][0]).mean(axis=0)
    np.testing.assert_allclose(line.get_ydata(), expected, rtol=1e-9)


def test_thin_lines_are_the_runs() -> None:
    table = grid()
    axes = curves_figure(table, judged(table), "test_accuracy").axes[0]
    runs = [c for c in axes.collections if isinstance(c, LineCollection) and len(c.get_segments()) == 7]
    found = np.stack([np.stack([segment[:, 1] for segment in c.get_segments()]) for c in runs])
    np.testing.assert_array_equal(found, table.metrics["test_accuracy"][[1, 2, 0]])


def test_thin_lines_below_are_paired_differences() -> None:
    table = grid()
    axes = curves_figure(table, judged(table)).axes[2]
    runs = [c for c in axes.collections if isinstance(c, LineCollection) and len(c.get_segments()) == 7]
    found = np.stack([np.stack([segment[:, 1] for segment in c.get_segments()]) for c in runs])
    values = table.metrics["test_loss"]
    np.testing.assert_array_equal(found, values[[1, 2]] - values[0])


def test_bars_below_ten_pairs_and_a_ribbon_from_ten() -> None:
    few, many = grid(), grid(seeds=13)
    for table, kind in ((few, LineCollection), (many, "FillBetweenPolyCollection")):
        axes = curves_figure(table, judged(table)).axes[0]
        names = [type(c).__name__ for c in axes.collections]
        assert ("FillBetweenPolyCollection" in names or "PolyCollection" in names) == (kind != LineCollection)
    band = bands(few, "test_loss").arms[1]
    segments = [s for c in curves_figure(few, judged(few)).axes[0].collections for s in c.get_segments()]
    bars = {(round(s[0, 1], 9), round(s[1, 1], 9)) for s in segments if len(s) == 2}
    expected = {(round(low, 9), round(high, 9)) for low, high in zip(band.low, band.high, strict=True)}
    assert len(expected) == 10
    assert expected <= bars


@pytest.mark.parametrize(("metric", "direction"), [("test_loss", "lower"), ("test_accuracy", "higher")])
def test_the_trend_shows_the_verdict_as_it_is(metric: str, direction: str) -> None:
    table = grid()
    verdict = judged(table, metric=Metric(metric, direction=direction))
    left, right = trend_figure(table, verdict).axes
    line = next(line for line in left.lines if line.get_gid() == "convex")
    np.testing.assert_array_equal(line.get_xdata(), [0, 0.5, 1])
    assert list(line.get_ydata())[1:] == [verdict.arms[1].difference, verdict.arms[2].difference]
    assert line.get_ydata()[0] == 0
    contrast = next(line for line in right.lines if line.get_gid() == "convex\n− attenuated")
    assert list(contrast.get_ydata())[1:] == [row.difference for row in verdict.contrasts]
    bars = sorted(tuple(s[:, 1]) for c in right.collections for s in c.get_segments())
    assert bars == sorted((row.low, row.high) for row in verdict.contrasts)
    words = [text.get_text() for text in left.texts]
    assert ("↑ worse" in words) == (direction == "lower")
    assert ("↑ better" in words) == (direction == "higher")


def test_thin_lines_of_the_trend_are_paired_differences() -> None:
    table = grid()
    left = trend_figure(table, judged(table)).axes[0]
    final = table.metrics["test_loss"][:, :, -1]
    thin = [line.get_ydata() for line in left.lines if line.get_linewidth() == 0.5]
    expected = np.concatenate([(final[[1, 2]] - final[0]).T, (final[[3, 4]] - final[0]).T])
    np.testing.assert_allclose(np.array(thin)[:, 1:], expected, rtol=1e-12)


def test_the_margin_is_shaded() -> None:
    table = grid()
    for margin, patches in ((0.05, 1), (None, 0)):
        axes = trend_figure(table, judged(table, margin=margin)).axes[0]
        assert len(axes.patches) == patches
    patch = trend_figure(table, judged(table, margin=0.05)).axes[0].patches[0]
    assert patch.get_y() == -0.05  # type: ignore[attr-defined]
    assert patch.get_height() == 0.1  # type: ignore[attr-defined]


def test_labels_lie_inside_the_figure_and_not_on_each_other(state: tuple[Table, Verdict]) -> None:
    table, verdict = state
    for figure in (curves_figure(table, verdict), trend_figure(table, verdict)):
        figure.draw_without_rendering()
        width, height = figure.get_size_inches() * figure.dpi
        for axes in figure.axes:
            boxes = [Text.get_window_extent(text) for text in axes.texts]
            for box in boxes:
                assert box.x0 >= 0
                assert box.x1 <= width + 1
                assert box.y0 >= 0
                assert box.y1 <= height
            labels = [b for b, text in zip(boxes, axes.texts, strict=True) if text.get_fontstyle() != "italic"]
            for i, first in enumerate(labels):
                assert not any(_overlap(first, second) for second in labels[i + 1 :])


def _overlap(first, second) -> bool:  # type: ignore[no-untyped-def]
    wide = min(first.x1, second.x1) - max(first.x0, second.x0)
    tall = min(first.y1, second.y1) - max(first.y0, second.y0)
    return bool(wide > 1 and tall > 2)


def test_footnotes_say_which_interval_how_many_pairs_and_over_what() -> None:
    table = grid()
    text = (
        " ".join(t.get_text() for t in trend_figure(table, judged(table)).texts).replace("\n", " ").replace("\xa0", " ")
    )
    assert "95 % Student-t intervals" in text
    assert "7 pairs" in text
    assert "simultaneous over 4 arms and 2 contrasts" in text
    text = " ".join(t.get_text() for t in curves_figure(table, judged(table)).texts).replace("\n", " ")
    assert "simultaneous over 10 evaluations" in text


def test_colour_follows_dose_and_controls_are_muted_and_dashed() -> None:
    table = grid(alphas=(0.25, 0.5, 0.75, 1.0))
    found = arm_styles(table.arms)
    brightness = [sum(to_rgb(found[f"convex-{alpha:g}"].color)) for alpha in (0.25, 0.5, 0.75, 1.0)]
    assert brightness == sorted(brightness)
    assert len({look.color for look in found.values()}) == 9
    for alpha in (0.25, 1.0):
        arm, control = found[f"convex-{alpha:g}"], found[f"attenuated-{alpha:g}"]
        assert control.dashed
        assert not arm.dashed
        spreads = [max(to_rgb(look.color)) - min(to_rgb(look.color)) for look in (arm, control)]
        assert spreads[1] < spreads[0]


def test_readable_colours_reach_the_contrast_of_text() -> None:
    for color in ("#ffff00", "#f89540", "#ffffff", "#000000"):
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(readable(color))]
        assert 1.05 / (np.dot([0.2126, 0.7152, 0.0722], linear) + 0.05) >= 4.5
    assert readable("#000000") == "#000000"


def test_spread_keeps_order_gap_and_bounds() -> None:
    wanted = np.random.default_rng(3).uniform(0, 1, 11)
    placed = spread(wanted, 0.07, 0.0, 1.0)
    order = np.argsort(wanted)
    assert (np.diff(placed[order]) >= 0.07 - 1e-12).all()
    assert placed.min() >= 0
    assert placed.max() <= 1 + 1e-12
    np.testing.assert_allclose(spread([0.1, 0.5, 0.9], 0.2, 0, 1), [0.1, 0.5, 0.9])
    np.testing.assert_allclose(spread([0.5, 0.5], 0.2, 0, 1), [0.4, 0.6])
    np.testing.assert_allclose(spread([1.0, 1.0, 1.0], 0.9, 0, 1), [0, 0.5, 1])
    assert len(spread([], 0.1, 0, 1)) == 0


def test_panels_put_variants_before_controls_and_hold_at_most_eight_arms() -> None:
    table = grid(alphas=tuple(np.linspace(0.1, 1, 11).round(2)))
    groups = panels(table.arms)
    assert [len(group.arms) for group in groups] == [8, 3, 8, 3]
    assert [group.title for group in groups] == [
        "convex",
        "convex",
        "attenuated (control)",
        "attenuated (control)",
    ]
    assert sorted(k for group in groups for k in group.arms) == list(range(1, 23))


def test_labels_are_doses_where_doses_tell_the_arms_apart() -> None:
    arms = [ArmInfo(name="convex-0.5", variant="convex", alpha=0.5), ArmInfo(name="x" * 40), ArmInfo(name="baseline")]
    assert arm_labels(arms, "α") == ["α = 0.5", "x" * 17 + "…", "baseline"]
    assert arm_labels(arms, "dose") == ["convex-0.5", "x" * 17 + "…", "baseline"]
    twins = [ArmInfo(name=name, variant="convex", alpha=0.5) for name in ("a", "b")]
    assert arm_labels(twins, "α") == ["a", "b"]


def test_a_single_evaluation_stands_at_its_step() -> None:
    table = grid(steps=1)
    table = replace(table, steps=(1000,), metrics={"test_loss": table.metrics["test_loss"]})
    figure = curves_figure(table, judged(table))
    drawn(figure)
    low, high = figure.axes[0].get_xlim()
    assert (low, high) == (999, 1001)
    labels = [tick.get_text() for axes in figure.axes for tick in axes.get_xticklabels()]
    assert "1000" in labels
    assert {axes.xaxis.get_offset_text().get_text() for axes in figure.axes} == {""}


def test_the_axis_is_epochs_only_where_all_runs_agree() -> None:
    table = grid()
    assert horizontal(table)[0] == "epoch"
    metrics = dict(table.metrics) | {"epoch": table.metrics["seconds"]}
    other = Table(arms=table.arms, seeds=table.seeds, steps=table.steps, metrics=metrics, status=table.status)
    name, values = horizontal(other)
    assert name == "step"
    np.testing.assert_array_equal(values, table.steps)


def test_a_summary_is_drawn_by_the_curves_it_sums_up() -> None:
    table = with_summaries(grid(), Metric.parse("test_loss_auc"))
    assert drawable(table, "test_loss_auc") == "test_loss"
    verdict = judged(table, metric=Metric.parse("test_loss_auc"))
    drawn(curves_figure(table, verdict))
    line = next(line for line in trend_figure(table, verdict).axes[0].lines if line.get_gid() == "convex")
    assert line.get_ydata()[2] == verdict.arms[2].difference
    with pytest.raises(BadInput, match="nonsense"):
        curves_figure(table, verdict, "nonsense")


@pytest.mark.parametrize("ending", [".png", ".svg", ".pdf"])
def test_saving_twice_gives_the_same_bytes(tmp_path: Path, ending: str) -> None:
    table = grid()
    names = [tmp_path / f"{name}{ending}" for name in "ab"]
    for name in names:
        save(trend_figure(table, judged(table), size="column"), name, dpi=50)
    assert names[0].read_bytes() == names[1].read_bytes()
    assert sorted(tmp_path.iterdir()) == names


def test_sizes_and_text_can_be_chosen(tmp_path: Path) -> None:
    table = grid()
    for size, width in (("page", 7.0), ("column", 3.4)):
        assert curves_figure(table, judged(table), size=size, text_size=9.5).get_size_inches()[0] == width
    with pytest.raises(BadInput, match="size: expected one of column, page, got 'poster'"):
        trend_figure(table, judged(table), size="poster")
    with pytest.raises(BadInput, match=re.escape(".gif")):
        save(Figure(), tmp_path / "x.gif")

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from crossnorm.errors import BadInput
from crossnorm.report import curves_figure, write_report
from crossnorm.report.figures.arm_groups import ramped
from crossnorm.report.figures.learned_alpha import learned_arms, learned_figure
from crossnorm.report.html.chart_data import chart_data
from crossnorm.stats import Table
from tests.report.report_studies import FACTS, grid, judged


def raised(*, learned: bool = False) -> Table:
    """`grid` with α raised linearly to each arm's dose, or found by each run of convex-1 for itself."""
    table = grid()
    doses = np.array([arm.alpha for arm in table.arms])[:, None, None]
    alpha = doses * np.linspace(0, 1, 11) * np.ones((1, 7, 1))
    more = {"alpha": alpha}
    if learned:
        alpha[2] = alpha[2] * np.linspace(0.3, 0.9, 7)[:, None]
        more["alpha_mean"] = np.where(np.arange(5)[:, None, None] == 2, alpha, np.nan)
    return replace(table, metrics=table.metrics | more)


def test_the_arms_that_raise_alpha_are_found() -> None:
    found = ramped(raised())
    assert sorted(found) == [1, 2, 3, 4]
    np.testing.assert_allclose(found[2], np.linspace(0, 1, 11))
    np.testing.assert_allclose(found[1], np.linspace(0, 0.5, 11))
    table = raised(learned=True)
    assert sorted(ramped(table)) == [1, 3, 4]
    alike = np.broadcast_to(table.metrics["alpha"][:, :1], table.metrics["alpha"].shape)
    assert sorted(ramped(replace(table, metrics=table.metrics | {"alpha": alike}))) == [1, 3, 4]
    assert ramped(grid()) == {}


def test_curves_stand_over_the_alpha_in_force() -> None:
    table = raised()
    figure = curves_figure(table, judged(table), over_alpha=True)
    assert figure.axes[2].get_xlabel() == "current α"
    names = {line.get_gid() for line in figure.axes[0].lines}
    assert "baseline" not in names
    for axes, base in ((figure.axes[0], 0.0), (figure.axes[2], table.metrics["test_loss"][0])):
        line = next(line for line in axes.lines if line.get_gid() == "convex-0.5")
        np.testing.assert_allclose(line.get_xdata(), np.linspace(0, 0.5, 11))
        np.testing.assert_allclose(line.get_ydata(), (table.metrics["test_loss"][1] - base).mean(axis=0), rtol=1e-9)
        assert axes.get_xlim()[0] < 0 < 1 < axes.get_xlim()[1] < 1.1


def test_a_study_that_holds_alpha_has_no_such_picture(tmp_path) -> None:
    with pytest.raises(BadInput, match="no arm of the study has an α schedule"):
        curves_figure(grid(), judged(grid()), over_alpha=True)
    write_report(tmp_path, table=grid(), verdict=judged(grid()), facts=FACTS)
    assert not (tmp_path / "curves-alpha.png").exists()
    table = raised(learned=True)
    write_report(tmp_path, table=table, verdict=judged(table), facts=FACTS)
    assert (tmp_path / "curves-alpha.png").read_bytes().startswith(b"\x89PNG")


def test_what_was_learned_is_drawn_site_by_site(tmp_path) -> None:
    table = raised(learned=True)
    chosen = table.metrics["alpha_mean"]
    sites = {f"alpha_attention{k}": chosen * (k + 1) / 11 for k in (10, 0, 2)} | {"alpha_pool": chosen}
    table = replace(table, metrics=table.metrics | sites)
    assert learned_arms(table) == {2: ["alpha_attention0", "alpha_attention2", "alpha_attention10", "alpha_pool"]}
    assert learned_arms(grid()) == {}
    axes = learned_figure(table, judged(table)).axes[0]
    for name in sites:
        line = next(line for line in axes.lines if line.get_gid() == name)
        np.testing.assert_allclose(line.get_ydata(), sites[name][2].mean(axis=0))
    labels = {text.get_text() for text in axes.texts}
    assert {"attention 0", "attention 10", "pool"} <= labels
    write_report(tmp_path, table=table, verdict=judged(table), facts=FACTS)
    assert (tmp_path / "alpha-learned.png").exists()


def test_the_page_has_alpha_as_an_axis_and_learned_doses_as_a_metric() -> None:
    table = raised(learned=True)
    data = chart_data(table, judged(table))
    assert data["axes"]["alpha"]["mean"][1][-1] == 0.5
    assert data["axes"]["alpha"]["runs"][2][6][-1] == pytest.approx(0.9)
    assert data["metrics"]["alpha_mean"]["level"]["convex-1"]["mean"][-1] == pytest.approx(0.6)

from __future__ import annotations

import numpy as np
import pytest

from crossnorm.report.html.chart_data import chart_data
from crossnorm.report.html.report_page import render_page
from crossnorm.stats import Table
from tests.report.report_studies import FACTS, grid, judged

SITES = [f"{what}_{site}" for what in ("sd", "share", "r2") for site in ("attention0", "attention1", "pool")]


def crowded(arms: int, seeds: int, steps: int) -> Table:
    """A study with diagnostics at three sites: nine metrics beside loss and accuracy."""
    table = grid(alphas=tuple(np.linspace(0.01, 1, arms - 1).round(4)), seeds=seeds, steps=steps, control=False)
    loss, generator = table.metrics["test_loss"], np.random.default_rng(3)
    extra = {name: loss * generator.uniform(0.5, 2) + generator.normal(0, 0.01, loss.shape) for name in SITES}
    metrics = {**table.metrics, "train_loss": 1.1 * loss, **extra}
    return Table(arms=table.arms, seeds=table.seeds, steps=table.steps, metrics=metrics, status=table.status)


@pytest.mark.slow
def test_a_page_of_a_thousand_runs_stays_below_seven_megabytes() -> None:
    table = crowded(50, 20, 200)
    html = render_page(table=table, verdict=judged(table), facts=FACTS | {"plan_yaml": "arm: value\n" * 2000})
    assert len(html.encode()) < 7_000_000


def test_the_metric_that_decides_is_drawn_finest() -> None:
    table = crowded(19, 5, 101)
    data = chart_data(table, judged(table))
    arm = table.arms[3].name
    fine, coarse = (data["metrics"][name]["difference"][arm] for name in ("test_loss", "sd_pool"))
    assert len(fine["mean"]) == 80
    assert len(coarse["mean"]) < 80
    for name, band in (("test_loss", fine), ("sd_pool", coarse)):
        at = data["places"][band["at"]]
        assert (at[0], at[-1]) == (0, 100)
        curve = (table.metrics[name][3] - table.metrics[name][0]).mean(axis=0)
        np.testing.assert_allclose(band["mean"], curve[at], rtol=1e-4)
    assert data["labels"][fine["label"]].startswith("bars: 95 %")

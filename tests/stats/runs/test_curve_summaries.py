import numpy as np
import pytest
from scipy import integrate

from crossnorm.metric import Metric
from crossnorm.stats import (
    area_under_curve,
    estimate,
    noise,
    pairing_diagnostics,
    steps_to_target,
    with_summaries,
)
from tests.stats.stats_tables import convex_table, table_of

STEPS = (0, 2, 3, 7, 11)


def curves(seed=0):
    return table_of(np.random.default_rng(seed).normal(size=(2, 3, 5)), steps=STEPS)


def test_area_is_the_mean_height_of_the_curve():
    table = curves()
    expected = integrate.trapezoid(table.curves("test_loss"), STEPS, axis=-1) / 11
    np.testing.assert_allclose(area_under_curve(table, "test_loss"), expected)
    flat = table_of(np.full((1, 2, 5), 3.0), steps=STEPS)
    np.testing.assert_allclose(area_under_curve(flat, "test_loss"), 3)


def test_area_bridges_gaps_and_leaves_out_what_is_not_complete():
    values = np.array(
        [[[1, np.nan, 1, 1, 3], [2, 2, 2, 2, 2], [1, np.inf, 1, 1, 1], [np.nan, 5, np.nan, np.nan, np.nan]]]
    )
    table = table_of(values, steps=STEPS, status=[["complete", "diverged", "complete", "complete"]])
    np.testing.assert_allclose(area_under_curve(table, "test_loss"), [[(7 + 8) / 11, np.nan, np.nan, 5]])


def test_steps_to_target():
    values = [[[5, 4, 3, 4, 2], [5, 5, 5, 5, 5], [np.nan, 3, 1, 1, 1], [1, 1, 1, 1, 1]]]
    status = [["complete", "complete", "complete", "crashed"]]
    table = table_of(values, steps=STEPS, status=status)
    np.testing.assert_array_equal(steps_to_target(table, "test_loss", 3, "lower"), [[3, np.nan, 2, np.nan]])
    np.testing.assert_array_equal(steps_to_target(table, "test_loss", 5, "higher"), [[0, 0, np.nan, np.nan]])


def test_values_that_are_not_finite_reach_no_target():
    table = table_of([[[1, np.inf, 2, 6, 7], [9, -np.inf, 9, 8, 2]]], steps=STEPS)
    np.testing.assert_array_equal(steps_to_target(table, "test_loss", 5, "higher"), [[7, 0]])
    np.testing.assert_array_equal(steps_to_target(table, "test_loss", 3, "lower"), [[0, 11]])


def test_summaries_are_metrics_like_any_other():
    table = with_summaries(curves(), Metric.parse("test_loss_steps_to_0.5"))
    assert set(table.metrics) == {"test_loss", "test_loss_auc", "test_loss_steps_to_0.5"}
    np.testing.assert_allclose(table.final("test_loss_auc"), area_under_curve(curves(), "test_loss"))
    np.testing.assert_allclose(
        table.final("test_loss_steps_to_0.5"), steps_to_target(curves(), "test_loss", 0.5, "lower")
    )
    verdict = estimate(table, study="s", metric=Metric.parse("test_loss_auc"))
    area = area_under_curve(curves(), "test_loss")
    assert verdict.arms[1].difference == pytest.approx((area[1] - area[0]).mean())
    assert set(with_summaries(curves(), Metric.parse("test_loss_auc")).metrics) == {"test_loss", "test_loss_auc"}


def test_a_table_without_steps_has_summaries_without_values():
    table = with_summaries(table_of(np.empty((2, 3, 0)), steps=()), Metric.parse("test_loss_steps_to_1"))
    assert np.isnan(table.final("test_loss_auc")).all()


def test_pairing_diagnostics_at_every_evaluation():
    rng = np.random.default_rng(1)
    values = rng.normal(size=(3, 7, 5)) + rng.normal(size=(7, 5))
    found = pairing_diagnostics(table_of(values, steps=STEPS), "test_loss")
    assert (found.arms, found.steps) == (("arm1", "arm2"), STEPS)
    for i in range(2):
        for k in range(5):
            x, y = values[i + 1, :, k], values[0, :, k]
            assert found.correlation[i, k] == pytest.approx(np.corrcoef(x, y)[0, 1])
            assert found.variance_ratio[i, k] == pytest.approx((x - y).var(ddof=1) / (x.var(ddof=1) + y.var(ddof=1)))


def test_pairing_is_undefined_without_scatter_or_pairs():
    values = np.ones((2, 3, 5))
    values[1, :, 1] = [1, 2, 3]
    status = np.full((2, 3), "complete")
    found = pairing_diagnostics(table_of(values, steps=STEPS), "test_loss")
    assert np.isnan(found.correlation).all()
    np.testing.assert_array_equal(found.variance_ratio, [[np.nan, 1, np.nan, np.nan, np.nan]])
    status[1, 0] = "crashed"
    few = pairing_diagnostics(table_of(values, steps=STEPS, status=status), "test_loss")
    assert np.isnan(few.variance_ratio).all()


def test_noise_is_what_a_plan_reckons_with():
    table = convex_table(n=7)
    values = table.final("test_loss")
    found = noise(table, "test_loss")
    assert found.sd == pytest.approx(np.sqrt((values[1:] - values[0]).var(axis=1, ddof=1).mean()))
    slopes = [np.polyfit([0, 0.25, 0.5, 1], [0, *(values[1:4, s] - values[4:, s])], 1)[0] for s in range(7)]
    assert found.trend_sd == pytest.approx(np.std(slopes, ddof=1))
    assert (found.n, found.trend_n) == (7, 7)
    few = noise(table_of(np.ones((2, 2))), "test_loss")
    assert (few.sd, few.n, few.trend_sd, few.trend_n) == (None, 0, None, 0)

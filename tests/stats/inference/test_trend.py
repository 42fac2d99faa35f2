import numpy as np
import pytest

from crossnorm.stats import ArmInfo, estimate
from crossnorm.stats.inference.trend import dose_grids, seed_slopes
from tests.stats.stats_tables import LOSS, convex_table, dosed, table_of


def fitted(doses, differences):
    return [np.polyfit([0, *doses], [0, *column], 1)[0] for column in np.transpose(differences)]


def test_slopes_agree_with_polyfit():
    table = convex_table(seed=1, n=7, alphas=(0.1, 0.5, 0.7, 1.0))
    values = table.final("test_loss")
    grid, control = dose_grids(table)
    assert (grid.variant, control.variant) == ("convex", "attenuated")
    np.testing.assert_allclose(seed_slopes(values, grid, grid.controls), fitted(grid.doses, values[1:5] - values[5:]))
    against_baseline = [np.polyfit([0, *grid.doses], values[[0, 1, 2, 3, 4], s], 1)[0] for s in range(7)]
    np.testing.assert_allclose(seed_slopes(values, grid, (0,) * 4), against_baseline)


def test_one_dose_is_difference_over_dose_and_doses_may_be_negative():
    arms = (ArmInfo(name="b"), dosed("additive", 4), dosed("additive", -2))
    values = np.random.default_rng(0).normal(size=(3, 5))
    table = table_of(values[:2], arms=arms[:2])
    np.testing.assert_allclose(seed_slopes(values[:2], dose_grids(table)[0], (0,)), (values[1] - values[0]) / 4)
    grid = dose_grids(table_of(values, arms=arms))[0]
    assert (grid.doses, grid.arms, grid.span) == ((-2, 4), (2, 1), 4)
    np.testing.assert_allclose(seed_slopes(values, grid, (0, 0)), fitted((-2, 4), values[[2, 1]] - values[0]))


def test_with_negative_doses_alone_the_slope_is_that_of_more_of_the_variant():
    arms = (ArmInfo(name="b"), dosed("additive", -2), dosed("additive", -0.5))
    values = np.random.default_rng(0).normal(size=(3, 5))
    grid = dose_grids(table_of(values, arms=arms))[0]
    assert (grid.doses, grid.unit("α"), grid.unit("dose")) == ((-2, -0.5), "−α", "−dose")
    np.testing.assert_allclose(seed_slopes(values, grid, (0, 0)), fitted((2, 0.5), values[1:] - values[0]))


def test_a_seed_enters_only_when_complete_in_all_needed_arms():
    table = convex_table(n=7)
    values = table.final("test_loss").copy()
    values[4, 3] = np.nan
    grid = dose_grids(table)[0]
    assert seed_slopes(values, grid, grid.controls).size == 6
    assert seed_slopes(values, grid, (0, 0, 0)).size == 7


def test_controls_come_last_and_sites_are_told_apart():
    arms = (
        ArmInfo(name="b", alpha=0.0),
        dosed("att", 1),
        dosed("convex", 1, control="att-1", site="attention"),
        ArmInfo(name="convex-1@pool", variant="convex", alpha=1.0, site="pool"),
        ArmInfo(name="zero", variant="convex", alpha=0.0, site="attention"),
        ArmInfo(name="free"),
    )
    grids = dose_grids(table_of(np.zeros((6, 3)), arms=arms))
    assert [(grid.variant, grid.arms, grid.is_control) for grid in grids] == [
        ("convex@attention", (2,), False),
        ("convex@pool", (3,), False),
        ("att", (1,), True),
    ]


def test_the_first_arm_stands_for_a_repeated_dose():
    arms = (ArmInfo(name="b"), dosed("v", 1), ArmInfo(name="v-1-lr2", variant="v", alpha=1.0))
    assert dose_grids(table_of(np.zeros((3, 3)), arms=arms))[0].arms == (1,)


@pytest.mark.parametrize("kind", ["bonferroni-t", "sequential"])
def test_answer_and_trend_have_an_error_level_of_their_own(kind):
    table = convex_table(seed=2, n=11)
    found = estimate(table, study="s", metric=LOSS, interval=kind)
    grid = dose_grids(table)[0]
    alone = table_of(np.stack([np.zeros(11), seed_slopes(table.final("test_loss"), grid, grid.controls)]))
    one = estimate(alone, study="s", metric=LOSS, interval=kind).arms[1]
    assert found.answer.contrast == "convex - attenuated"
    np.testing.assert_allclose(
        [found.answer.estimate, found.answer.low, found.answer.high], [one.difference, one.low, one.high]
    )
    assert (found.trend.variant, [t.variant for t in found.trends]) == ("convex", ["attenuated"])
    assert found.trend.slope == pytest.approx(found.answer.estimate + found.trends[0].slope)


def test_without_control_answer_equals_trend():
    arms = (ArmInfo(name="baseline"), dosed("matched", 0.5), dosed("matched", 1))
    table = table_of(np.random.default_rng(3).normal(size=(3, 5)), arms=arms)
    found = estimate(table, study="s", metric=LOSS)
    assert found.answer.contrast == "matched - baseline"
    assert (found.answer.estimate, found.answer.low, found.answer.high, found.answer.p_value) == (
        found.trend.slope,
        found.trend.low,
        found.trend.high,
        found.trend.p_value,
    )

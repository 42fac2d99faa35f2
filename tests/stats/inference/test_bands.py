from importlib import import_module

import numpy as np
import pytest
from scipy import stats

from crossnorm.errors import BadInput
from crossnorm.stats import bands
from crossnorm.stats.inference.bands import ribbon_critical
from crossnorm.stats.inference.intervals import critical_value
from tests.stats.stats_tables import table_of


def curves(n, evaluations=7, arms=2, seed=0):
    rng = np.random.default_rng(seed)
    return table_of(rng.normal(size=(arms, n, evaluations)).cumsum(axis=2), steps=range(0, 10 * evaluations, 10))


def test_bars_are_student_t_with_bonferroni_over_evaluations():
    table = curves(5)
    found = bands(table, "test_loss").arms[1]
    reference = stats.ttest_1samp(table.curves("test_loss")[1], 0).confidence_interval(1 - 0.05 / 7)
    np.testing.assert_allclose([found.low, found.high], [reference.low, reference.high])
    np.testing.assert_allclose(found.mean, table.curves("test_loss")[1].mean(axis=0))
    assert (found.kind, found.n, found.steps) == ("bars", 5, table.steps)
    assert found.label == (
        "bars: 95 % Student-t intervals (Bonferroni), 5 runs, simultaneous over 7 evaluations, separately for each arm"
    )


def test_ten_evaluations_are_declared_at_most_and_the_last_is_among_them():
    table = curves(5, evaluations=31)
    found = bands(table, "test_loss").arms[0]
    assert (len(found.steps), found.steps[-1], len(found.curve)) == (10, table.steps[-1], 31)
    chosen = bands(table, "test_loss", steps=[300, 20]).arms[0]
    assert chosen.steps == (20, 300)
    assert "simultaneous over 2 evaluations" in chosen.label
    with pytest.raises(BadInput, match="at most 10 declared evaluations"):
        bands(table, "test_loss", steps=table.steps[:11])
    with pytest.raises(BadInput, match="steps: expected evaluations of the table"):
        bands(table, "test_loss", steps=[5])


def test_a_ribbon_from_ten_runs_on_lies_between_one_t_and_bonferroni():
    table = curves(11, evaluations=13)
    found = bands(table, "test_loss").arms[0]
    runs = table.curves("test_loss")[0]
    critical = (found.high - found.mean) / (runs.std(axis=0, ddof=1) / np.sqrt(11))
    np.testing.assert_allclose(critical, critical[0])
    assert critical_value(11, 0.05) < critical[0] < critical_value(11, 0.05 / 13)
    assert (found.kind, len(found.steps)) == ("ribbon", 13)
    assert "93 to 95 % measured" in found.label


def test_the_ribbon_knows_independence_and_its_absence():
    rng = np.random.default_rng(1)
    one = rng.normal(size=(200, 1))
    assert ribbon_critical(np.repeat(one, 5, axis=1), 0.05) == pytest.approx(critical_value(200, 0.05), rel=0.03)
    sidak = 1 - 0.95 ** (1 / 5)
    assert ribbon_critical(rng.normal(size=(200, 5)), 0.05) == pytest.approx(critical_value(200, sidak), rel=0.03)


def test_ribbons_repeat_and_do_not_depend_on_scale():
    runs = np.random.default_rng(2).normal(size=(11, 5))
    assert ribbon_critical(runs, 0.05) == ribbon_critical(runs, 0.05)
    assert ribbon_critical(1e-8 * runs + 3, 0.05) == pytest.approx(ribbon_critical(runs, 0.05), rel=1e-5)


@pytest.mark.parametrize("n", [5, 11])
def test_an_evaluation_without_scatter_has_no_width(n):
    values = np.random.default_rng(3).normal(size=(1, n, 3))
    values[:, :, 0] = 2.3
    found = bands(table_of(values, steps=(0, 1, 2)), "test_loss").arms[0]
    assert (found.low[0], found.high[0]) == (2.3, 2.3)
    assert (found.high[1:] > found.low[1:]).all()
    still = bands(table_of(np.ones((1, n, 3)), steps=(0, 1, 2)), "test_loss").arms[0]
    np.testing.assert_array_equal([still.low, still.high], np.ones((2, 3)))


@pytest.mark.parametrize("n", [0, 1, 2])
def test_below_three_runs_there_is_a_curve_but_no_interval(n):
    found = bands(curves(n), "test_loss").arms[0]
    assert (found.n, found.kind) == (n, "bars")
    assert len(found.curve) == len(found.curve_steps) == (7 if n else 0)
    assert np.isnan(found.low).all()
    assert np.isnan(found.high).all()
    assert found.label.startswith(f"no interval: {n} run")


def test_only_complete_runs_and_shared_evaluations_count():
    values = np.ones((1, 5, 3)) * np.arange(5)[:, None]
    values[0, 1, 1] = np.nan
    values[0, 4] = np.inf
    status = [["complete", "complete", "complete", "complete", "diverged"]]
    found = bands(table_of(values, status=status, steps=(0, 10, 20)), "test_loss").arms[0]
    assert (found.n, found.steps, found.curve.tolist()) == (4, (0, 20), [1.5, 1.5])


def test_difference_bands_are_of_pairs():
    table = curves(5, arms=3)
    found = bands(table, "test_loss", difference=True)
    values = table.curves("test_loss")
    assert [arm.arm for arm in found.arms] == ["arm1", "arm2"]
    np.testing.assert_allclose(found.arms[1].mean, (values[2] - values[0]).mean(axis=0))
    assert ", 5 pairs, " in found.arms[0].label


def test_sequential_bands_stay_bars_and_say_so():
    found = bands(curves(17), "test_loss", interval="sequential").arms[0]
    assert found.kind == "bars"
    assert "confidence sequences" in found.label
    assert np.isinf(bands(curves(3), "test_loss", interval="sequential").arms[0].high).all()


def test_the_simulation_of_many_runs_agrees_with_that_of_every_run(monkeypatch):
    """Bartlett's decomposition and n drawn curves are the same distribution: two simulations of 4000 draws differ by
    about 1 % at the 95 % quantile."""
    room = import_module("crossnorm.stats.inference.bands")
    curves = np.random.default_rng(7).standard_normal((131, 5)).cumsum(axis=1)
    quick = room.ribbon_critical(curves, 0.05)
    monkeypatch.setattr(room, "_MANY_RUNS", 10_000)
    assert quick == pytest.approx(room.ribbon_critical(curves, 0.05), rel=0.03)
    assert quick != room.ribbon_critical(curves, 0.05)

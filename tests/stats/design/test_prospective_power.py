"""What a plan promises, against statsmodels' power, numpy's least squares and plain loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.power import TTestPower

from crossnorm.errors import BadInput
from crossnorm.stats import ArmInfo, Table, outlook

ARMS = (
    ArmInfo(name="baseline", alpha=0.0),
    ArmInfo(name="convex-0.5", variant="convex", alpha=0.5, control="attenuated-0.5"),
    ArmInfo(name="convex-1", variant="convex", alpha=1.0, control="attenuated-1"),
    ArmInfo(name="attenuated-0.5", variant="attenuated", alpha=0.5),
    ArmInfo(name="attenuated-1", variant="attenuated", alpha=1.0),
)
FAMILY = 4 + 2


def runs(seeds: int, planned: bool = False) -> Table:
    shape = (len(ARMS), seeds)
    values = np.random.default_rng(3).normal(1, 0.1, (*shape, 1))
    metrics = {} if planned else {"test_loss": values}
    status = np.full(shape, "missing" if planned else "complete")
    return Table(arms=ARMS, seeds=tuple(range(seeds)), steps=() if planned else (11,), metrics=metrics, status=status)


def measured_sd(table: Table) -> float:
    values = table.final("test_loss")
    return math.sqrt(np.mean([np.var(row - values[0], ddof=1) for row in values[1:]]))


def slope_sd(table: Table) -> float:
    values = table.final("test_loss")
    gaps = np.stack([0 * values[0], values[1] - values[3], values[2] - values[4]])
    return float(np.std(np.polyfit([0, 0.5, 1], gaps, 1)[0], ddof=1))


def test_standard_deviations_and_their_ranges_are_those_of_the_runs():
    table = runs(7)
    found = outlook(runs(11, planned=True), table, metric="test_loss")
    for prospect, sd in ((found.arm, measured_sd(table)), (found.trend, slope_sd(table))):
        low, high = 6 / stats.chi2.ppf([0.975, 0.025], 6)
        assert prospect.sd == pytest.approx(sd)
        assert prospect.sd_range == pytest.approx((sd * math.sqrt(low), sd * math.sqrt(high)))
        assert prospect.pairs == 7
    assert (found.seeds, found.arm.comparisons, found.trend.comparisons) == (11, FAMILY, 1)
    assert found.trend.name == "convex - attenuated"


def test_the_detectable_difference_agrees_with_statsmodels():
    table = runs(7)
    found = outlook(runs(11, planned=True), table, metric="test_loss")
    for prospect, sd, m in ((found.arm, measured_sd(table), FAMILY), (found.trend, slope_sd(table), 1)):
        expected = sd * TTestPower().solve_power(nobs=11, alpha=0.05 / m, power=0.8)
        assert prospect.detectable == pytest.approx(expected, rel=1e-4)


def test_seeds_for_a_difference_agree_with_statsmodels():
    table = runs(7)
    found = outlook(runs(11, planned=True), table, metric="test_loss", difference=-0.05)
    for prospect, m in ((found.arm, FAMILY), (found.trend, 1)):
        scales = (prospect.sd, *prospect.sd_range)
        needed = [TTestPower().solve_power(0.05 / sd, alpha=0.05 / m, power=0.8) for sd in scales]
        assert prospect.for_difference == tuple(math.ceil(n) for n in needed)


def test_seeds_for_the_margin_are_the_first_that_are_enough():
    table = runs(7)
    found = outlook(runs(11, planned=True), table, metric="test_loss", margin="5 %")
    margin = 0.05 * table.final("test_loss")[0].mean()
    assert found.margin == pytest.approx(margin)
    for n, sd in zip(found.arm.for_margin, (found.arm.sd, *found.arm.sd_range), strict=True):
        halves = [stats.t.ppf(1 - 0.025 / FAMILY, k - 1) * sd / math.sqrt(k) for k in (n - 1, n)]
        assert halves[0] > margin >= halves[1]


def test_looking_costs_seeds():
    table, planned = runs(7), runs(11, planned=True)
    fixed = outlook(planned, table, metric="test_loss", difference=0.05)
    looked = outlook(planned, table, metric="test_loss", difference=0.05, later="sequential")
    always = outlook(planned, table, metric="test_loss", interval="sequential", later="sequential")
    assert looked.arm.for_difference[0] > fixed.arm.for_difference[0]
    assert looked.arm.detectable == fixed.arm.detectable
    assert always.arm.detectable > fixed.arm.detectable


@pytest.mark.parametrize("measured", [None, 2])
def test_without_three_pairs_nothing_is_invented(measured):
    table = None if measured is None else runs(measured)
    found = outlook(runs(5, planned=True), table, metric="test_loss", difference=0.1, margin=0.1)
    for prospect in (found.arm, found.trend):
        values = (prospect.sd, prospect.sd_range, prospect.detectable, prospect.for_difference, prospect.for_margin)
        assert values == (None,) * 5
    assert outlook(runs(5, planned=True), None, metric="test_loss", margin="1 %").margin is None


@pytest.mark.parametrize("difference", [0.0, math.nan, math.inf])
def test_a_difference_must_be_one(difference):
    with pytest.raises(BadInput, match="difference: expected a finite number other than 0"):
        outlook(runs(5, planned=True), None, metric="test_loss", difference=difference)

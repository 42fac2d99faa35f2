"""The simulations behind the calibration tables: that they judge as `estimate` does, and what they find."""

import importlib.util
import json

import numpy as np
import pytest

from crossnorm.stats import ArmInfo, estimate
from crossnorm.stats.inference.intervals import bounds
from tests.repository import IS_CHECKOUT, ROOT
from tests.stats.stats_tables import LOSS, dosed, table_of

SCRIPT = ROOT / "benchmarks" / "calibration.py"
RESULTS = ROOT / "results" / "calibration"
pytestmark = pytest.mark.skipif(not IS_CHECKOUT, reason="the sdist has no benchmarks")


@pytest.fixture(scope="module")
def calibration():
    spec = importlib.util.spec_from_file_location("calibration", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("kind", ["normal", "t4", "skewed"])
def test_noise_is_standardised_and_arms_correlate(calibration, kind):
    d = calibration.differences(np.random.default_rng(0), kind, 20000, 3, 7).transpose(1, 0, 2).reshape(3, -1)
    np.testing.assert_allclose(d.mean(axis=1), 0, atol=0.02)
    np.testing.assert_allclose(np.cov(d), 0.5 + 0.5 * np.eye(3), atol=0.05)


def test_simulated_studies_are_judged_as_real_ones(calibration):
    d = 2 * calibration.differences(np.random.default_rng(1), "skewed", 60, 4, 5)
    low, high = bounds(d, 0.05 / 4)
    slopes = calibration.trend_slopes(d)
    arms = (ArmInfo(name="baseline"), *(dosed("v", k / 4) for k in (1, 2, 3, 4)))
    for k, study in enumerate(d):
        found = estimate(
            table_of(np.concatenate([np.zeros((1, 5)), study]), arms=arms),
            study="s",
            metric=LOSS,
        )
        np.testing.assert_allclose([row.low for row in found.arms[1:]], low[k])
        np.testing.assert_allclose([row.high for row in found.arms[1:]], high[k])
        assert found.answer.estimate == pytest.approx(slopes[k].mean())


def test_plain_t_at_every_look_is_the_interval_at_every_look(calibration):
    d = np.random.default_rng(2).normal(0.5, 1, (31, 11))
    looked = calibration.looked_at_t(d, 0.05)
    for n in range(3, 12):
        low, high = bounds(d[:, :n], 0.05)
        np.testing.assert_array_equal(looked[:, n - 3], (low > 0) | (high < 0))


def test_runs_resume_and_say_what_fails(calibration, tmp_path, capsys):
    first = calibration.run(tmp_path, 100, only="family/skewed/n=5")
    assert "family/skewed/n=5/arms=9" in capsys.readouterr().err
    assert calibration.run(tmp_path, 100, only="family/skewed/n=5") == first
    assert capsys.readouterr().err == ""
    text = calibration.report(first)
    assert "Under normal noise every guarantee holds." in text
    assert "- skewed noise: some arm is falsely called better or worse more often than in 5 % of studies" in text
    normal = {"family/normal/n=5/arms=1": {"studies": 4000, "false_verdicts": 0.08, "coverage": 0.92}}
    assert "Under normal noise some guarantees fail." in calibration.report(normal)
    assert "an interval covers less than 95 %, in 1 cell: 92.0 % (n = 5, arms = 1)." in calibration.report(normal)


def test_the_published_table_is_what_the_script_writes(calibration):
    if not (RESULTS / "table.json").exists():
        pytest.skip("the results are not part of this copy")
    stored = json.loads((RESULTS / "table.json").read_text("utf-8"))
    assert set(stored) == set(calibration.cells())
    assert all(cell["studies"] >= 4000 for cell in stored.values())
    ordered = {name: stored[name] for name in calibration.cells()}
    assert (RESULTS / "README.md").read_text("utf-8") == calibration.report(ordered)
    assert not [name for name in stored if "/normal/" in name and calibration.failures(name, stored[name])]


@pytest.mark.slow
def test_guarantees_hold_under_normal_noise_and_break_under_skew(calibration, tmp_path):
    table = calibration.run(tmp_path, 500)
    assert not {
        name: said for name, cell in table.items() if "/normal/" in name and (said := calibration.failures(name, cell))
    }
    assert any("skewed/n=3" in name and calibration.failures(name, cell) for name, cell in table.items())

import json
import re

import numpy as np
import pytest
from scipy import stats

from crossnorm import compare
from crossnorm.errors import BadInput
from crossnorm.metric import Metric
from crossnorm.stats import ArmInfo, estimate
from tests.stats.stats_tables import LOSS, convex_table, table_of

KEYS = {
    "study", "metric", "direction", "margin", "confidence", "n_pairs", "complete", "interval",
    "answer", "arms", "contrasts", "trend", "trends", "pairing",
}  # fmt: skip
ARM = {
    "arm", "variant", "alpha", "site", "n", "mean", "difference", "low", "high", "verdict",
    "pairs_needed", "diverged", "crashed",
}  # fmt: skip


def judged(table, **options):
    return estimate(table, **({"study": "s", "metric": LOSS} | options))


def as_json(table, **options):
    def refuse(constant):
        raise AssertionError(constant)

    return json.loads(judged(table, **options).to_json(), parse_constant=refuse)


def test_fields_are_those_of_the_contract():
    found = as_json(convex_table())
    assert set(found) == KEYS
    assert set(found["arms"][0]) == ARM
    assert set(found["answer"]) == {"contrast", "estimate", "low", "high", "p_value", "verdict", "sentence"}
    assert set(found["contrasts"][0]) == {"arm", "against", "alpha", "n", "difference", "low", "high", "verdict"}
    assert set(found["trend"]) == set(found["trends"][0]) == {"variant", "slope", "low", "high", "p_value", "n"}
    assert set(found["pairing"]) == {"correlation", "variance_ratio"}


def test_arms_and_contrasts_are_one_bonferroni_family():
    table = convex_table(n=7)
    values, found = table.final("test_loss"), judged(table)
    assert (len(found.arms), len(found.contrasts)) == (7, 3)
    for i, row in enumerate(found.arms[1:], start=1):
        low, high = stats.ttest_rel(values[i], values[0]).confidence_interval(1 - 0.05 / 9)
        np.testing.assert_allclose([row.low, row.high], [low, high], rtol=1e-9)
        np.testing.assert_allclose([row.mean, row.difference], [values[i].mean(), (values[i] - values[0]).mean()])
    for i, row in enumerate(found.contrasts, start=1):
        low, high = stats.ttest_rel(values[i], values[i + 3]).confidence_interval(1 - 0.05 / 9)
        np.testing.assert_allclose([row.low, row.high], [low, high], rtol=1e-9)
        assert (row.arm, row.against) == (table.arms[i].name, table.arms[i + 3].name)


def test_pairing_is_measured_at_the_end():
    values = np.random.default_rng(0).normal(size=(2, 5)) + np.random.default_rng(1).normal(size=5)
    found = judged(table_of(values)).pairing
    assert found.correlation == pytest.approx(np.corrcoef(values)[0, 1])
    ratio = (values[1] - values[0]).var(ddof=1) / values.var(ddof=1, axis=1).sum()
    assert found.variance_ratio == pytest.approx(ratio)


def test_means_are_over_pairs_and_diverged_runs_are_counted():
    status = [["complete", "complete", "complete", "complete", "crashed"], ["diverged"] + ["complete"] * 4]
    found = judged(table_of([[1, 2, 3, 4, 5], [9, 3, 4, 5.5, 6]], status=status))
    baseline, arm = found.arms
    assert (baseline.n, baseline.mean, baseline.crashed, baseline.diverged) == (4, 2.5, 1, 0)
    assert (arm.n, arm.mean, arm.diverged, arm.verdict) == (3, pytest.approx(12.5 / 3), 1, "undecided")
    assert (found.n_pairs, found.complete) == (3, True)


def test_missing_runs_make_a_study_incomplete():
    found = judged(table_of([[1, 2], [1, 2]], status=[["complete", "complete"], ["complete", "missing"]]))
    assert found.complete is False
    assert "1 of 4 runs is still missing" in found.answer.sentence


def test_margin_is_stated_in_the_unit_of_the_metric():
    assert as_json(table_of([[2, 4, 6], [2, 4, 7]]), margin="5 %")["margin"] == 0.2
    assert as_json(table_of([[2, 4, 6], [2, 4, 7]]))["margin"] is None


def test_pairs_needed_goes_with_a_margin():
    table = convex_table(n=11)
    wide = judged(table, margin=10).arms
    tight = judged(table, margin=0.01).arms
    assert wide[0].pairs_needed is None
    assert all(row.pairs_needed == (3, 3, 3) for row in wide[1:])
    assert all(row.pairs_needed[1] < row.pairs_needed[0] < row.pairs_needed[2] for row in tight[1:])
    assert judged(table).arms[1].pairs_needed is None


EDGES = {
    "no seeds": table_of(np.empty((3, 0))),
    "no steps": table_of(np.empty((2, 3, 0)), steps=()),
    "one pair": table_of([[1], [2]]),
    "two pairs": table_of([[1, 2], [1, 2]]),
    "baseline alone": table_of([[1, 2, 3]]),
    "all missing": table_of(np.full((2, 5), np.nan), status=np.full((2, 5), "missing")),
    "all diverged": table_of(np.full((2, 5), np.nan), status=np.full((2, 5), "diverged")),
    "all nan": table_of(np.full((2, 5), np.nan)),
    "infinities": table_of([[1, 2, 3], [np.inf, -np.inf, np.nan]]),
    "huge": table_of([[1e308, -1e308, 1e308, 0], [-1e308, 1e308, -1e308, 1]]),
    "identical": table_of([[1, 2, 3], [1, 2, 3]]),
    "one shift": table_of([[1, 2, 3, 4, 5, 6, 7], [2, 3, 4, 5, 6, 7, 8]]),
    "constant": table_of(np.ones((2, 5)) * [[1], [2]]),
    "dosed, all missing": table_of(
        np.full((7, 3), np.nan), arms=convex_table().arms, status=np.full((7, 3), "missing")
    ),
    "dosed, identical": table_of(np.ones((7, 3)), arms=convex_table().arms),
}


@pytest.mark.parametrize("interval", ["bonferroni-t", "sequential"])
@pytest.mark.parametrize("margin", [None, 0.1, "1 %", 0])
@pytest.mark.parametrize("name", EDGES)
def test_edge_cases_are_valid_json_with_a_sentence(name, margin, interval):
    found = as_json(EDGES[name], margin=margin, interval=interval)
    assert found["answer"]["sentence"].endswith(".")
    assert "None" not in found["answer"]["sentence"]
    assert "nan" not in found["answer"]["sentence"]
    for row in found["arms"][1:]:
        assert row["n"] >= 3 or (row["low"], row["high"], row["pairs_needed"]) == (None, None, None)
        assert row["n"] >= 3 or row["verdict"] == "undecided"
    assert all(trend["n"] >= 3 or trend["low"] is None for trend in [found["trend"], *found["trends"]])


@pytest.mark.parametrize("interval", ["bonferroni-t", "sequential"])
@pytest.mark.parametrize("name", ["identical", "dosed, identical"])
def test_identical_curves_are_the_same(name, interval):
    found = judged(EDGES[name], interval=interval)
    assert {(row.verdict, row.difference, row.low, row.high) for row in found.arms[1:]} == {("same", 0, 0, 0)}
    assert (found.answer.estimate, found.answer.low, found.answer.high, found.answer.p_value) == (0, 0, 0, 1)
    assert found.answer.verdict == "same"
    assert "test loss exactly the same in all 3 pairs, so they are the same by definition" in found.answer.sentence


def test_json_is_canonical():
    text = judged(convex_table()).to_json()
    assert text == json.dumps(json.loads(text), indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    numbers = []
    json.loads(text, parse_float=numbers.append)
    digits = [number.lower().split("e")[0].lstrip("-0.").replace(".", "") for number in numbers]
    assert max(map(len, digits)) == 10
    assert "-0.0" not in numbers
    assert text == judged(convex_table()).to_json()


def test_zero_has_no_sign():
    assert "-0.0" not in judged(table_of([[0.0, 1, 2], [-0.0, 1, 2]])).to_json()


def test_one_free_arm_is_the_answer():
    found = judged(table_of([[1, 2, 3, 4], [2, 3.5, 4, 5]]))
    row = found.arms[1]
    assert found.answer.contrast == "arm1 - baseline"
    assert (found.answer.estimate, found.answer.low, found.answer.high) == (row.difference, row.low, row.high)
    assert (found.trend.variant, found.trend.slope, found.trend.n, found.trends) == (None, None, 0, ())


def test_one_free_arm_with_a_control_is_the_answer_against_it():
    arms = (ArmInfo(name="baseline"), ArmInfo(name="new", control="sham"), ArmInfo(name="sham"))
    values = np.random.default_rng(0).normal(size=(3, 5))
    found = judged(table_of(values, arms=arms))
    assert found.answer.contrast == "new - sham"
    assert found.answer.p_value == pytest.approx(stats.ttest_rel(values[1], values[2]).pvalue)


def test_several_free_arms_have_no_single_answer():
    found = judged(table_of(np.random.default_rng(0).normal(size=(3, 5))))
    assert (found.answer.contrast, found.answer.estimate, found.answer.verdict) == (None, None, None)
    assert "in test loss: 2 undecided. Scope: these 5 seeds and" in found.answer.sentence


def test_unknown_metric():
    with pytest.raises(BadInput, match="metric: expected one of test_loss"):
        judged(convex_table(), metric=Metric("accuracy", direction="lower"))


@pytest.mark.parametrize("size", [1.7e308, 1e200, 1e120, 9e99, 1e-99, 1e-200, 5e-324])
def test_numbers_of_any_size_give_no_warning_and_no_nan(size):
    doses = {"a": 0, "b": 1e-50, "c": 1e50}
    rows = [
        {"arm": arm, "dose": dose, "seed": seed, "step": step, "loss": (-1) ** seed * size / (1 + step) * own}
        for (arm, dose), own in zip(doses.items(), (0.7, 1.0, 0.9), strict=True)
        for seed in range(5)
        for step in (0, 1)
    ]
    for metric in ("loss", "loss_auc"):
        found = compare(rows, metric=metric, direction="lower")
        assert not re.search(r"\b(nan|inf)", found.verdict.answer.sentence)
        assert not re.search(r"\b(NaN|Infinity)", found.verdict.to_json())

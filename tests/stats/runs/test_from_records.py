import csv

import numpy as np
import pytest

from crossnorm.errors import BadInput
from crossnorm.metric import Metric
from crossnorm.stats import estimate, table_from_records, with_summaries
from tests.repository import ROOT


def rows(*specs, metric="loss"):
    return [{"arm": a, "seed": s, "step": t, metric: v} for a, s, t, v in specs]


def test_rows_in_any_order_and_as_text():
    records = rows(("b", 3, 2, 9.0), ("a", 1, 1, 4), ("a", 3, 2, 7.5), ("b", 3, 1, 8), ("a", 3, 1, 7), ("a", 1, 2, 5))
    as_text = [{key: str(value) for key, value in row.items()} for row in records]
    for given in (records, as_text):
        table = table_from_records(given, baseline="a")
        assert [arm.name for arm in table.arms] == ["a", "b"]
        assert (table.seeds, table.steps) == ((1, 3), (1, 2))
        np.testing.assert_array_equal(table.curves("loss"), [[[4, 5], [7, 7.5]], [[np.nan] * 2, [8, 9]]])
        assert table.status.tolist() == [["complete", "complete"], ["missing", "complete"]]


def test_numpy_cells_and_whole_floats():
    record = {"arm": "a", "seed": np.int64(2), "step": np.float64(3.0), "loss": np.float32(0.5)}
    table = table_from_records([record])
    assert (table.seeds, table.steps, table.curves("loss").item()) == ((2,), (3,), 0.5)


@pytest.mark.parametrize(
    ("names", "doses", "first"),
    [(["x", "baseline"], [None, None], "baseline"), (["x", "y"], [1, 0], "y"), (["x", "y"], [None, None], "x")],
)
def test_which_arm_is_the_baseline(names, doses, first):
    records = [{"arm": a, "seed": 0, "step": 1, "loss": 1, "dose": d} for a, d in zip(names, doses, strict=True)]
    assert table_from_records(records).arms[0].name == first
    assert table_from_records(records, baseline="x").arms[0].name == "x"


def test_doses_and_controls_become_variants():
    records = [
        {"arm": arm, "seed": 0, "step": 1, "loss": 1, "dose": dose, "control": control}
        for arm, dose, control in [
            ("baseline", 0, ""),
            ("convex-0.5", 0.5, "attenuated-0.5"),
            ("convex-1", 1.0, "attenuated-1"),
            ("attenuated-0.5", 0.5, "baseline"),
            ("attenuated-1", "1", None),
            ("additive--4", -4, None),
        ]
    ]
    table = table_from_records(records)
    assert [arm.variant for arm in table.arms[1:]] == ["convex"] * 2 + ["attenuated"] * 2 + ["additive"]
    assert [arm.control for arm in table.arms] == [None, "attenuated-0.5", "attenuated-1", None, None, None]
    assert [arm.alpha for arm in table.arms] == [0, 0.5, 1, 0.5, 1, -4]


def test_beside_a_baseline_with_a_dose_there_is_no_trend():
    """A line through the baseline at dose 0 would have slope -1 here, and the losses rise with the dose."""
    doses = {"plain": 0.0, "half": 0.5, "whole": 1.0}
    records = [
        {"arm": arm, "seed": seed, "step": 1, "loss": seed + dose, "dose": dose}
        for arm, dose in doses.items()
        for seed in range(3)
    ]
    known = estimate(table_from_records(records), study="s", metric=Metric("loss", direction="lower"))
    assert (known.trend.variant, known.trend.slope) == ("half, whole", pytest.approx(1.0))
    for chosen in ("half", "whole"):
        table = table_from_records(records, baseline=chosen)
        found = estimate(table, study="s", metric=Metric("loss", direction="lower"))
        assert {(arm.variant, arm.alpha) for arm in table.arms} == {(None, None)}
        assert (found.trend.slope, found.trends, found.answer.estimate) == (None, (), None)
        assert {row.arm: row.difference for row in found.arms[1:]} == pytest.approx(
            {arm: dose - doses[chosen] for arm, dose in doses.items() if arm != chosen}
        )


def test_free_names_with_doses_are_one_variant_of_their_names():
    records = [
        {"arm": arm, "seed": 0, "step": 1, "loss": 1, "dose": dose, "control": control}
        for arm, dose, control in [
            ("plain", 0, ""),
            ("half", 0.5, "dim"),
            ("full", 1, "dark"),
            ("dim", 0.5, ""),
            ("dark", 1, ""),
        ]
    ]
    table = table_from_records(records)
    assert [arm.variant for arm in table.arms] == [None, *["half, full"] * 2, *["dim, dark"] * 2]
    assert table.dose_name == "dose"
    more = [{"arm": f"arm{k}", "seed": 0, "step": 1, "loss": 1, "dose": 10 - k} for k in range(5)]
    assert {arm.variant for arm in table_from_records(records[:1] + more).arms} == {None, "arm4 … arm0"}


def test_the_arms_of_the_manual_keep_their_names():
    manual = (ROOT / "docs" / "howto" / "own-training.md").read_text(encoding="utf-8")
    rows = manual[manual.index("arm,seed,step,dose") :].partition("\n```")[0]
    table = table_from_records(csv.DictReader(rows.splitlines()))
    found = estimate(table, study="s", metric=Metric("loss", direction="lower"), margin=0.01)
    assert [arm.name for arm in table.arms] == ["baseline", "mine", "shrunk"]
    assert found.answer.contrast == "mine - shrunk"
    assert found.answer.sentence.startswith("mine against its control shrunk, trend from dose 0 to 1: ")
    assert found.trend.variant == "mine"
    assert "α" not in found.answer.sentence


def test_doses_of_named_variants_are_alpha():
    record = {"seed": 0, "step": 1, "loss": 1}
    records = [record | {"arm": "a", "dose": 0}, record | {"arm": "b", "dose": 1, "variant": "convex"}]
    assert table_from_records(records).dose_name == "α"
    assert with_summaries(table_from_records(records[:1]), Metric("loss", "auc")).dose_name == "dose"


def test_explicit_variant_site_and_status():
    records = [
        {"arm": "a", "seed": 0, "step": 1, "loss": 1, "status": "complete"},
        {"arm": "b", "seed": 0, "step": 1, "loss": 1, "status": "crashed", "variant": "v", "site": "pool", "dose": 2},
    ]
    table = table_from_records(records)
    assert (table.arms[1].variant, table.arms[1].site, table.arms[1].alpha) == ("v", "pool", 2)
    assert table.status.tolist() == [["complete"], ["crashed"]]


@pytest.mark.parametrize("bad", [np.nan, np.inf, "nan", "-inf"])
def test_a_run_that_ends_non_finite_diverged(bad):
    table = table_from_records(rows(("a", 0, 1, 1), ("a", 0, 2, 1), ("b", 0, 1, 1), ("b", 0, 2, bad)))
    assert table.status.tolist() == [["complete"], ["diverged"]]


def test_a_run_that_stops_early_is_missing_unless_it_ended_non_finite():
    table = table_from_records(rows(("a", 0, 1, 1), ("a", 0, 2, 1), ("a", 1, 1, 1), ("a", 2, 1, np.nan)))
    assert table.status.tolist() == [["complete", "missing", "diverged"]]


def test_arms_may_end_at_steps_of_their_own():
    table = table_from_records(rows(("a", 0, 100, 1), ("a", 1, 100, 1), ("b", 0, 200, 3), ("b", 1, 200, 3)))
    assert (table.status == "complete").all()
    np.testing.assert_array_equal(table.final("loss"), [[1, 1], [3, 3]])


def test_metrics_logged_at_different_steps_leave_gaps_not_divergence():
    nan = np.nan
    records = [
        {"arm": arm, "seed": 0, "step": step, "train": train, "test": test}
        for arm in "ab"
        for step, train, test in [(1, 3.0, nan), (2, 2.0, 1.0), (3, 1.5, nan), (4, 1.0, 0.5)]
    ]
    table = table_from_records(records)
    assert (table.status == "complete").all()
    all_diverge = rows(("a", 0, 1, 1), ("a", 0, 2, nan), ("b", 0, 1, 1), ("b", 0, 2, nan))
    assert (table_from_records(all_diverge).status == "diverged").all()


def test_empty_cells_are_not_measured():
    records = [
        {"arm": "a", "seed": 0, "step": 1, "loss": 2, "accuracy": ""},
        {"arm": "a", "seed": 0, "step": 2, "loss": None, "accuracy": 0.5},
    ]
    table = table_from_records(records)
    np.testing.assert_array_equal(table.curves("loss"), [[[2, np.nan]]])
    assert table.status.item() == "complete"


@pytest.mark.parametrize(
    ("records", "message"),
    [
        ([], "table: expected at least one row"),
        ([{"arm": "a", "step": 1}], "row 1: columns: .*arm, seed, step and metrics \\(seed is missing\\), got arm"),
        ([{"arm": "a", "seed": None, "step": 1}], "row 1: seed: expected a value in every row"),
        (rows(("a", 0, 1, "high")), "row 1: loss: expected a number, got high"),
        (rows(("a", 0, 1, 1), ("a", 0.5, 1, 1)), "row 2: seed: expected a whole number, got 0.5"),
        (rows(("a", 0, 1, 1), ("a", 0, 1, 2)), "row 2: loss: expected one value for arm a, seed 0, step 1"),
        ([{"arm": "a", "seed": s, "step": 1, "dose": s} for s in (1, 2)], "row 2: dose: expected one dose per arm"),
        (rows(("a", 0, 1, 10**400)), "row 1: loss: expected a number, got 1000"),
        ([{"arm": "a", "seed": 1, "step": 1, "status": "done"}], "row 1: status: expected one of complete"),
        ([{"arm": "a", "seed": 1, "step": 1, "dose": "much"}], "row 1: dose: expected a number, got much"),
    ],
)
def test_bad_rows_are_named(records, message):
    with pytest.raises(BadInput, match=message):
        table_from_records(records)


def test_unknown_baseline():
    with pytest.raises(BadInput, match="baseline: expected one of a, got z"):
        table_from_records(rows(("a", 0, 1, 1)), baseline="z")


def test_a_repeated_row_is_no_conflict_and_reaches_a_verdict():
    records = rows(*((a, s, 1, s + (a == "b")) for a in "ab" for s in range(5)))
    verdict = estimate(table_from_records(records * 2), study="s", metric=Metric("loss", direction="lower"))
    assert verdict.arms[1].difference == 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"loss": 10**500}, "row 1: loss: expected a number"),
        ({"seed": 10**30}, "row 1: seed: expected a whole number of at most 9223372036854775807, got 1000000"),
        ({"step": "9" * 5000}, "row 1: step: expected a whole number, got 9999"),
        ({"arm": "a\ud800"}, r"row 1: arm: .* got 'a\\ud800'\."),
        ({"arm": "a\x1b[31m"}, r"none of them a control character, got 'a\\x1b"),
        ({"m" * 501: 1}, "row 1: columns: expected a name of at most 500 characters"),
        ({"status": "complete"}, "row 2: status: expected one status for arm a, seed 0"),
    ],
)
def test_cells_that_no_run_has(change, words):
    row = {"arm": "a", "seed": 0, "step": 1, "loss": 1.0}
    with pytest.raises(BadInput, match=words):
        table_from_records([row | change, row | {"status": "diverged"} if "status" in change else row | {"arm": "b"}])


def test_large_seeds_stay_apart():
    rows = [{"arm": "a", "seed": str(2**53 + i), "step": 1, "loss": i} for i in (0, 1)]
    assert table_from_records(rows).seeds == (2**53, 2**53 + 1)


@pytest.mark.parametrize("controls", [{"a": "b", "b": "a"}, {"a": "b", "b": "c", "c": "a"}])
def test_controls_that_name_each_other_are_refused(controls):
    about = {"baseline": None, "a": "baseline", "b": "baseline", "c": "baseline"} | controls
    rows = [
        {"arm": arm, "seed": seed, "step": 1, "loss": 1.0, "control": control, "dose": float(arm != "baseline")}
        for arm, control in about.items()
        for seed in range(3)
    ]
    with pytest.raises(BadInput, match="control: expected an arm that is not controlled by this one"):
        table_from_records(rows)


def test_more_arms_than_can_be_drawn_are_refused():
    with pytest.raises(BadInput, match="arms: expected at most 1000, got 1001"):
        table_from_records([{"arm": f"a{k}", "seed": 0, "step": 1, "loss": 1.0} for k in range(1001)])

"""`compare: [[mine, shrunk]]`: further contrasts, declared in the study file."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

import crossnorm
from crossnorm.errors import BadInput
from crossnorm.report import arms_table
from crossnorm.stats import family_size
from crossnorm.study.spec.plan import make_plan
from crossnorm.study.spec.schema import parse_spec
from crossnorm.study.storage.results_table import planned_table
from tests.api.stored_studies import begun, trained

PAIRS = [["convex-1", "convex-0.5"], ["convex-1", "attenuated-0.5"]]


def test_declared_pairs_are_contrasts_of_one_family(tmp_path):
    """Against Student's t by hand, at the level of 4 arms, 2 controls and 2 declared pairs."""
    plan = begun(tmp_path, compare=PAIRS)
    trained(tmp_path, plan, len(plan.runs))
    result = crossnorm.load(tmp_path)
    assert family_size(result.table) == 8
    found = {(row.arm, row.against): row for row in result.verdict.contrasts}
    assert list(found) == [
        ("convex-0.5", "attenuated-0.5"),
        ("convex-1", "attenuated-1"),
        ("convex-1", "convex-0.5"),
        ("convex-1", "attenuated-0.5"),
    ]
    last = {arm.name: result.table.metrics["test_loss"][i, :, -1] for i, arm in enumerate(result.table.arms)}
    for first, second in PAIRS:
        row, differences = found[first, second], last[first] - last[second]
        half = stats.t.ppf(1 - 0.05 / 8 / 2, 4) * differences.std(ddof=1) / np.sqrt(5)
        assert row.difference == pytest.approx(differences.mean())
        assert (row.low, row.high) == pytest.approx((differences.mean() - half, differences.mean() + half))


def test_the_terminal_names_both_sides(tmp_path):
    plan = begun(tmp_path, compare=PAIRS)
    trained(tmp_path, plan, len(plan.runs))
    table = arms_table(crossnorm.load(tmp_path).verdict)
    names = [str(cell) for cell in table.columns[0].cells]
    assert names[5:] == [
        "between arms:",
        "convex-0.5 − attenuated-0.5",
        "convex-1 − attenuated-1",
        "convex-1 − convex-0.5",
        "convex-1 − attenuated-0.5",
    ]


def test_a_kept_table_keeps_the_declared_pairs(tmp_path):
    import shutil

    plan = begun(tmp_path, compare=PAIRS)
    trained(tmp_path, plan, len(plan.runs))
    before = crossnorm.load(tmp_path)
    before.save(tmp_path)
    shutil.rmtree(tmp_path / "runs")
    assert crossnorm.load(tmp_path).verdict.to_json() == before.verdict.to_json()


def test_a_study_without_declared_pairs_is_as_before():
    plan = make_plan(parse_spec({"task": "digits", "alphas": [0, 1]}, "x"))
    assert planned_table(plan).contrasts == ((1, 2),)


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        ([["convex-1", "convex-2"]], "compare: expected one of .*, got 'convex-2'"),
        ([["convex-1", "baseline"]], "the comparison is made already, or is none"),
        ([["convex-1", "attenuated-1"]], "the comparison is made already, or is none"),
        ([["convex-1", "convex-1"]], "the comparison is made already, or is none"),
        ([["baseline", "convex-1"]], "the comparison is made already, or is none"),
        ([["attenuated-1", "convex-1"]] * 2, "the comparison is made already, or is none"),
        ([["convex-1"]], "compare.0: "),
    ],
)
def test_what_is_no_new_comparison_is_refused(pairs, message):
    with pytest.raises(BadInput, match=message):
        make_plan(parse_spec({"task": "digits", "alphas": [0, 1], "compare": pairs}, "x.yaml"))

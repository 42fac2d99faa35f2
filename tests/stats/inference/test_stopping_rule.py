import numpy as np
import pytest

from crossnorm.errors import BadInput
from crossnorm.stats import ArmInfo, estimate, settled
from tests.stats.stats_tables import LOSS, convex_table, dosed, table_of


def flags(table, **options):
    options = {"study": "s", "metric": LOSS, "interval": "sequential"} | options
    return settled(table, estimate(table, **options))


def rows(*effects, n=11, scatter=0.05, seed=0):
    return np.array(effects)[:, None] + np.random.default_rng(seed).normal(0, scatter, (len(effects), n))


def test_free_arms_settle_one_by_one_and_the_baseline_last():
    assert flags(table_of(rows(0, 1, 0))) == {"baseline": False, "arm1": True, "arm2": False}
    assert flags(table_of(rows(0, 1, -1))) == {"baseline": True, "arm1": True, "arm2": True}
    assert flags(table_of(rows(0, 0, 0)), margin=1) == {"baseline": True, "arm1": True, "arm2": True}


def test_an_undecided_contrast_keeps_its_control():
    arms = (ArmInfo(name="b"), ArmInfo(name="new", control="sham"), ArmInfo(name="sham"), ArmInfo(name="far"))
    assert flags(table_of(rows(0, 1, 1, 1), arms=arms)) == {"b": False, "new": False, "sham": False, "far": True}


def test_an_undecided_answer_keeps_its_doses():
    """With doses 0, 1, 3 and effects 0, 5e, e the least-squares slope is 0, although both arms are far off."""
    arms = (ArmInfo(name="b"), dosed("v", 1), dosed("v", 3), ArmInfo(name="w"))
    assert all(flags(table_of(rows(0, 1, 3, 1), arms=arms)).values())
    humped = table_of(rows(0, 5, 1, 1), arms=arms)
    assert flags(humped) == {"b": False, "v-1": False, "v-3": False, "w": True}
    assert flags(table_of(rows(0, 0, 0, 0), arms=arms), margin=1) == dict.fromkeys(("b", "v-1", "v-3", "w"), True)


def test_the_margin_of_an_answer_is_for_the_largest_dose():
    """With doses 0, 1, 4 and effects 0, 7e, 2e the slope is 0; its interval is about ± 0.012 per unit α."""
    arms = (ArmInfo(name="b"), dosed("v", 1), dosed("v", 4))
    table = table_of(rows(0, 7, 2), arms=arms)
    assert not flags(table, margin=0.04)["v-4"]
    assert flags(table, margin=0.4)["v-4"]


def test_nothing_is_settled_below_three_pairs():
    assert not any(flags(convex_table(n=2)).values())
    assert not any(flags(table_of(np.empty((2, 0)))).values())


def test_identical_arms_settle_at_three():
    assert all(flags(table_of(np.ones((3, 3)))).values())


def test_fixed_intervals_do_not_allow_for_looking():
    with pytest.raises(BadInput, match="sequential \\(valid at any time\\)"):
        flags(convex_table(), interval="bonferroni-t")

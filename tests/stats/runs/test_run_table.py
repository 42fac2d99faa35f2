import numpy as np
import pytest

from crossnorm.errors import BadInput
from crossnorm.stats import ArmInfo, Table
from tests.stats.stats_tables import table_of


def test_arrays_are_copied_and_frozen():
    values = np.ones((2, 3, 5))
    table = table_of(values, steps=range(5))
    values[:] = 9
    assert (table.curves("test_loss") == 1).all()
    with pytest.raises(ValueError, match="read-only"):
        table.curves("test_loss")[0] = 2


def test_final_is_the_last_recorded_value_of_complete_runs():
    nan, inf = np.nan, np.inf
    curves = [[[5, 4, 3], [5, 4, nan], [5, nan, nan], [nan, nan, nan]], [[1, 2, inf], [1, 2, 3], [3, 2, 1], [1, 1, 1]]]
    status = [["complete"] * 4, ["complete", "crashed", "diverged", "missing"]]
    final = table_of(curves, steps=(1, 2, 3), status=status).final("test_loss")
    np.testing.assert_array_equal(final, [[3, 4, 5, nan], [nan] * 4])


def test_a_table_without_steps_has_no_final_values():
    table = table_of(np.empty((2, 3, 0)), steps=())
    assert np.isnan(table.final("test_loss")).all()


def arms(*names, **control):
    return tuple(ArmInfo(name=name, control=control.get(name)) for name in names)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"arms": ()}, "arms: expected at least a baseline"),
        ({"arms": arms("a", "a")}, "arms: expected unique names"),
        ({"arms": arms("a", "b", b="c")}, "arm b: control: expected one of a, b, got 'c'"),
        ({"arms": arms("a", "b", b="b")}, "arm b: control: expected another arm"),
        ({"arms": arms("a", "b", a="b")}, r"arm a: control: expected none \(it is the baseline\)"),
        ({"arms": (ArmInfo(name="a"), ArmInfo(name="b", alpha=np.nan))}, "arm b: alpha: expected 0, or a number from"),
        ({"seeds": (1, 1, 2)}, "seeds: expected unique values"),
        ({"seeds": (1, 2)}, r"status: expected shape \(2, 2\).* got shape \(2, 3\)"),
        ({"steps": (4, 2)}, "steps: expected increasing values"),
        ({"metrics": {"loss": np.zeros((2, 3))}}, r"metric loss: expected shape \(2, 3, 2\)"),
        ({"status": np.full((2, 3), "done")}, "status: expected one of .*complete.*, got 'done'"),
    ],
)
def test_bad_tables_say_what_is_wrong(change, message):
    good = {
        "arms": arms("a", "b"),
        "seeds": (0, 1, 2),
        "steps": (1, 2),
        "metrics": {"loss": np.zeros((2, 3, 2))},
        "status": np.full((2, 3), "complete"),
    }
    Table(**good)
    with pytest.raises(BadInput, match=message):
        Table(**(good | change))


def test_unknown_metric_and_arm():
    table = table_of(np.zeros((2, 3)))
    with pytest.raises(BadInput, match="Did you mean 'test_loss'"):
        table.final("tst_loss")
    with pytest.raises(BadInput, match="one of arm1, baseline"):
        table.index("arm2")

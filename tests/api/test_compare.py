"""`compare`: the answer of rows and of data frames."""

from __future__ import annotations

import math

import pytest

import crossnorm
from crossnorm.errors import BadInput

NAN = float("nan")


class Frame:
    """What is used of a pandas DataFrame: absent cells are nan."""

    def __init__(self, rows):
        columns = dict.fromkeys(key for row in rows for key in row)
        self.rows = [{key: NAN if row.get(key) is None else row[key] for key in columns} for row in rows]

    def to_dict(self, orient):
        assert orient == "records"
        return self.rows


def rows():
    """Two arms × five seeds; one arm alone logs `size`, and only every other step."""
    found = []
    for seed in range(5):
        for step in (1, 2):
            found.append({"arm": "plain", "seed": seed, "step": step, "loss": 3.0 + seed - step})
            mine = {"arm": "mine", "seed": seed, "step": step, "loss": 2.0 + 1.1 * seed - step, "dose": 1.0}
            found.append(mine | {"control": "plain", "size": 7.0 if step == 1 else None})
    return found


def compared(table):
    return crossnorm.compare(table, metric="loss", direction="lower")


def test_a_frame_answers_as_its_rows_do():
    frame, plain = compared(Frame(rows())), compared(rows())
    assert frame.verdict.to_json() == plain.verdict.to_json()
    assert frame.table.status.tolist() == [["complete"] * 5] * 2
    mine = frame.verdict.arms[1]
    assert (mine.n, mine.difference) == (5, pytest.approx(-1.0 + 0.1 * 2))


def test_a_run_that_ends_without_a_number_has_diverged_in_a_frame_too():
    table = rows()
    table[-1]["loss"] = NAN
    found = compared(Frame(table))
    assert found.table.status.tolist() == [["complete"] * 5, ["complete"] * 4 + ["diverged"]]
    assert math.isclose(found.verdict.arms[1].difference, -1.0 + 0.1 * 1.5)


def test_doses_are_numbers():
    table = rows()
    table[-1]["dose"] = "1.00"
    assert compared(table).verdict.to_json() == compared(rows()).verdict.to_json()
    table[-1]["dose"] = "1.01"
    with pytest.raises(BadInput, match=r"one dose per arm \(mine: 1.0\), got 1.01"):
        compared(table)

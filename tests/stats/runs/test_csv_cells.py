"""Rows of CSV tables."""

from __future__ import annotations

import pytest

from crossnorm.errors import BadInput
from crossnorm.stats.runs.csv_cells import csv_rows


def test_rows_by_name():
    assert csv_rows(["a,b\n", "1,2\n", "3\n"]) == [{"a": "1", "b": "2"}, {"a": "3", "b": None}]
    assert csv_rows([]) == []


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (["arm,loss,loss", "x,1,2"], "columns: 'loss' is there twice"),
        (["a,b", "1,2,3"], "as many cells as columns"),
        (["a,b", '1,"2'], "after line 1: expected a table in CSV"),
    ],
)
def test_tables_that_are_refused(lines, words):
    with pytest.raises(BadInput, match=words):
        csv_rows(lines)

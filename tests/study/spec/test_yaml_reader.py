"""YAML files: what is refused, with its line."""

from __future__ import annotations

import pytest

from crossnorm.api import read_result
from crossnorm.errors import BadInput
from crossnorm.study.spec import yaml_reader
from crossnorm.study.spec.yaml_reader import read_yaml
from tests.study.small_study import whole_study


@pytest.fixture
def read(tmp_path):
    def read(text):
        (tmp_path / "a.yaml").write_text(text, encoding="utf-8")
        return read_yaml(tmp_path / "a.yaml")

    return read


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("task: digits\nseeds: 2\nseeds: 3\n", "line 3: the key 'seeds' is there twice (first in line 2)"),
        ("a: {b: 1, 'b': 1}", "line 1: the key 'b' is there twice"),
        ("a:\n- {x: 1}\n- x: 1\n  y: 2\n  x: 3\n", "line 5: the key 'x' is there twice (first in line 3)"),
        ("a: " + "9" * 5000, "a number or date out of range"),
        ("a: 2026-13-45", "a number or date out of range"),
        ("a: \x00", "a character that is not allowed"),
        ("- " * 3000 + "x", "too deeply nested"),
        ("a: [1", "line 1: "),
    ],
)
def test_what_is_refused(read, text, reason):
    with pytest.raises(BadInput) as caught:
        read(text)
    assert "a.yaml: not valid YAML: " in str(caught.value)
    assert reason in str(caught.value)


def test_merged_keys_may_be_given_again(read):
    text = "base: &base {lr: 1, epochs: 2}\nother: {<<: *base, lr: 3}\n"
    found = read(text)
    assert found["other"] == {"lr": 3, "epochs": 2}


def test_nested_merges_do_not_grow(read):
    lines = [f"m{i}: &m{i} {{<<: [*m{i - 1}, *m{i - 1}], k{i}: {i}}}" for i in range(1, 40)]
    found = read("\n".join(["m0: &m0 {k0: 0}", *lines]))
    assert found["m39"] == {f"k{i}": i for i in range(40)}


def test_a_large_file_or_value(read, monkeypatch):
    monkeypatch.setattr(yaml_reader, "_MOST_VALUES", 50)
    lines = [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 9)]
    with pytest.raises(BadInput, match="at most 50 values"):
        read("\n".join(["a0: &a0 [x]", *lines]))
    monkeypatch.setattr(yaml_reader, "_MOST_BYTES", 1000)
    with pytest.raises(BadInput, match=r"expected a file of at most 0.001 MB"):
        read("# " + "x" * 1000)


def test_a_stored_study_says_what_is_wrong(tmp_path):
    whole_study(tmp_path / "done")
    stored = tmp_path / "done" / "study.yaml"
    lines = stored.read_text(encoding="utf-8") + "seeds: [0]\n"
    stored.write_text(lines, encoding="utf-8")
    with pytest.raises(BadInput, match=r"damaged or was edited: not valid YAML: line \d+: the key 'seeds' is there"):
        read_result(tmp_path / "done")

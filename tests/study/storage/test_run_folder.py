"""The folder: names, learning curves, outcomes; torn files are met with calm."""

from __future__ import annotations

import json

import pytest

from crossnorm.io import encoded_name, read_json, write_atomically
from crossnorm.study.spec.plan import Run
from crossnorm.study.storage import run_folder as store

RUN = Run("convex-0.5", 3)


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("baseline", "baseline"),
        ("convex-0.5@pool", "convex-0.5@pool"),
        ("10 S(V)", "10%20S%28V%29"),
        ("../../etc", "%2E.%2F..%2Fetc"),
        ("..", "%2E."),
        ("a\\b:c", "a%5Cb%3Ac"),
        ("<script>", "%3Cscript%3E"),
    ],
)
def test_names_are_one_component(name, folder):
    assert encoded_name(name) == folder


def test_long_names_stay_short_and_apart():
    one, other = encoded_name("α" * 120), encoded_name("α" * 119 + "β")
    assert len(one) <= 200
    assert one != other


def rows(*steps):
    return [{"step": step, "test_loss": step / 7} for step in steps]


def append(folder, *steps):
    for row in rows(*steps):
        store.append_metrics(folder, RUN, row)


def test_curve_survives_torn_and_doubled_lines(tmp_path):
    store.rewind_metrics(tmp_path, RUN, None)
    append(tmp_path, 0, 5, 10)
    path = store.run_folder(tmp_path, RUN) / "metrics.jsonl"
    with path.open("a") as file:
        file.write('{"step": 5, "test_loss": 9.0}\n{"step": "x"}\n[1]\n{"step": 15, "te')
    assert store.read_metrics(tmp_path, RUN) == [rows(0)[0], {"step": 5, "test_loss": 9.0}, rows(10)[0]]


def test_resuming_rewrites_up_to_the_checkpoint(tmp_path):
    store.rewind_metrics(tmp_path, RUN, None)
    append(tmp_path, 0, 5, 10)
    store.rewind_metrics(tmp_path, RUN, 5)
    assert store.read_metrics(tmp_path, RUN) == rows(0, 5)
    store.rewind_metrics(tmp_path, RUN, None)
    assert store.read_metrics(tmp_path, RUN) == []


def test_outcome(tmp_path):
    assert store.read_result(tmp_path, RUN) is None
    store.rewind_metrics(tmp_path, RUN, None)
    checkpoint = store.checkpoint_path(tmp_path, RUN)
    checkpoint.write_text("x")
    store.finish(tmp_path, RUN, "crashed", "no memory", {"step": 3})
    result = store.read_result(tmp_path, RUN)
    assert {key: result[key] for key in ("status", "reason", "step")} == {
        "status": "crashed",
        "reason": "no memory",
        "step": 3,
    }
    assert checkpoint.exists()
    store.finish(tmp_path, RUN, "complete", None, {})
    assert not checkpoint.exists()


@pytest.mark.parametrize("text", ["", "{", '{"status": 3}', "[]", '"complete"'])
def test_damaged_outcome_is_none(tmp_path, text):
    store.rewind_metrics(tmp_path, RUN, None)
    (store.run_folder(tmp_path, RUN) / "result.json").write_text(text)
    assert store.read_result(tmp_path, RUN) is None


@pytest.mark.parametrize("damage", [b"", b'{"step": 0}\n', None])
def test_an_outcome_whose_curve_is_damaged_is_none(tmp_path, damage):
    store.rewind_metrics(tmp_path, RUN, None)
    append(tmp_path, 0, 5)
    store.finish(tmp_path, RUN, "complete", None, {})
    assert store.stands(tmp_path, RUN)
    assert not store.damaged(tmp_path, RUN)
    path = store.run_folder(tmp_path, RUN) / "metrics.jsonl"
    path.unlink() if damage is None else path.write_bytes(damage)
    assert not store.stands(tmp_path, RUN)
    assert store.damaged(tmp_path, RUN)


def test_a_seal_is_of_what_was_written_so_far(tmp_path):
    own = tmp_path / "run"
    curve = store.Curve(own)
    curve.append(rows(0)[0])
    seal = curve.seal
    curve.append(rows(5)[0])
    assert store.sealed(own, seal)
    assert store.sealed(own, curve.seal)
    assert store.Curve(own, 0).seal == seal
    assert not store.sealed(own, curve.seal)
    assert store.sealed(own, None)
    assert not store.sealed(own, "x")


def test_a_write_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "f.json"
    write_atomically(path, json.dumps({"a": 1}))

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_atomically(path, json.dumps({"a": 2}))
    assert read_json(path) == {"a": 1}

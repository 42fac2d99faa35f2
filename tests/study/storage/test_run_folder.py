"""The folder: names, learning curves, outcomes; torn files are met with calm."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import pytest

from crossnorm.io import encoded_name, read_json, write_atomically
from crossnorm.study.spec.plan import Run
from crossnorm.study.storage.run_folder import RunFolder
from crossnorm.training.loop.outcome import Outcome, RunStatus

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
        RunFolder.of(folder, RUN).append(row)


def test_curve_survives_torn_and_doubled_lines(tmp_path):
    RunFolder.of(tmp_path, RUN).rewind()
    append(tmp_path, 0, 5, 10)
    path = RunFolder.of(tmp_path, RUN).curve
    with path.open("a") as file:
        file.write('{"step": 5, "test_loss": 9.0}\n{"step": "x"}\n[1]\n{"step": 15, "te')
    assert RunFolder.of(tmp_path, RUN).read_rows() == [rows(0)[0], {"step": 5, "test_loss": 9.0}, rows(10)[0]]


def test_resuming_rewrites_up_to_the_checkpoint(tmp_path):
    RunFolder.of(tmp_path, RUN).rewind()
    append(tmp_path, 0, 5, 10)
    RunFolder.of(tmp_path, RUN).rewind(5)
    assert RunFolder.of(tmp_path, RUN).read_rows() == rows(0, 5)
    RunFolder.of(tmp_path, RUN).rewind()
    assert RunFolder.of(tmp_path, RUN).read_rows() == []


def test_outcome(tmp_path):
    assert RunFolder.of(tmp_path, RUN).read_result() is None
    RunFolder.of(tmp_path, RUN).rewind()
    checkpoint = RunFolder.of(tmp_path, RUN).checkpoint
    checkpoint.write_text("x")
    RunFolder.of(tmp_path, RUN).finish(Outcome(RunStatus.CRASHED, "no memory"), {"step": 3})
    result = RunFolder.of(tmp_path, RUN).read_result()
    assert {key: result[key] for key in ("status", "reason", "step")} == {
        "status": "crashed",
        "reason": "no memory",
        "step": 3,
    }
    assert checkpoint.exists()
    RunFolder.of(tmp_path, RUN).finish(Outcome(RunStatus.COMPLETE), {})
    assert not checkpoint.exists()


@pytest.mark.parametrize("text", ["", "{", '{"status": 3}', "[]", '"complete"'])
def test_damaged_outcome_is_none(tmp_path, text):
    RunFolder.of(tmp_path, RUN).rewind()
    (RunFolder.of(tmp_path, RUN).path / "result.json").write_text(text)
    assert RunFolder.of(tmp_path, RUN).read_result() is None


@pytest.mark.parametrize("damage", [b"", b'{"step": 0}\n', None])
def test_an_outcome_whose_curve_is_damaged_is_none(tmp_path, damage):
    RunFolder.of(tmp_path, RUN).rewind()
    append(tmp_path, 0, 5)
    RunFolder.of(tmp_path, RUN).finish(Outcome(RunStatus.COMPLETE), {})
    assert RunFolder.of(tmp_path, RUN).finished
    assert not RunFolder.of(tmp_path, RUN).damaged
    path = RunFolder.of(tmp_path, RUN).curve
    path.unlink() if damage is None else path.write_bytes(damage)
    assert not RunFolder.of(tmp_path, RUN).finished
    assert RunFolder.of(tmp_path, RUN).damaged


def test_a_seal_is_of_what_was_written_so_far(tmp_path):
    own, again = RunFolder(tmp_path / "run"), RunFolder(tmp_path / "run")
    own.rewind()
    own.append(rows(0)[0])
    seal = own.seal
    own.append(rows(5)[0])
    assert again.sealed(seal)
    assert again.sealed(own.seal)
    again.rewind(0)
    assert again.seal == seal
    assert not again.sealed(own.seal)
    assert again.sealed(None)
    assert not again.sealed("x")


def test_appending_without_a_rewind_continues_the_curve(tmp_path):
    append(tmp_path, 0, 5)
    own = RunFolder.of(tmp_path, RUN)
    own.append(rows(10)[0])
    assert own.read_rows() == rows(0, 5, 10)
    assert own.sealed(own.seal)


def test_a_curve_that_cannot_be_read_is_not_rewritten(tmp_path, monkeypatch):
    append(tmp_path, 0, 5)
    own = RunFolder.of(tmp_path, RUN)

    def fails(path):
        raise OSError(errno.EIO, "I/O error")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "read_bytes", fails)
        with pytest.raises(OSError, match="I/O"):
            own.rewind(5)
        assert not own.sealed(own.seal | {"bytes": 1})
    assert own.read_rows() == rows(0, 5)


def test_a_write_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "f.json"
    write_atomically(path, json.dumps({"a": 1}))

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_atomically(path, json.dumps({"a": 2}))
    assert read_json(path) == {"a": 1}


@pytest.mark.parametrize(
    "line",
    [
        '{"step": 5, "test_loss": "low"}',
        '{"step": 5, "test_loss": [1]}',
        '{"step": 5, "test_loss": 1' + "0" * 500 + "}",
        '{"step": 1' + "0" * 500 + ', "test_loss": 1}',
        '{"step": 5, "\\ud800": 1}',
        '{"step": true, "test_loss": 1}',
    ],
)
def test_values_that_no_run_writes_make_a_damaged_line(tmp_path, line):
    RunFolder.of(tmp_path, RUN).rewind()
    append(tmp_path, 0, 10)
    with RunFolder.of(tmp_path, RUN).curve.open("a") as file:
        file.write(line + "\n")
    assert RunFolder.of(tmp_path, RUN).read_rows() == rows(0, 10)


@pytest.mark.parametrize("fields", [{"status": ["complete"]}, {"reason": {}}, {"seconds": "1"}, {"step": [3]}])
def test_an_outcome_of_wrong_types_is_damaged(tmp_path, fields):
    folder = RunFolder.of(tmp_path, RUN)
    folder.finish(Outcome(RunStatus.COMPLETE), {"step": 3, "seconds": 1.5})
    assert folder.finished
    stored = read_json(folder.path / "result.json")
    (folder.path / "result.json").write_text(json.dumps(stored | fields))
    assert folder.read_result() is None
    assert folder.damaged


def test_a_folder_in_place_of_the_curve_is_an_empty_curve(tmp_path):
    folder = RunFolder.of(tmp_path, RUN)
    folder.curve.mkdir(parents=True)
    assert folder.read_rows() == []

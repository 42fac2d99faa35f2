"""The folder: names, learning curves, outcomes; torn files are met with calm."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import pytest

from crossnorm.errors import BadInput
from crossnorm.io import StorageError, encoded_name, read_json, storage_fault, write_atomically
from crossnorm.study.spec.plan import Run
from crossnorm.study.storage.run_folder import RunFolder
from crossnorm.study.storage.run_log import append_to_log
from crossnorm.training.checkpoint.file_format import State, write_state
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


def of(study):
    """What a plan says of the study that its runs belong to."""
    return SimpleNamespace(numbers=dict.fromkeys(("convex-0.5", "baseline"), study))


def rows(*steps):
    return [{"step": step, "test_loss": step / 7} for step in steps]


def append(folder, *steps):
    for row in rows(*steps):
        RunFolder(folder, RUN).append(row)


def test_curve_survives_torn_and_doubled_lines(tmp_path):
    RunFolder(tmp_path, RUN).rewind()
    append(tmp_path, 0, 5, 10)
    path = RunFolder(tmp_path, RUN).curve
    with path.open("a") as file:
        file.write('{"step": 5, "test_loss": 9.0}\n{"step": "x"}\n[1]\n{"step": 15, "te')
    assert RunFolder(tmp_path, RUN).read().rows == [rows(0)[0], {"step": 5, "test_loss": 9.0}, rows(10)[0]]


def test_resuming_rewrites_up_to_the_checkpoint(tmp_path):
    own = RunFolder(tmp_path, RUN)
    own.rewind()
    for row in rows(0, 5):
        own.append(row)
    seal = own.checkpoint_seal["curve"]
    append(tmp_path, 5, 10)
    own.curve.write_bytes(own.curve.read_bytes() + b'{"step": 0, "test_loss": 9.0}\n')
    RunFolder(tmp_path, RUN).rewind(seal)
    assert RunFolder(tmp_path, RUN).read().rows == rows(0, 5)
    RunFolder(tmp_path, RUN).rewind()
    assert RunFolder(tmp_path, RUN).read().rows == []


def test_outcome(tmp_path):
    assert RunFolder(tmp_path, RUN).read().result is None
    RunFolder(tmp_path, RUN).rewind()
    checkpoint = RunFolder(tmp_path, RUN).checkpoint
    checkpoint.write_text("x")
    RunFolder(tmp_path, RUN).finish(Outcome(RunStatus.CRASHED, "no memory"), {"step": 3})
    result = RunFolder(tmp_path, RUN).read().result
    assert {key: result[key] for key in ("status", "reason", "step")} == {
        "status": "crashed",
        "reason": "no memory",
        "step": 3,
    }
    assert checkpoint.exists()
    RunFolder(tmp_path, RUN).finish(Outcome(RunStatus.COMPLETE), {})
    assert not checkpoint.exists()


@pytest.mark.parametrize("text", ["", "{", '{"status": 3}', "[]", '"complete"'])
def test_damaged_outcome_is_none(tmp_path, text):
    RunFolder(tmp_path, RUN).rewind()
    (RunFolder(tmp_path, RUN).path / "result.json").write_text(text)
    assert RunFolder(tmp_path, RUN).read().result is None


def edited(own, **fields):
    """A result.json with other fields whose digest was not computed again."""
    path = own.path / "result.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def other_run(own, tmp_path, run=RUN, study="a"):
    """Replace the files of a run by those of another one, or of another study."""
    (tmp_path / "other").mkdir()
    other = RunFolder(tmp_path / "other", run, of(study))
    other.rewind()
    other.append({"step": 0, "test_loss": 1.0})
    other.finish(Outcome(RunStatus.COMPLETE), {"step": 5})
    shutil.copytree(other.path, own.path, dirs_exist_ok=True)


TAMPERED = {
    "emptied curve": (lambda own, _: own.curve.write_bytes(b""), "learning curve"),
    "shortened curve": (lambda own, _: own.curve.write_bytes(own.curve.read_bytes()[:-9]), "learning curve"),
    "no curve": (lambda own, _: own.curve.unlink(), "learning curve"),
    "a line appended": (lambda own, _: own.append({"step": 5, "test_loss": 0.0}), "learning curve"),
    "status": (lambda own, _: edited(own, status="diverged"), "edited"),
    "step": (lambda own, _: edited(own, step=6), "edited"),
    "a field more": (lambda own, _: edited(own, note="x"), "edited"),
    "no digest": (lambda own, _: (own.path / "result.json").write_text('{"status": "complete", "curve": null}'), "say"),
    "another arm": (lambda own, t: other_run(own, t, Run("baseline", 3)), "another run (baseline, seed 3)"),
    "another seed": (lambda own, t: other_run(own, t, Run("convex-0.5", 5)), "another run (convex-0.5, seed 5)"),
    "another study": (lambda own, t: other_run(own, t, study="b"), "another study"),
}


@pytest.mark.parametrize("case", TAMPERED)
def test_an_outcome_that_does_not_match_its_seals_does_not_count(tmp_path, case):
    own, (tamper, words) = RunFolder(tmp_path, RUN, of("a")), TAMPERED[case]
    own.rewind()
    append(tmp_path, 0, 5)
    own.finish(Outcome(RunStatus.COMPLETE), {"step": 5})
    stored = RunFolder(tmp_path, RUN, of("a")).read()
    assert (stored.finished, stored.problem, stored.rows) == (True, None, rows(0, 5))
    tamper(RunFolder(tmp_path, RUN, of("a")), tmp_path)
    found = RunFolder(tmp_path, RUN, of("a")).read()
    assert (found.result, found.rows, found.finished, found.unreadable) == (None, [], False, False)
    assert words in found.problem


@pytest.mark.parametrize("name", ["result.json", "metrics.jsonl"])
def test_a_file_that_exists_and_cannot_be_read_is_named(tmp_path, name):
    own = RunFolder(tmp_path, RUN)
    append(tmp_path, 0)
    (own.path / name).unlink(missing_ok=True)
    (own.path / name).mkdir()
    found = own.read()
    assert found.unreadable
    assert found.problem == f"{name} cannot be read: Is a directory"


def test_a_checkpoint_says_whose_it_is(tmp_path):
    def saved(run, study):
        folder = tmp_path / f"{run.arm}-{study}"
        folder.mkdir()
        own = RunFolder(folder, run, of(study))
        own.append({"step": 0})
        write_state(own.checkpoint, State({"step": 1, **own.checkpoint_seal}, {}))
        return own

    own, notes = saved(RUN, "a"), []
    assert own.load_checkpoint(notes.append, lambda state: None).about["step"] == 1
    for other, words in (
        (saved(Run("baseline", 3), "a"), r"belongs to another run (baseline, seed 3)"),
        (saved(RUN, "b"), "belongs to another study"),
    ):
        shutil.copytree(other.path, own.path, dirs_exist_ok=True)
        assert own.load_checkpoint(notes.append, lambda state: None) is None
        assert words in notes.pop()
    write_state(own.checkpoint, State({"step": 1, "curve": own.checkpoint_seal["curve"]}, {}))
    assert own.load_checkpoint(notes.append, lambda state: None) is None
    assert "does not say which run it belongs to" in notes[0]


def test_appending_without_a_rewind_continues_the_curve(tmp_path):
    append(tmp_path, 0, 5)
    own = RunFolder(tmp_path, RUN)
    own.append(rows(10)[0])
    assert own.read().rows == rows(0, 5, 10)
    content = own.curve.read_bytes()
    assert own.checkpoint_seal["curve"] == {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def test_a_curve_that_cannot_be_read_is_not_rewritten(tmp_path, monkeypatch):
    append(tmp_path, 0, 5)
    own = RunFolder(tmp_path, RUN)

    def fails(path):
        raise OSError(errno.EIO, "I/O error", str(path))

    with monkeypatch.context() as patched:
        patched.setattr(Path, "read_bytes", fails)
        with pytest.raises(OSError, match="I/O"):
            own.rewind({"bytes": 5})
        assert own.read().problem == "metrics.jsonl cannot be read: I/O error"
    assert own.read().rows == rows(0, 5)


@pytest.mark.parametrize("place", ["runs", "runs/convex-0.5", "runs/convex-0.5/3"])
def test_folders_that_are_links_are_not_written_through(tmp_path, place):
    (tmp_path / "outside").mkdir()
    link = tmp_path / "study" / place
    link.parent.mkdir(parents=True)
    link.symlink_to(tmp_path / "outside")
    own = RunFolder(tmp_path / "study", RUN)
    for write in (own.rewind, lambda: own.append({"step": 0}), lambda: own.finish(Outcome(RunStatus.COMPLETE), {})):
        with pytest.raises(BadInput, match="a symbolic link"):
            write()
    assert list((tmp_path / "outside").iterdir()) == []


@pytest.mark.parametrize("name", ["metrics.jsonl", "log.txt", "result.json", "checkpoint.safetensors"])
def test_files_that_are_links_are_replaced_or_refused(tmp_path, name):
    own, outside = RunFolder(tmp_path, RUN), tmp_path / "outside"
    outside.write_text("mine")
    own.make()
    (own.path / name).symlink_to(outside)
    with suppress(OSError):
        own.append({"step": 0})
    with suppress(OSError):
        append_to_log(own.log, "text")
    own.rewind()
    own.append({"step": 0})
    write_state(own.checkpoint, State({}, {}))
    own.finish(Outcome(RunStatus.CRASHED, "x"), {})
    assert outside.read_text() == "mine"


def test_a_study_whose_folder_was_moved_grows_nowhere_else(tmp_path):
    (tmp_path / "study").mkdir()
    own = RunFolder(tmp_path / "study", RUN)
    own.append({"step": 0})
    (tmp_path / "study").rename(tmp_path / "moved")
    for write in (
        lambda: own.append({"step": 1}),
        own.rewind,
        lambda: own.finish(Outcome(RunStatus.COMPLETE), {}),
        RunFolder(tmp_path / "study", Run("baseline", 0)).make,
    ):
        with pytest.raises(StorageError) as caught:
            write()
        assert storage_fault(caught.value) == "the folder was moved or removed"
    assert [path.name for path in tmp_path.iterdir()] == ["moved"]


def test_a_file_that_cannot_be_written_is_named(tmp_path):
    own = RunFolder(tmp_path, RUN)
    own.make()
    own.curve.mkdir()
    with pytest.raises(StorageError) as caught:
        own.finish(Outcome(RunStatus.COMPLETE), {})
    assert storage_fault(caught.value) == "metrics.jsonl: Is a directory"


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
    RunFolder(tmp_path, RUN).rewind()
    append(tmp_path, 0, 10)
    with RunFolder(tmp_path, RUN).curve.open("a") as file:
        file.write(line + "\n")
    assert RunFolder(tmp_path, RUN).read().rows == rows(0, 10)


@pytest.mark.parametrize("fields", [{"status": ["complete"]}, {"reason": {}}, {"seconds": "1"}, {"step": [3]}])
def test_an_outcome_of_wrong_types_is_damaged(tmp_path, fields):
    folder = RunFolder(tmp_path, RUN)
    folder.finish(Outcome(RunStatus.COMPLETE), {"step": 3, "seconds": 1.5})
    assert folder.finished
    stored = read_json(folder.path / "result.json")
    changed = {key: value for key, value in (stored | fields).items() if key != "digest"}
    digest = hashlib.sha256(json.dumps(changed, sort_keys=True).encode()).hexdigest()
    (folder.path / "result.json").write_text(json.dumps(changed | {"digest": digest}))
    assert folder.read().problem == "result.json is damaged"


def test_a_named_pipe_in_place_of_a_file_is_named(tmp_path):
    folder = RunFolder(tmp_path, RUN)
    folder.make()
    os.mkfifo(folder.path / "result.json")
    assert folder.read().problem == "result.json cannot be read: not a regular file"
    assert folder.read().unreadable


@pytest.mark.parametrize("place", ["model.safetensors", "model", "model/weights"])
def test_what_a_link_points_to_is_no_kept_model(tmp_path, place):
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "file").write_text("mine")
    folder = RunFolder(tmp_path, RUN, SimpleNamespace(numbers={RUN.arm: "number"}))
    (folder.path / place).parent.mkdir(parents=True)
    (folder.path / place).symlink_to(tmp_path / "outside" / ("" if place == "model" else "file"))
    folder.finish(Outcome(RunStatus.COMPLETE), {})
    assert "model" not in folder.read().result
    assert "is a symbolic link" in folder.model_problem()

"""One writer a folder; a command that is refused leaves no study behind, and nothing of anybody else is removed."""

from __future__ import annotations

import errno
import os
import re
import shlex
import time

import pytest
from typer.testing import CliRunner

from crossnorm.api._stored_result import default_folder
from crossnorm.cli import app
from crossnorm.errors import BadInput
from crossnorm.study.spec.plan import Run
from crossnorm.study.storage.run_folder import RunFolder
from crossnorm.study.storage.study_folder import open_folder
from crossnorm.study.storage.study_lock import forgotten_if_refused, locked
from crossnorm.study.storage.study_record import read_folder
from crossnorm.training.loop.outcome import Outcome, RunStatus
from tests.study.small_study import small_plan


def test_one_writer(tmp_path):
    with locked(tmp_path / "s"), pytest.raises(BadInput, match="locked by process"), locked(tmp_path / "s"):
        pass
    with locked(tmp_path / "s"):
        pass


def test_who_comes_second_is_offered_to_watch_in_words_for_a_shell(tmp_path):
    folder = tmp_path / "my study"
    with locked(folder), pytest.raises(BadInput) as caught, locked(folder):
        pass
    commands = re.findall(r"crossnorm \w+ '[^']*'", str(caught.value))
    assert [shlex.split(said) for said in commands] == [
        ["crossnorm", verb, str(folder)] for verb in ("watch", "report")
    ]
    assert "another output folder" in str(caught.value)


def test_a_file_where_the_folder_should_be_is_named(tmp_path):
    (tmp_path / "f").write_text("x")
    with pytest.raises(BadInput, match="a writable folder"), locked(tmp_path / "f"):
        pass


@pytest.mark.parametrize("name", [".lock", ".workers", "runs"])
def test_links_in_place_of_what_is_opened_for_writing_are_refused(tmp_path, name):
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / name).symlink_to(tmp_path / "outside")
    with pytest.raises(BadInput, match="a symbolic link"), locked(tmp_path / "s"):
        pytest.fail("the block must not begin")
    assert not (tmp_path / "outside").exists()


def test_a_disk_that_fails_while_the_answer_is_written(tmp_path):
    with pytest.raises(BadInput, match="the file system is read-only"), locked(tmp_path / "s"):
        raise OSError(errno.EROFS, "Read-only file system")
    with pytest.raises(IsADirectoryError), locked(tmp_path / "s"):
        raise IsADirectoryError
    assert not (tmp_path / "s").exists()  # nothing was begun in it
    (tmp_path / "s").mkdir()
    for name, age in (("abandoned", 1000), ("alive", 0)):
        path = tmp_path / "s" / f".report.html.{name}.tmp"
        path.touch()
        os.utime(path, (time.time() - age,) * 2)
    with locked(tmp_path / "s"):
        assert [path.name for path in (tmp_path / "s").glob(".*.tmp")] == [".report.html.alive.tmp"]


def refused_in(folder, begin):
    """A command that begins a study and is refused later."""
    begins = not (folder / "study.yaml").exists()
    with locked(folder), forgotten_if_refused(folder, begins=begins):
        begin()
        raise BadInput.because("ray", "not installed")


def test_a_refused_command_leaves_no_folder(tmp_path):
    folder = tmp_path / "crossnorm" / "s"

    def begin():
        open_folder(folder, small_plan(), "digest")
        RunFolder(folder, Run("baseline", 0)).append({"step": 0})
        RunFolder(folder, Run("baseline", 0)).finish(Outcome(RunStatus.CRASHED), {})

    with pytest.raises(BadInput, match="not installed"):
        refused_in(folder, begin)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kept", ["runs/baseline/0/checkpoint.safetensors", "runs/baseline/0/own.pt"])
def test_what_a_refused_command_can_go_on_from_is_kept(tmp_path, kept):
    folder = tmp_path / "s"

    def begin():
        open_folder(folder, small_plan(), "digest")
        (folder / kept).parent.mkdir(parents=True)
        (folder / kept).touch()

    with pytest.raises(BadInput):
        refused_in(folder, begin)
    assert (folder / kept).exists()
    assert read_folder(folder) is not None


def test_a_refused_command_keeps_the_study_of_an_earlier_one(tmp_path):
    open_folder(tmp_path, small_plan(), "digest")
    with pytest.raises(BadInput):
        refused_in(tmp_path, lambda: open_folder(tmp_path, small_plan(5), "digest"))
    assert read_folder(tmp_path) is not None


def test_a_default_folder_inside_a_clone_of_the_repository_is_removed_alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "crossnorm" / "src").mkdir(parents=True)
    folder = default_folder("s")
    with pytest.raises(BadInput):
        refused_in(folder, lambda: open_folder(folder, small_plan(), "digest"))
    assert [path.name for path in tmp_path.rglob("*")] == ["crossnorm", "src"]


def test_a_folder_that_was_there_stays(tmp_path):
    with pytest.raises(BadInput):
        refused_in(tmp_path, lambda: None)
    assert tmp_path.exists()


def test_folders_of_something_else_are_refused_and_stay(tmp_path):
    """`--out` may name a folder whose runs/ is the user's own."""
    own = tmp_path / "proj" / "runs" / "exp1"
    own.mkdir(parents=True)
    for name in ("metrics.jsonl", "log.txt"):
        (own / name).write_text("mine")
    options = ["--seeds", "1", "--epochs", "1", "--alphas", "0,1", "--out", str(tmp_path / "proj")]
    (tmp_path / "tiny.yaml").write_text("task: digits\n")
    done = CliRunner().invoke(app, ["plot", str(tmp_path / "tiny.yaml"), *options])
    assert done.exit_code == 2
    assert {path.name: path.read_text() for path in own.iterdir()} == {"metrics.jsonl": "mine", "log.txt": "mine"}

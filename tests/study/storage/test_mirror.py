"""A study's copy elsewhere: complete, and enough to go on from."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import crossnorm as library
from crossnorm.errors import BadInput
from crossnorm.study.storage.mirror import Mirror
from crossnorm.study.storage.needed_runs import unfinished_runs
from crossnorm.study.storage.run_folder import RunFolder
from tests.study.fault_cases import curves, verdict
from tests.study.small_study import small_plan, train_small, whole_study


def test_finished_runs_come_back(tmp_path):
    whole_study(tmp_path / "out")
    mirror = Mirror(f"file://{tmp_path}/far", tmp_path / "out")
    assert mirror.fetch() == 0
    mirror.copy_study()
    for run in small_plan().runs[:3]:
        mirror.finished(run)
    expected = (verdict(tmp_path), curves(tmp_path))
    shutil.rmtree(tmp_path / "out")
    (tmp_path / "out").mkdir()
    assert Mirror(f"file://{tmp_path}/far", tmp_path / "out").fetch() == 6 + 3 * 2
    assert unfinished_runs(tmp_path / "out", small_plan().runs, print) == [small_plan().runs[3]]
    whole_study(tmp_path / "out")
    assert (verdict(tmp_path), curves(tmp_path)) == expected


def test_an_unfinished_run_goes_on_from_its_copied_checkpoint(tmp_path):
    whole_study(tmp_path / "whole" / "out")
    with pytest.raises(KeyboardInterrupt):
        whole_study(tmp_path / "out", interrupted=True)
    run = small_plan().runs[0]
    mirror = Mirror("memory://crossnorm-test/study", tmp_path / "out")
    mirror.copy_study()
    mirror.evaluated(run, {})
    again = tmp_path / "again" / "out"
    assert Mirror("memory://crossnorm-test/study", again).fetch() == 4
    assert RunFolder.of(again, run).checkpoint.exists()
    whole_study(again)
    assert (verdict(again.parent), curves(again.parent)) == (verdict(tmp_path / "whole"), curves(tmp_path / "whole"))
    (tmp_path / "out").rename(tmp_path / "elsewhere")
    again.rename(tmp_path / "out")
    mirror.finished(run)
    assert Mirror("memory://crossnorm-test/study", tmp_path / "third").fetch() == 4  # the outcome for the checkpoint


def test_a_copy_that_was_cut_off_is_noticed(tmp_path):
    whole_study(tmp_path / "out")
    mirror, run = Mirror(f"{tmp_path}/far", tmp_path / "out"), small_plan().runs[0]
    mirror.finished(run)
    copied = tmp_path / "far" / "runs" / "baseline" / "0" / "metrics.jsonl"
    copied.write_bytes(copied.read_bytes()[:-9])
    Mirror(f"{tmp_path}/far", tmp_path / "third").fetch()
    assert RunFolder.of(tmp_path / "third", run).damaged


def test_what_an_interruption_leaves_is_fetched_again(tmp_path, monkeypatch):
    whole_study(tmp_path / "out")
    mirror = Mirror(f"{tmp_path}/far", tmp_path / "out")
    mirror.copy_study()
    again = Mirror(f"{tmp_path}/far", tmp_path / "again")

    def torn(there, here):
        Path(here).write_text("half")
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(again._files, "get_file", torn)
        with pytest.raises(KeyboardInterrupt):
            again.fetch()
    assert again.fetch() == 6
    for file in (tmp_path / "far").iterdir():
        assert (tmp_path / "again" / file.name).read_bytes() == file.read_bytes()


def test_what_cannot_be_opened_is_named(tmp_path):
    with pytest.raises(BadInput, match="mirror: expected a URL"):
        Mirror("nosuch://x", tmp_path)
    (tmp_path / "file").touch()
    (tmp_path / "study.yaml").touch()
    with pytest.raises(BadInput, match="run the same command to resume"):
        Mirror(f"{tmp_path}/file/x", tmp_path).copy_study()


@pytest.mark.slow
def test_a_study_from_its_mirror_alone(tmp_path):
    fields = {"metric": "loss", "direction": "lower", "alphas": [0, 1], "control": False, "seeds": 2}
    study = library.Study(train_small, **fields)
    first = study.run(tmp_path / "a", mirror=f"{tmp_path}/far", progress=False)
    again = study.run(tmp_path / "b", mirror=f"{tmp_path}/far", progress=False)
    assert again.verdict.to_json() == first.verdict.to_json()
    assert (tmp_path / "far" / "verdict.json").read_bytes() == (tmp_path / "b" / "verdict.json").read_bytes()

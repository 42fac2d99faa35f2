"""A study's copy elsewhere: complete, enough to go on from, and never mixed with another study."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

import crossnorm as library
from crossnorm.api._execute import execute
from crossnorm.errors import BadInput
from crossnorm.study.executors.execution import Execution
from crossnorm.study.monitoring.progress_bar import Progress
from crossnorm.study.storage.mirror import Mirror, mirrored
from crossnorm.study.storage.needed_runs import unfinished_runs
from crossnorm.study.storage.run_folder import RunFolder
from crossnorm.study.storage.study_folder import note_results_seen, open_folder
from crossnorm.study.storage.study_record import read_folder
from tests.study.fault_cases import curves, verdict
from tests.study.small_study import small_plan, train_small, whole_study


def mirror_of(folder, url, runs=4):
    """A mirror with the study of a folder and so many of its runs."""
    mirror = Mirror(str(url), folder)
    mirror.copy_study()
    for run in small_plan().runs[:runs]:
        mirror.finished(run)
    return mirror


def fetched(url, folder) -> int:
    mirror = Mirror(str(url), folder)
    return len(mirror.fetch_study()) + mirror.fetch_runs(read_folder(folder)[0])


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_finished_runs_come_back(tmp_path):
    whole_study(tmp_path / "out")
    assert Mirror(f"file://{tmp_path}/far", tmp_path / "out").fetch_study() == []
    mirror_of(tmp_path / "out", f"file://{tmp_path}/far", runs=3)
    expected = (verdict(tmp_path), curves(tmp_path))
    shutil.rmtree(tmp_path / "out")
    (tmp_path / "out").mkdir()
    assert fetched(f"file://{tmp_path}/far", tmp_path / "out") == 7 + 3 * 2  # with the mark that results have been seen
    plan = read_folder(tmp_path / "out")[0]
    assert unfinished_runs(tmp_path / "out", plan, plan.runs, print) == [plan.runs[3]]
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
    assert fetched("memory://crossnorm-test/study", again) == 4
    assert RunFolder(again, run).checkpoint.exists()
    whole_study(again)
    assert (verdict(again.parent), curves(again.parent)) == (verdict(tmp_path / "whole"), curves(tmp_path / "whole"))
    (tmp_path / "out").rename(tmp_path / "elsewhere")
    again.rename(tmp_path / "out")
    mirror.finished(run)
    assert fetched("memory://crossnorm-test/study", tmp_path / "third") == 4  # the outcome for the checkpoint


def test_a_copy_that_was_cut_off_is_noticed(tmp_path):
    whole_study(tmp_path / "out")
    run = small_plan().runs[0]
    mirror_of(tmp_path / "out", tmp_path / "far", runs=1)
    copied = tmp_path / "far" / "runs" / "baseline" / "0" / "metrics.jsonl"
    copied.write_bytes(copied.read_bytes()[:-9])
    fetched(tmp_path / "far", tmp_path / "third")
    assert "learning curve" in RunFolder(tmp_path / "third", run).read().problem


def test_what_an_interruption_leaves_is_fetched_again(tmp_path, monkeypatch):
    whole_study(tmp_path / "out")
    mirror_of(tmp_path / "out", tmp_path / "far", runs=0)
    again = Mirror(f"{tmp_path}/far", tmp_path / "again")
    again.fetch_study()
    plan = read_folder(tmp_path / "again")[0]

    def torn(there, here):
        Path(here).write_text("half")
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(again._files, "get_file", torn)
        with pytest.raises(KeyboardInterrupt):
            again.fetch_runs(plan)
    assert again.fetch_runs(plan) == 4
    for file in (tmp_path / "far").iterdir():
        assert (tmp_path / "again" / file.name).read_bytes() == file.read_bytes()


def test_what_cannot_be_opened_is_named(tmp_path):
    with pytest.raises(BadInput, match="mirror: expected a URL"):
        Mirror("nosuch://x", tmp_path)
    (tmp_path / "file").touch()
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "study.yaml").touch()
    with pytest.raises(BadInput, match="run the same command to resume"):
        Mirror(f"{tmp_path}/file/x", tmp_path / "s").copy_study()


@pytest.mark.parametrize("url", ["", " ", "file://", "file:///", "/", "memory://", "far\n"])
def test_a_whole_file_system_is_no_mirror(tmp_path, monkeypatch, url):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadInput, match="mirror: expected the URL of a folder"):
        Mirror(url, tmp_path / "s")


@pytest.mark.parametrize(
    "url",
    ["dir::file://{0}/s", "simplecache::file://{0}/far", "file://localhost{0}/far", "local://far", "dir::{0}/far"],
)
def test_a_chained_url_or_a_host_is_no_mirror(tmp_path, monkeypatch, url):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadInput, match="mirror: expected the URL of one folder, as"):
        Mirror(url.format(tmp_path), tmp_path / "s")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("place", ["s", ".", "s/runs", "s/../s/far"])
def test_a_mirror_does_not_overlap_the_study(tmp_path, place):
    with pytest.raises(BadInput, match="overlap"):
        Mirror(f"{tmp_path}/{place}", tmp_path / "s")


def test_the_mirror_of_another_study_is_refused_and_left_alone(tmp_path):
    for name in "ab":
        whole_study(tmp_path / name)
    mirror_of(tmp_path / "b", tmp_path / "far")
    here, there = contents(tmp_path / "a"), contents(tmp_path / "far")
    with pytest.raises(BadInput, match="holds another study"), mirrored(f"{tmp_path}/far", tmp_path / "a"):
        pytest.fail("the block must not begin")
    assert (contents(tmp_path / "a"), contents(tmp_path / "far")) == (here, there)


def test_a_mirror_that_was_extended_is_not_set_back(tmp_path):
    whole_study(tmp_path / "out")
    older = (tmp_path / "out" / "study.yaml").read_bytes()
    open_folder(tmp_path / "out", small_plan(seeds=3), "digest")
    mirror_of(tmp_path / "out", tmp_path / "far")
    there = contents(tmp_path / "far")
    (tmp_path / "out" / "study.yaml").write_bytes(older)
    refused_and_left_alone(tmp_path, "another state of the study: it was extended there", there)


def refused_and_left_alone(place, words, there):
    here = contents(place / "out")
    with pytest.raises(BadInput, match=words), mirrored(f"{place}/far", place / "out"):
        pytest.fail("the block must not begin")
    assert (contents(place / "out"), contents(place / "far")) == (here, there)


@pytest.mark.parametrize("seeds", [3, 4])
def test_two_copies_that_were_extended_apart_are_not_joined(tmp_path, seeds):
    """One before its results were seen, or by other seeds: the mirror of the other is no state before it."""
    (tmp_path / "out").mkdir()
    open_folder(tmp_path / "out", small_plan(), "digest")
    shutil.copytree(tmp_path / "out", tmp_path / "copy")
    open_folder(tmp_path / "copy", small_plan(seeds=seeds), "digest")
    note_results_seen(tmp_path / "out")
    _, record = open_folder(tmp_path / "out", small_plan(seeds=3), "digest")
    assert record.results_seen
    mirror_of(tmp_path / "out", tmp_path / "far", runs=0)
    shutil.rmtree(tmp_path / "out")
    (tmp_path / "copy").rename(tmp_path / "out")
    refused_and_left_alone(tmp_path, "another state of the study", contents(tmp_path / "far"))


def test_an_extension_that_did_not_know_of_a_look_does_not_use_the_mirror(tmp_path):
    (tmp_path / "out").mkdir()
    open_folder(tmp_path / "out", small_plan(), "digest")
    mirror = mirror_of(tmp_path / "out", tmp_path / "far", runs=0)
    open_folder(tmp_path / "out", small_plan(seeds=3), "digest")
    assert mirror.fetch_study() == []
    note_results_seen(tmp_path / "far")
    refused_and_left_alone(tmp_path, "results that have been seen", contents(tmp_path / "far"))


@pytest.mark.parametrize("begun", [True, False])
def test_runs_of_the_mirror_are_not_replaced_by_those_of_other_code(tmp_path, begun):
    """By an older copy, say, in which no run has finished, or in an empty folder."""
    whole_study(tmp_path / "out")
    mirror_of(tmp_path / "out", tmp_path / "far")
    if begun:
        (tmp_path / "copy").mkdir()
        shutil.copy(tmp_path / "out" / "study.yaml", tmp_path / "copy")
    here = contents(tmp_path / "copy").get("study.yaml")
    there = contents(tmp_path / "far")
    workload = SimpleNamespace(plan=small_plan(), digest="other code", code={})
    execution = Execution(workers=1, device="cpu", mirror=f"{tmp_path}/far")
    with pytest.raises(BadInput, match="far: the code of the function changed .* Restore the code, or"):
        execute(workload, tmp_path / "copy", execution, Progress(shown=False))
    assert contents(tmp_path / "far") == there
    assert contents(tmp_path / "copy").get("study.yaml") == here


def test_a_mirror_without_finished_runs_takes_other_code(tmp_path):
    whole_study(tmp_path / "out")
    mirror = mirror_of(tmp_path / "out", tmp_path / "far", runs=0)
    mirror.refuse_changed_code(small_plan(), "other code", {})
    mirror.finished(small_plan().runs[0])
    mirror.refuse_changed_code(small_plan(), "digest", {})
    with pytest.raises(BadInput, match="the function changed"):
        mirror.refuse_changed_code(small_plan(), "other code", {})


def test_a_folder_of_other_files_is_no_mirror(tmp_path):
    (tmp_path / "far").mkdir()
    (tmp_path / "far" / "thesis.tex").touch()
    with pytest.raises(BadInput, match=r"holds files but no study\.yaml"), mirrored(f"{tmp_path}/far", tmp_path / "s"):
        pytest.fail("the block must not begin")


def test_only_the_files_of_planned_runs_are_fetched(tmp_path):
    whole_study(tmp_path / "out")
    mirror_of(tmp_path / "out", tmp_path / "far")
    for name in (".owner", "study.yaml.new", "runs/unplanned/0/result.json", "runs/baseline/0/own.py", "evil.py"):
        (tmp_path / "far" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "far" / name).touch()
    assert fetched(tmp_path / "far", tmp_path / "again") == 7 + 4 * 2
    assert not {".owner", "evil.py"} & {path.name for path in (tmp_path / "again").rglob("*")}
    assert not (tmp_path / "again" / "runs" / "unplanned").exists()


def test_a_run_of_another_study_in_the_mirror_does_not_count(tmp_path):
    for name in "ab":
        whole_study(tmp_path / name)
    mirror_of(tmp_path / "a", tmp_path / "far")
    strange = Path("runs/convex-1/1")
    shutil.copytree(tmp_path / "b" / strange, tmp_path / "far" / strange, dirs_exist_ok=True)
    fetched(tmp_path / "far", tmp_path / "again")
    plan, notes = read_folder(tmp_path / "again")[0], []
    assert unfinished_runs(tmp_path / "again", plan, plan.runs, notes.append) == [plan.runs[3]]
    assert "belongs to another study" in notes[0]


def test_links_in_a_mirror_are_not_written_through(tmp_path):
    whole_study(tmp_path / "out")
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_text("mine")
    mirror = mirror_of(tmp_path / "out", tmp_path / "far")
    (tmp_path / "far" / "table.csv").unlink()
    (tmp_path / "far" / "table.csv").symlink_to(outside / "file")
    mirror.copy_study()
    assert (tmp_path / "far" / "table.csv").read_bytes() == (tmp_path / "out" / "table.csv").read_bytes()
    shutil.rmtree(tmp_path / "far" / "runs" / "baseline")
    (tmp_path / "far" / "runs" / "baseline").symlink_to(outside)
    with pytest.raises(BadInput, match="runs/baseline is a symbolic link"):
        mirror.finished(small_plan().runs[0])
    assert {path.name: path.read_text() for path in outside.iterdir() if path.is_file()} == {"file": "mine"}


def test_links_in_the_folder_are_not_copied_to_the_mirror(tmp_path):
    whole_study(tmp_path / "out")
    (tmp_path / "secret").write_text("secret")
    for name in ("report.html", ".watched"):
        (tmp_path / "out" / name).unlink(missing_ok=True)
        (tmp_path / "out" / name).symlink_to(tmp_path / "secret")
    mirror_of(tmp_path / "out", tmp_path / "far")
    assert not {"report.html", ".watched"} & {path.name for path in (tmp_path / "far").iterdir()}


def test_a_link_in_place_of_a_model_is_neither_copied_nor_written_through(tmp_path):
    whole_study(tmp_path / "out")
    mirror, run = mirror_of(tmp_path / "out", tmp_path / "far"), small_plan().runs[0]
    outside, model = tmp_path / "outside", Path("runs/baseline/0/model")
    outside.mkdir()
    (outside / "file").write_text("mine")
    (tmp_path / "out" / model).symlink_to(outside)
    mirror.finished(run)
    assert not (tmp_path / "far" / model).exists()
    (tmp_path / "far" / model).mkdir()
    (tmp_path / "far" / model / "weights").touch()
    with pytest.raises(BadInput, match="model: a symbolic link"):
        mirror.fetch_runs(read_folder(tmp_path / "out")[0])
    assert [path.name for path in outside.iterdir()] == ["file"]


def test_a_look_is_remembered_by_the_mirror(tmp_path):
    whole_study(tmp_path / "out")
    (tmp_path / "out" / "verdict.json").unlink()
    note_results_seen(tmp_path / "out")
    mirror_of(tmp_path / "out", tmp_path / "far", runs=1)
    with mirrored(f"{tmp_path}/far", tmp_path / "again"):
        assert (tmp_path / "again" / ".watched").exists()  # before the study is opened, perhaps to be extended


@pytest.mark.parametrize(("runs", "seen"), [(3, False), (4, True)])
def test_a_mirror_of_all_runs_has_been_seen(tmp_path, runs, seen):
    whole_study(tmp_path / "out")
    for name in ("verdict.json", "table.csv", "report.html", "curves.png", "trend.png"):
        (tmp_path / "out" / name).unlink()
    mirror_of(tmp_path / "out", tmp_path / "far", runs=runs)
    with mirrored(f"{tmp_path}/far", tmp_path / "again"):
        assert (tmp_path / "again" / ".watched").exists() == seen


def test_a_refused_study_stays_neither_here_nor_in_the_mirror(tmp_path):
    from crossnorm.study.storage.study_lock import forgotten_if_refused, locked

    def refused_command():
        folder = tmp_path / "s"
        with locked(folder), mirrored(f"{tmp_path}/far", folder) as (mirror,):
            open_folder(folder, small_plan(), "digest")
            with forgotten_if_refused(folder, begins=True):
                mirror.copy_study()
                raise BadInput.because("metric", "not logged")

    with pytest.raises(BadInput, match="not logged"):
        refused_command()
    assert not (tmp_path / "s").exists()
    assert list((tmp_path / "far").iterdir()) == []


def test_a_mirror_of_an_older_version_is_sealed_as_it_is(tmp_path):
    whole_study(tmp_path / "out")
    mirror_of(tmp_path / "out", tmp_path / "far")
    for path in (tmp_path / "far").glob("runs/*/*/result.json"):
        found = json.loads(path.read_text())
        for key in ("study", "arm", "seed", "digest"):
            del found[key]
        path.write_text(json.dumps(found))
    unsealed_yaml(tmp_path / "far")
    expected = (verdict(tmp_path), curves(tmp_path))
    shutil.rmtree(tmp_path / "out")
    mirror = Mirror(f"{tmp_path}/far", tmp_path / "out")
    assert len(mirror.fetch_study()) == 3
    whole_study(tmp_path / "out", before=lambda plan: mirror.fetch_runs(plan))
    assert (verdict(tmp_path), curves(tmp_path)) == expected


def test_an_unsealed_mirror_seals_nothing_that_was_here_before(tmp_path):
    for name in "ab":
        whole_study(tmp_path / name)
    mirror_of(tmp_path / "a", tmp_path / "far", runs=0)
    unsealed_yaml(tmp_path / "far")
    strange = Path("runs/convex-1/1")
    shutil.copytree(tmp_path / "b" / strange, tmp_path / "a" / strange, dirs_exist_ok=True)
    plan, mirror = read_folder(tmp_path / "a")[0], Mirror(f"{tmp_path}/far", tmp_path / "a")
    mirror.fetch_study()
    mirror.fetch_runs(plan)
    assert "another study" in RunFolder(tmp_path / "a", plan.runs[3], plan).read().problem


def unsealed_yaml(folder):
    """Take the study's number out of a study.yaml, as in versions before 0.3."""
    import yaml

    from crossnorm.study.storage.study_record import _checksum

    fields = yaml.safe_load((folder / "study.yaml").read_text())
    del fields["record"]["id"]
    fields["record"]["checksum"] = _checksum(fields)
    (folder / "study.yaml").write_text(yaml.safe_dump(fields, sort_keys=False))


@pytest.mark.slow
def test_a_study_from_its_mirror_alone(tmp_path):
    fields = {"metric": "loss", "direction": "lower", "alphas": [0, 1], "control": False, "seeds": 2}
    study = library.Study(train_small, **fields)
    first = study.run(tmp_path / "a", mirror=f"{tmp_path}/far", progress=False)
    again = study.run(tmp_path / "b", mirror=f"{tmp_path}/far", progress=False)
    assert again.verdict.to_json() == first.verdict.to_json()
    assert (tmp_path / "far" / "verdict.json").read_bytes() == (tmp_path / "b" / "verdict.json").read_bytes()

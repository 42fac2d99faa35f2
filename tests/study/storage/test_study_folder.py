"""One study a folder: begun once, continued, extended, never turned into another."""

from __future__ import annotations

from pathlib import Path

import pytest

from crossnorm.api._stored_result import default_folder
from crossnorm.errors import BadInput
from crossnorm.study.spec.plan import Run, make_plan
from crossnorm.study.spec.schema import parse_spec
from crossnorm.study.storage.run_folder import RunFolder
from crossnorm.study.storage.study_folder import note_results_seen, open_folder
from crossnorm.study.storage.study_lock import locked
from crossnorm.study.storage.study_record import read_folder
from crossnorm.training.checkpoint.file_format import State, write_state
from crossnorm.training.loop.outcome import Outcome, RunStatus


def plan(**fields):
    base = {"task": "digits", "seeds": 3, "alphas": [0, 1], "recipe": {"name": "quick"}, "epochs": 2, "name": "s"}
    return make_plan(parse_spec(base | fields, "my.yaml"))


def opened(folder, **fields):
    folder.mkdir(exist_ok=True)
    return open_folder(folder, plan(**fields), "digest")[1]


def test_the_same_study_goes_on_without_an_extension(tmp_path):
    assert opened(tmp_path).extensions == ()
    before = (tmp_path / "study.yaml").read_bytes()
    assert opened(tmp_path).extensions == ()
    assert (tmp_path / "study.yaml").read_bytes() == before


def test_added_seeds_and_arms_are_recorded(tmp_path):
    opened(tmp_path)
    record = opened(tmp_path, seeds=5, alphas=[0, 0.5, 1])
    assert record.extensions == ({"arms": ["convex-0.5", "attenuated-0.5"], "seeds": [3, 4], "results_seen": False},)
    assert not record.results_seen
    assert opened(tmp_path, seeds=5, alphas=[0, 0.5, 1]) == record


@pytest.mark.parametrize(
    "trace", [".watched", "verdict.json", "table.csv", "report.html", "curves.png", "all runs", "link"]
)
def test_an_extension_after_looking_says_so(tmp_path, trace):
    opened(tmp_path)
    if trace == "all runs":
        found = read_folder(tmp_path)[0]
        for run in found.runs:
            assert not opened(tmp_path).results_seen
            RunFolder(tmp_path, run, found).finish(Outcome(RunStatus.COMPLETE), {})
    elif trace == "link":
        (tmp_path / ".watched").symlink_to("nowhere")
    else:
        (tmp_path / trace).write_text("{}")
    assert opened(tmp_path, seeds=4).results_seen
    assert opened(tmp_path, seeds=4).results_seen


@pytest.mark.parametrize("trace", [None, ".watched", "verdict.json"])
def test_crashed_runs_that_are_trained_again_after_an_answer_are_an_extension(tmp_path, trace):
    opened(tmp_path)
    finished(tmp_path, "baseline")
    finished(tmp_path, "convex-1", RunStatus.CRASHED)
    if trace is not None:
        (tmp_path / trace).write_text("{}")
    record = opened(tmp_path)
    again = {"arms": [], "seeds": [], "trained_again": ["convex-1, seed 0"], "results_seen": True}
    assert record.extensions == (() if trace is None else (again,))
    assert record.results_seen == (trace is not None)
    assert opened(tmp_path) == read_folder(tmp_path)[1] == record
    finished(tmp_path, "convex-1")
    assert opened(tmp_path) == record


def test_crashed_code_that_is_mended_after_an_answer_is_an_extension_too(tmp_path):
    own = plan(variants=["mine:doubled"])
    open_folder(tmp_path, own, "digest", {"mine:doubled": "old"})
    finished(tmp_path, "mine:doubled-1", RunStatus.CRASHED)
    (tmp_path / "verdict.json").touch()
    assert open_folder(tmp_path, own, "digest", {"mine:doubled": "new"})[1].results_seen


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"epochs": 3}, "epochs (2 → 3)"),
        ({"task": "mnist1d"}, "task"),
        ({"recipe": {"name": "quick", "lr": 0.1}}, "recipe"),
        ({"metric": "test_accuracy"}, "metric ('test_loss' → 'test_accuracy')"),
        ({"margin": 0.1}, "margin"),
        ({"confidence": 0.9}, "confidence"),
        ({"seeds": 2}, "seeds (without 2)"),
        ({"alphas": [0, 0.5]}, "missing or changed: convex-1"),
        ({"control": False}, "convex-1"),
        ({"site": "pool"}, "site"),
    ],
)
def test_any_other_difference_is_refused_and_nothing_touched(tmp_path, fields, words):
    opened(tmp_path)
    before = (tmp_path / "study.yaml").read_bytes()
    with pytest.raises(BadInput) as caught:
        opened(tmp_path, **fields)
    assert words in str(caught.value)
    assert (tmp_path / "study.yaml").read_bytes() == before


def test_other_data_are_refused(tmp_path):
    opened(tmp_path)
    with pytest.raises(BadInput, match="the data changed"):
        open_folder(tmp_path, plan(), "another digest")


def test_a_folder_with_something_else_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(BadInput, match="thesis.tex and no study.yaml"):
        opened(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]


def finished(folder, arm, status=RunStatus.COMPLETE):
    RunFolder(folder, Run(arm, 0), read_folder(folder)[0]).finish(Outcome(status), {})


def test_a_variant_that_only_crashed_may_be_mended(tmp_path):
    own = plan(variants=["mine:doubled"])
    open_folder(tmp_path, own, "digest", {"mine:doubled": "old"})
    finished(tmp_path, "baseline")
    finished(tmp_path, "mine:doubled-1", RunStatus.CRASHED)
    checkpoint = RunFolder(tmp_path, Run("mine:doubled-1", 1)).checkpoint
    checkpoint.parent.mkdir(parents=True)
    checkpoint.write_text("trained with the old code")
    _, record = open_folder(tmp_path, own, "digest", {"mine:doubled": "new"})
    assert record.code == {"mine:doubled": "new"}
    assert not checkpoint.exists()
    assert read_folder(tmp_path) == (own, record)


def test_what_was_trained_with_the_old_code_does_not_come_back(tmp_path):
    """From a mirror, say: only the arms whose code changed are others from then on."""
    own, run = plan(variants=["mine:doubled"]), Run("mine:doubled-1", 1)
    before, _ = open_folder(tmp_path, own, "digest", {"mine:doubled": "old"})
    folder = RunFolder(tmp_path, run, before)
    folder.append({"step": 0})
    write_state(folder.checkpoint, State(folder.checkpoint_seal, {}))
    kept = folder.checkpoint.read_bytes()
    finished(tmp_path, "baseline")
    after, _ = open_folder(tmp_path, own, "digest", {"mine:doubled": "new"})
    folder.checkpoint.write_bytes(kept)
    assert RunFolder(tmp_path, run, before).load_checkpoint(print, lambda state: None) is not None
    notes = []
    assert RunFolder(tmp_path, run, after).load_checkpoint(notes.append, lambda state: None) is None
    assert "belongs to another study" in notes[0]
    assert RunFolder(tmp_path, Run("baseline", 0), after).finished


def test_a_changed_variant_is_refused_by_name(tmp_path):
    own = plan(variants=["mine:doubled"])
    open_folder(tmp_path, own, "digest", {"mine:doubled": "old"})
    finished(tmp_path, "mine:doubled-1")
    before = (tmp_path / "study.yaml").read_bytes()
    with pytest.raises(BadInput, match="code of the variant mine:doubled changed .* another output folder"):
        open_folder(tmp_path, plan(variants=["mine:doubled"], seeds=5), "digest", {"mine:doubled": "new"})
    assert (tmp_path / "study.yaml").read_bytes() == before
    both = plan(variants=["mine:doubled", "mine:halved"])
    _, record = open_folder(tmp_path, both, "digest", {"mine:doubled": "old", "mine:halved": "other"})
    assert record.code == {"mine:doubled": "old", "mine:halved": "other"}
    assert read_folder(tmp_path) == (both, record)


def test_a_changed_helper_of_the_function_is_refused(tmp_path):
    fields = {"function": "mine:train", "metric": "loss", "direction": "lower", "alphas": [0, 1]}
    own = make_plan(parse_spec(fields, "my.yaml"))
    open_folder(tmp_path, own, "digest", {"mine:train": "old"})
    finished(tmp_path, "baseline")
    with pytest.raises(BadInput, match="code of its module that the function mine:train uses changed"):
        open_folder(tmp_path, own, "digest", {"mine:train": "new"})


def test_a_folder_of_an_older_version_goes_on_and_says_what_was_not_checked(tmp_path):
    own, notes = plan(variants=["mine:doubled"]), []
    open_folder(tmp_path, own, "digest")
    assert "code:" not in (tmp_path / "study.yaml").read_text()
    _, record = open_folder(tmp_path, own, "digest", {"mine:doubled": "new"}, notes.append)
    assert len(notes) == 1
    assert "mine:doubled changed is not known" in notes[0]
    assert open_folder(tmp_path, own, "digest", {"mine:doubled": "new"}, notes.append)[1] == record
    assert len(notes) == 1
    finished(tmp_path, "mine:doubled-1")
    with pytest.raises(BadInput, match="mine:doubled changed"):
        open_folder(tmp_path, own, "digest", {"mine:doubled": "newer"})


def test_spaces_in_a_name_are_hyphens_in_the_folder():
    assert default_folder("my own  study") == Path("crossnorm/my-own-study")


def test_links_in_place_of_what_is_replaced_are_not_followed(tmp_path):
    folder, outside = tmp_path / "s", tmp_path / "outside"
    folder.mkdir()
    outside.write_text("mine")
    for name in (".owner", ".owner.new", ".study.yaml.new", ".watched"):
        (folder / name).symlink_to(outside)
    with locked(folder):
        open_folder(folder, plan(), "digest")
    note_results_seen(folder)
    assert outside.read_text() == "mine"
    assert not (folder / "study.yaml").is_symlink()

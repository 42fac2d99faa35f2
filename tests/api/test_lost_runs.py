"""Files of runs that were edited, mixed up or lost never change an answer: they are named, and the old one is kept."""

from __future__ import annotations

import json
import os
import shutil
from contextlib import nullcontext
from types import SimpleNamespace

import pytest
import yaml
from typer.testing import CliRunner

import crossnorm
from crossnorm.api._result import stored_lines
from crossnorm.api._watch import Watched
from crossnorm.cli import app
from crossnorm.errors import BadInput, RunsLost
from crossnorm.study.planning.evidence import stored_evidence
from crossnorm.study.spec.plan import Run, make_plan
from crossnorm.study.spec.schema import parse_spec
from crossnorm.study.storage.run_folder import RunFolder
from crossnorm.study.storage.run_log import append_to_log, last_lines
from crossnorm.study.storage.study_folder import open_folder
from crossnorm.study.storage.study_record import _checksum, read_folder
from crossnorm.training.loop.outcome import Outcome, RunStatus
from tests.api.stored_studies import SPEC, begun, trained

RUNS = "runs"


def run(*arguments):
    return CliRunner().invoke(app, list(map(str, arguments)))


def finished_study(folder, **changes):
    plan = begun(folder, **changes)
    trained(folder, plan, len(plan.runs))
    crossnorm.load(folder).save(folder)
    return plan


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A finished study, and another one of the same names with other values."""
    home = tmp_path_factory.mktemp("lost")
    finished_study(home / "study")
    finished_study(home / "other", alphas=[0, 0.5, 1, 2])
    return home


@pytest.fixture
def folder(study, tmp_path):
    shutil.copytree(study / "study", tmp_path / "study")
    return tmp_path / "study"


def own(folder, arm="convex-1", seed=0):
    return RunFolder(folder, Run(arm, seed)).path


def append_a_line(folder, study):
    with (own(folder) / "metrics.jsonl").open("a") as file:
        file.write('{"step": 39, "epoch": 3, "test_loss": 0.0, "test_accuracy": 1.0}\n')


def change_a_number(folder, study):
    path = own(folder) / "metrics.jsonl"
    path.write_text(path.read_text().replace('"epoch": 3', '"epoch": 2'))


def swap_two_arms(folder, study):
    one, other = own(folder).parent, own(folder, "baseline").parent
    one.rename(folder / "x")
    other.rename(one)
    (folder / "x").rename(other)


def copy_a_seed_over_another(folder, study):
    shutil.copytree(own(folder, seed=0), own(folder, seed=1), dirs_exist_ok=True)


def copy_a_run_of_another_study(folder, study):
    shutil.copytree(own(study / "other"), own(folder), dirs_exist_ok=True)


def edit_the_status(folder, study):
    path = own(folder) / "result.json"
    path.write_text(path.read_text().replace('"complete"', '"diverged"'))


def remove_the_outcome(folder, study):
    (own(folder) / "result.json").unlink()


def remove_the_run(folder, study):
    shutil.rmtree(own(folder))


def put_a_folder_there(folder, study):
    (own(folder) / "result.json").unlink()
    (own(folder) / "result.json").mkdir()


LOST = {
    append_a_line: "convex-1, seed 0 (the learning curve is not the one that result.json was written for)",
    change_a_number: "convex-1, seed 0 (the learning curve is not",
    swap_two_arms: "baseline, seed 0 (result.json belongs to another run (convex-1, seed 0))",
    copy_a_seed_over_another: "convex-1, seed 1 (result.json belongs to another run (convex-1, seed 0))",
    copy_a_run_of_another_study: "convex-1, seed 0 (result.json belongs to another study, or to another version",
    edit_the_status: "convex-1, seed 0 (result.json is damaged or was edited)",
    remove_the_outcome: "convex-1, seed 0 (its outcome is missing, but table.csv has it)",
    remove_the_run: "convex-1, seed 0 (its outcome is missing, but table.csv has it)",
    put_a_folder_there: "convex-1, seed 0 (result.json cannot be read: Is a directory)",
}


@pytest.mark.parametrize("tamper", LOST, ids=lambda each: each.__name__)
def test_report_keeps_the_answer_and_says_what_is_lost(folder, study, tamper):
    before = {path.name: path.read_bytes() for path in folder.glob("[a-z]*.*")}
    tamper(folder, study)
    done = run("report", folder)
    assert (done.exit_code, done.stdout) == (1, "")
    for words in (LOST[tamper], f"{folder / 'verdict.json'} was not changed", "report --partial"):
        assert words in done.stderr
    assert {path.name: path.read_bytes() for path in folder.glob("[a-z]*.*")} == before
    done = run("report", folder, "--partial")
    assert done.exit_code == 0, done.stderr
    assert "stored run" in done.stdout
    assert "not count" in (folder / "report.html").read_text()
    assert json.loads((folder / "verdict.json").read_text())["complete"] is False


@pytest.mark.parametrize("tamper", LOST, ids=lambda each: each.__name__)
def test_load_and_watch_count_no_lost_run(folder, study, tamper):
    tamper(folder, study)
    result = crossnorm.load(folder)
    lost = 10 if tamper is swap_two_arms else 1
    assert (len(result.lost), int((result.table.status == "missing").sum())) == (lost, lost)
    assert LOST[tamper].split(" (")[0] in result.notes[0]
    with pytest.raises(RunsLost, match="not count"):
        result.save(folder)
    assert "not count" in Watched(folder).page()


def test_another_question_is_not_answered_from_what_is_left_either(folder, study):
    append_a_line(folder, study)
    done = run("report", folder, "--metric", "test_accuracy")
    assert (done.exit_code, done.stdout) == (1, "")
    assert not list(folder.glob("report-*"))


def test_a_report_folder_that_is_a_link_is_refused(folder, tmp_path):
    (tmp_path / "outside").mkdir()
    (folder / "report-test_accuracy").symlink_to(tmp_path / "outside")
    done = run("report", folder, "--metric", "test_accuracy")
    assert done.exit_code == 2
    assert "a symbolic link" in done.stderr
    assert list((tmp_path / "outside").iterdir()) == []


def test_an_unfinished_study_has_lost_nothing(tmp_path):
    plan = begun(tmp_path)
    trained(tmp_path, plan, 20)
    assert crossnorm.load(tmp_path).lost == ()
    assert run("report", tmp_path).exit_code == 0
    assert run("report", tmp_path).exit_code == 0


@pytest.mark.parametrize("field", ["checksum", "id", "confidence", "metric", "seeds"])
def test_an_edited_study_yaml_is_refused(folder, field):
    path = folder / "study.yaml"
    found = yaml.safe_load(path.read_text())
    if field in ("checksum", "id"):
        del found["record"][field]
    else:
        found |= {field: {"confidence": 0.5, "metric": "test_accuracy", "seeds": 3}[field]}
        found["record"].pop("checksum")
    path.write_text(yaml.safe_dump(found))
    with pytest.raises(BadInput, match=r"study\.yaml: the file is damaged or was edited"):
        crossnorm.load(folder)


def unsealed(folder):
    """The folder as versions before 0.3 wrote it."""
    for path in folder.glob("runs/*/*/result.json"):
        found = json.loads(path.read_text())
        for key in ("study", "arm", "seed", "digest"):
            del found[key]
        path.write_text(json.dumps(found))
    path = folder / "study.yaml"
    fields = yaml.safe_load(path.read_text())
    del fields["record"]["id"]
    fields["record"]["checksum"] = _checksum(fields)
    path.write_text(yaml.safe_dump(fields, sort_keys=False))


def test_a_folder_of_an_older_version_is_read_and_sealed_from_then_on(folder, study):
    before, notes = crossnorm.load(folder).verdict.to_json(), []
    unsealed(folder)
    result = crossnorm.load(folder)
    assert result.verdict.to_json() == before
    assert "do not say which study, arm and seed they belong to" in result.notes[0]
    plan = read_folder(folder)[0]
    open_folder(folder, plan, "digest", note=notes.append)
    assert len(notes) == 1
    assert "25 runs are taken as they are, and sealed from now on" in notes[0]
    assert crossnorm.load(folder).verdict.to_json() == before
    assert not [note for note in crossnorm.load(folder).notes if "do not say" in note]
    open_folder(folder, plan, "digest", note=notes.append)
    assert len(notes) == 1
    copy_a_seed_over_another(folder, study)
    assert len(crossnorm.load(folder).lost) == 1


def test_runs_of_an_older_version_that_do_not_match_their_curves_are_not_sealed(folder):
    unsealed(folder)
    append_a_line(folder, None)
    plan, notes = read_folder(folder)[0], []
    open_folder(folder, plan, "digest", note=notes.append)
    assert "24 runs are taken" in notes[0]
    assert len(crossnorm.load(folder).lost) == 1


def test_the_runs_of_the_fixture_differ(study):
    assert SPEC["seeds"] == 5
    assert len(crossnorm.load(study / "other").table.arms) > len(crossnorm.load(study / "study").table.arms)


@pytest.mark.parametrize("place", ["table.csv", ".watched", "runs/convex-1/0/log.txt", "runs/convex-1/0/metrics.jsonl"])
def test_named_pipes_and_endless_files_do_not_hang(folder, place):
    """Opening a pipe without its other end would block for ever."""
    (own(folder) / "result.json").unlink()
    for path in (folder / "table.csv", folder / place):
        path.unlink(missing_ok=True)
    os.mkfifo(folder / place)
    crossnorm.load(folder)
    with pytest.raises(BadInput, match="a named pipe") if place == "table.csv" else nullcontext():
        stored_lines(folder / "table.csv")
    (folder / place).unlink()
    (folder / place).symlink_to("/dev/zero")
    crossnorm.load(folder)
    assert last_lines(own(folder) / "log.txt") == []
    with pytest.raises(OSError, match="symbolic|symlink") if place.endswith("log.txt") else nullcontext():
        append_to_log(own(folder) / "log.txt", "text")


def test_an_older_study_yaml_does_not_make_runs_vanish(folder):
    """As after a restored backup, or from a mirror that an extension did not use."""
    older = (folder / "study.yaml").read_bytes()
    plan, _ = open_folder(folder, make_plan(parse_spec(SPEC | {"direction": "lower", "seeds": 6}, "stored")), "digest")
    trained(folder, plan, len(plan.runs))
    crossnorm.load(folder).save(folder)
    before = (folder / "verdict.json").read_bytes()
    (folder / "study.yaml").write_bytes(older)
    done = run("report", folder)
    assert done.exit_code == 1
    assert "baseline, seed 5 (study.yaml, an older one, does not plan it)" in done.stderr
    assert (folder / "verdict.json").read_bytes() == before


@pytest.mark.parametrize("table", ["newer", "older", "none"])
def test_an_older_study_yaml_does_not_make_arms_vanish(folder, table):
    """Fewer arms are fewer comparisons and another trend."""
    older = {name: (folder / name).read_bytes() for name in ("study.yaml", "table.csv")}
    extended = make_plan(parse_spec(SPEC | {"direction": "lower", "alphas": [0, 0.5, 1, 2]}, "stored"))
    plan, _ = open_folder(folder, extended, "digest")
    trained(folder, plan, len(plan.runs))
    crossnorm.load(folder).save(folder)
    before = (folder / "verdict.json").read_bytes()
    (folder / "study.yaml").write_bytes(older["study.yaml"])
    if table == "older":
        (folder / "table.csv").write_bytes(older["table.csv"])
    elif table == "none":
        (folder / "table.csv").unlink()
    lost = crossnorm.load(folder).lost
    names = [f"{arm}, seed {seed}" for arm in ("attenuated-2", "convex-2") for seed in range(5)]
    assert sorted(lost) == [f"{name} (study.yaml, an older one, does not plan it)" for name in names]
    assert run("report", folder).exit_code == 1
    assert (folder / "verdict.json").read_bytes() == before


@pytest.mark.parametrize("more", [{"seeds": 6}, {"alphas": [0, 0.5, 1, 2]}])
def test_an_older_study_yaml_drops_no_run_of_a_kept_table(folder, more):
    older = (folder / "study.yaml").read_bytes()
    plan, _ = open_folder(folder, make_plan(parse_spec(SPEC | {"direction": "lower"} | more, "stored")), "digest")
    trained(folder, plan, len(plan.runs))
    crossnorm.load(folder).save(folder)
    shutil.rmtree(folder / "runs")
    assert crossnorm.load(folder).lost == ()
    (folder / "study.yaml").write_bytes(older)
    lost = crossnorm.load(folder).lost
    assert len(lost) == len(plan.runs) - 25
    assert all("does not plan it" in each for each in lost)
    assert run("report", folder).exit_code == 1


def crashed(folder, plan, seed):
    for arm in plan.arms:
        RunFolder(folder, Run(arm.name, seed), plan).finish(Outcome(RunStatus.CRASHED, "no memory"), {})


def test_results_read_while_runs_had_crashed_do_not_replace_later_ones(tmp_path):
    plan = begun(tmp_path)
    trained(tmp_path, plan, 20)
    crashed(tmp_path, plan, 4)
    early = crossnorm.load(tmp_path)
    early.save(tmp_path)
    trained(tmp_path, plan, 25)
    crossnorm.load(tmp_path).save(tmp_path)
    before = (tmp_path / "verdict.json").read_bytes()
    with pytest.raises(RunsLost, match="were not there when the results were read"):
        early.save(tmp_path)
    assert (tmp_path / "verdict.json").read_bytes() == before


def test_an_older_copy_of_runs_that_had_crashed_is_no_later_state(folder):
    plan, before = read_folder(folder)[0], (folder / "verdict.json").read_bytes()
    crashed(folder, plan, 4)
    done = run("report", folder)
    assert done.exit_code == 1
    assert "baseline, seed 4 (it crashed later or was replaced, but table.csv has it)" in done.stderr
    assert (folder / "verdict.json").read_bytes() == before


def test_results_read_before_others_were_added_do_not_replace_them(tmp_path):
    plan = begun(tmp_path)
    trained(tmp_path, plan, 20)
    early = crossnorm.load(tmp_path)
    trained(tmp_path, plan, 25)
    crossnorm.load(tmp_path).save(tmp_path)
    before = (tmp_path / "verdict.json").read_bytes()
    with pytest.raises(RunsLost, match="were not there when the results were read"):
        early.save(tmp_path)
    assert (tmp_path / "verdict.json").read_bytes() == before
    early.save(tmp_path / "elsewhere")


def test_a_study_that_finishes_while_a_report_is_drawn_keeps_its_answer(tmp_path, monkeypatch):
    from crossnorm.api import _result

    plan = begun(tmp_path)
    trained(tmp_path, plan, 20)
    early, draw = crossnorm.load(tmp_path), _result.write_report

    def finishes_meanwhile(*arguments, **options):
        monkeypatch.setattr(_result, "write_report", draw)
        trained(tmp_path, plan, 25)
        crossnorm.load(tmp_path).save(tmp_path)
        before.update({path.name: path.read_bytes() for path in tmp_path.glob("[a-z]*.*")})
        draw(*arguments, **options)

    before: dict[str, bytes] = {}
    monkeypatch.setattr(_result, "write_report", finishes_meanwhile)
    with pytest.raises(RunsLost, match="were not there when the results were read"):
        early.save(tmp_path)
    assert {"curves.png", "report.html", "table.csv", "trend.png", "verdict.json"} < before.keys()
    assert {path.name: path.read_bytes() for path in tmp_path.glob("[a-z]*.*")} == before


@pytest.mark.parametrize("name", ["table.csv", "verdict.json", "report.html"])
def test_a_folder_in_the_way_is_named_before_anything_is_replaced(folder, name):
    before = {path.name: path.read_bytes() for path in folder.glob("[a-z]*.*") if path.name != name}
    (folder / name).unlink()
    (folder / name).mkdir()
    done = run("report", folder)
    assert done.exit_code == 2
    assert f"{name}: a folder is in the way" in done.stderr or f"{name}: expected a file" in done.stderr
    assert {path.name: path.read_bytes() for path in folder.glob("[a-z]*.*") if path.name != name} == before


def test_plan_names_runs_that_do_not_count(folder, study):
    append_a_line(folder, study)
    workload = SimpleNamespace(plan=read_folder(folder)[0], digest="digest", code={})
    (note, *_) = stored_evidence(folder, workload).notes
    assert "Stored runs that do not count: convex-1, seed 0 (the learning curve is not" in note

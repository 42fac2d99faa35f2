"""The whole thing as a person meets it: a command, a folder, an answer; interruptions, extensions, errors."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

from tests.study.study_cases import TINY, contents, crossnorm, refused, write_study

FILES = {"study.yaml", "verdict.json", "table.csv", "curves.png", "trend.png", "report.html"}


def test_the_answer_is_printed_and_stored(answered):
    folder, done = answered
    assert done.returncode == 0, done.stderr
    verdict = json.loads((folder / "verdict.json").read_text())
    assert {p.name for p in folder.iterdir() if p.is_file()} >= FILES
    assert len(list(folder.glob("runs/*/*/metrics.jsonl"))) == 9
    assert len(list(folder.glob("runs/*/*/checkpoint*"))) == 0
    assert " ".join(verdict["answer"]["sentence"].split()[:6]) in " ".join(done.stdout.replace("│", " ").split())
    assert (verdict["n_pairs"], verdict["complete"], verdict["interval"]) == (3, True, "bonferroni-t")
    assert [row["arm"] for row in verdict["arms"]] == ["baseline", "convex-1", "attenuated-1"]


def test_the_table_repeats_the_stored_curves(answered):
    folder, _ = answered
    with (folder / "table.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 3 * 3 * 3
    for row in rows:
        lines = (folder / "runs" / row["arm"] / row["seed"] / "metrics.jsonl").read_text().splitlines()
        stored = next(line for line in map(json.loads, lines) if line["step"] == int(row["step"]))
        assert float(row["test_loss"]) == pytest.approx(stored["test_loss"], rel=1e-9)


def test_the_difference_is_the_mean_over_pairs(answered):
    folder, _ = answered
    last = {}
    for arm in ("baseline", "convex-1"):
        for seed in range(3):
            lines = (folder / "runs" / arm / str(seed) / "metrics.jsonl").read_text().splitlines()
            last[arm, seed] = json.loads(lines[-1])["test_loss"]
    expected = sum(last["convex-1", s] - last["baseline", s] for s in range(3)) / 3
    verdict = json.loads((folder / "verdict.json").read_text())
    assert verdict["arms"][1]["difference"] == pytest.approx(expected, rel=1e-9)


def test_the_same_command_again_changes_no_answer(answered):
    folder, _ = answered
    before = contents(folder)
    done = crossnorm("plot", "tiny.yaml", "--out", "out", cwd=folder.parent)
    assert done.returncode == 0
    assert contents(folder) == before


def test_report_draws_again_from_what_is_stored(answered, tmp_path):
    folder, _ = answered
    done = crossnorm("report", folder, "--out", tmp_path / "again", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for name in FILES - {"study.yaml"}:
        assert (tmp_path / "again" / name).read_bytes() == (folder / name).read_bytes(), name


def test_report_from_its_own_table_gives_the_same_estimates(answered, tmp_path):
    folder, _ = answered
    options = ["--metric", "test_loss", "--direction", "lower", "--margin", "0.5", "--out", tmp_path / "t"]
    done = crossnorm("report", "--from", folder / "table.csv", *options, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    ours, theirs = (json.loads((f / "verdict.json").read_text()) for f in (folder, tmp_path / "t"))
    for part in ("arms", "contrasts", "trend", "pairing"):
        assert flat(theirs[part]) == flat(ours[part]), part


def flat(value):
    if isinstance(value, dict):
        return [x for key in sorted(value) for x in flat(value[key])]
    if isinstance(value, list):
        return [x for item in value for x in flat(item)]
    return [value] if isinstance(value, int | float) and not isinstance(value, bool) else []


def test_an_extension_after_looking_widens_every_interval(answered, tmp_path):
    import shutil

    folder, _ = answered
    shutil.copytree(folder, tmp_path / "out")
    write_study(tmp_path)
    done = crossnorm("plot", "tiny.yaml", "--seeds", "4", "--out", "out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    verdict = json.loads((tmp_path / "out" / "verdict.json").read_text())
    assert (verdict["interval"], verdict["n_pairs"]) == ("sequential", 4)
    assert "Sequential intervals." in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    for run in ("baseline/0", "convex-1/2"):
        path = f"runs/{run}/metrics.jsonl"
        assert (tmp_path / "out" / path).read_bytes() == (folder / path).read_bytes()


def test_another_study_in_the_folder_is_refused(answered):
    folder, _ = answered
    before = contents(folder)
    refused(crossnorm("plot", "tiny.yaml", "--epochs", "3", "--out", "out", cwd=folder.parent), "epochs (2 → 3)")
    assert contents(folder) == before


def test_runs_that_are_gone_are_not_trained_again_over_their_table(tmp_path):
    write_study(tmp_path)
    plot = ("plot", "tiny.yaml", "--alphas", "1", "--seeds", "1", "--workers", "1", "--out", "out")
    assert crossnorm(*plot, cwd=tmp_path).returncode == 0
    shutil.rmtree(tmp_path / "out" / "runs")
    before = contents(tmp_path)
    refused(crossnorm(*plot, cwd=tmp_path), "out: the runs are missing", "refusing to train them again")
    assert contents(tmp_path) == before
    columns = (tmp_path / "out" / "table.csv").read_text().splitlines()[0]
    (tmp_path / "out" / "table.csv").write_text(columns + "\n")  # of a study that was drawn before its first run
    assert crossnorm(*plot, cwd=tmp_path).returncode == 0
    assert (tmp_path / "out" / "runs" / "convex-1" / "0" / "metrics.jsonl").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--alphas", "x"], ["--alphas", "0,0.5,1", "'x'"]),
        (["--seeds", "0"], ["seeds", "at least 1"]),
        (["--seeds", "-3"], ["seeds", "at least 1"]),
        (["--epochs", "0"], ["epochs"]),
        (["--workers", "0"], ["workers", "at least 1"]),
        (["--variants", "convx"], ["Did you mean 'convex'"]),
        (["--device", "cuda:9"], ["device"]),
        (["--metric", "bleu"], ["metric"]),
        (["--margin", "much"], ["margin", "'much'"]),
        (["--data", "nowhere"], ["data"]),
        (["--import", "no_such_module"], ["--import", "no_such_module"]),
        (["--train-examples", "100000"], ["train_examples"]),
        (["--set", "model.variant=convex"], ["model.variant", "variants and alphas"]),
        (["--recipe", "papr"], ["tiny.yaml: recipe", "Did you mean 'paper'"]),
        (["--no-such-flag"], ["--no-such-flag"]),
    ],
)
def test_bad_flags_end_with_one_message(tmp_path, arguments, words):
    write_study(tmp_path)
    before = contents(tmp_path)
    refused(crossnorm("plot", "tiny.yaml", *arguments, cwd=tmp_path), *words)
    assert contents(tmp_path) == before


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"sedes": 3}, ["tiny.yaml: sedes", "Did you mean 'seeds'"]),
        ({"task": "digts"}, ["task", "Did you mean 'digits'"]),
        ({"model": {"embeding_dim": 8}}, ["embeding_dim", "embedding_dim"]),
        ({"model": {"name": "vit_2_4_32"}, "site": "pool"}, ["site"]),
        ({"model": {"variant": "convex"}}, ["model.variant", "variants and alphas"]),
        ({"model": {"img_size": 9}}, ["model.img_size: expected (8, 8), as in task digits, got 9"]),
        ({"model": {"num_classes": 7}}, ["model.num_classes: expected 10, as in task digits, got 7"]),
        ({"variants": ["os:system"]}, ["--import os"]),
    ],
)
def test_bad_studies_end_with_one_message(tmp_path, changes, words):
    refused(crossnorm("plot", write_study(tmp_path, **changes), cwd=tmp_path), *words)
    assert [p.name for p in tmp_path.iterdir()] == ["tiny.yaml"]


def test_a_variant_of_ones_own_in_a_study(tmp_path):
    (tmp_path / "mine.py").write_text("def half(value, *, alpha, visible):\n    return value * (1 - alpha / 2)\n")
    study = write_study(tmp_path, variants=["mine:half"], seeds=1, epochs=1)
    done = crossnorm("plot", study, "--import", "mine", "--out", "o", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "o" / "runs" / "mine%3Ahalf-1" / "0" / "result.json").exists()
    again = crossnorm("report", "o", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    before = contents(tmp_path / "o")
    (tmp_path / "mine.py").write_text("def half(value, *, alpha, visible):\n    return value * (1 - alpha / 3)\n")
    changed = crossnorm("plot", study, "--import", "mine", "--out", "o", "--seeds", 2, cwd=tmp_path)
    refused(changed, "the code of the variant mine:half changed", "another output folder")
    assert {name: text for name, text in contents(tmp_path / "o").items() if name in before} == before


BROKEN = """
import torch
def broken(value, *, alpha, visible):
    if torch.is_grad_enabled():
        raise {}('no luck')
    return value
"""


@pytest.mark.slow
def test_an_arm_that_crashes_on_two_seeds_stops_the_study(tmp_path):
    (tmp_path / "mine.py").write_text(BROKEN.format("TypeError"))
    study = write_study(tmp_path, variants=["mine:broken"], seeds=6, epochs=1)
    done = crossnorm("plot", study, "--import", "mine", "--out", "o", "--workers", 1, cwd=tmp_path)
    assert done.returncode == 1, done.stderr
    assert "arm mine:broken-1 crashed on seeds 0 and 1 and finished on none: TypeError: no luck" in done.stderr
    assert "Traceback" not in done.stderr
    kept = {path.parent.name for path in (tmp_path / "o" / "runs" / "baseline").glob("*/result.json")}
    assert kept <= {"0", "1"}
    assert "0" in kept
    (tmp_path / "mine.py").write_text(BROKEN.format("TypeError").replace("if torch", "if not torch"))
    again = crossnorm("plot", study, "--import", "mine", "--out", "o", cwd=tmp_path)
    refused(again, "calling it failed: TypeError: no luck")
    (tmp_path / "mine.py").write_text("def broken(value, *, alpha, visible):\n    return value\n")
    mended = crossnorm("plot", study, "--import", "mine", "--out", "o", cwd=tmp_path)
    assert mended.returncode == 0, mended.stderr


@pytest.mark.slow
def test_a_run_that_crashes_is_tried_again_and_reported(tmp_path):
    (tmp_path / "mine.py").write_text(BROKEN.format("RuntimeError"))
    study = write_study(tmp_path, variants=["mine:broken"], seeds=2, epochs=1)
    done = crossnorm("plot", study, "--import", "mine", "--out", "o", cwd=tmp_path)
    assert done.returncode == 1, done.stderr
    result = json.loads((tmp_path / "o" / "runs" / "mine%3Abroken-1" / "1" / "result.json").read_text())
    assert (result["status"], result["tries"]) == ("crashed", 2)
    assert "no luck" in result["reason"]
    log = tmp_path / "o" / "runs" / "mine%3Abroken-1" / "1" / "log.txt"
    assert str(log) in done.stderr
    assert log.read_text().count("RuntimeError: no luck") == 2
    assert 'mine.py", line 5, in broken' in log.read_text()
    verdict = json.loads((tmp_path / "o" / "verdict.json").read_text())
    assert [row["crashed"] for row in verdict["arms"]] == [0, 2]
    assert verdict["arms"][1]["verdict"] == "undecided"


def start(folder):
    command = [sys.executable, "-m", "crossnorm", "plot", "tiny.yaml", "--out", "out"]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def wait_for_lines(folder, count, process):
    """Until so many evaluations are stored."""
    while process.poll() is None:
        if sum(len(p.read_text().splitlines()) for p in folder.glob("out/runs/*/*/metrics.jsonl")) >= count:
            return
        time.sleep(0.02)


def test_interrupting_and_going_on_gives_the_same_bytes(answered, tmp_path):
    write_study(tmp_path)
    process = start(tmp_path)
    wait_for_lines(tmp_path, 4, process)
    assert process.poll() is None, "it ended before it could be interrupted"
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "Traceback" not in errors
    assert not (tmp_path / "out" / "verdict.json").exists()
    done = crossnorm("plot", "tiny.yaml", "--out", "out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "verdict.json").read_bytes() == (answered[0] / "verdict.json").read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("lines", [1, 9, 14, 22])
def test_killing_and_going_on_gives_the_same_bytes(answered, tmp_path, lines):
    write_study(tmp_path)
    process = start(tmp_path)
    wait_for_lines(tmp_path, lines, process)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=60)
    done = crossnorm("plot", "tiny.yaml", "--out", "out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "verdict.json").read_bytes() == (answered[0] / "verdict.json").read_bytes()
    table = [line for line in (tmp_path / "out" / "table.csv").read_text().splitlines() if ",complete," in line]
    assert len(table) == 27


@pytest.mark.slow
def test_one_worker_and_three_give_the_same_bytes(answered, tmp_path):
    write_study(tmp_path)
    for workers in (1, 3):
        done = crossnorm("plot", "tiny.yaml", "--workers", workers, "--out", f"w{workers}", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert (tmp_path / f"w{workers}" / "verdict.json").read_bytes().replace(b"tiny", b"") == (
            answered[0] / "verdict.json"
        ).read_bytes().replace(b"tiny", b"")


def test_python_gives_the_same_answer(answered, tmp_path, monkeypatch):
    import crossnorm as library

    monkeypatch.chdir(tmp_path)
    study = library.Study(**TINY, name="tiny")
    result = study.run(tmp_path / "p", workers=1, progress=False)
    assert result.verdict.to_json() == (answered[0] / "verdict.json").read_text(encoding="utf-8")
    assert result.trend().variant == "convex"
    assert [band.arm for band in result.curves().arms] == ["baseline", "convex-1", "attenuated-1"]
    assert len(result.plot()) == 2
    assert str(result).startswith("Result(tiny: ")


@pytest.mark.slow
def test_an_open_ended_study_stops_when_decided_and_is_the_same_after_a_kill(tmp_path):
    for name in ("whole", "killed"):
        (tmp_path / name).mkdir()
        write_study(tmp_path / name, stop="decided", max_seeds=24, epochs=1)
    done = crossnorm("plot", "tiny.yaml", "--out", "out", cwd=tmp_path / "whole")
    assert done.returncode == 0, done.stderr
    verdict = json.loads((tmp_path / "whole" / "out" / "verdict.json").read_text())
    assert verdict["interval"] == "sequential"
    assert verdict["complete"]
    assert 3 < verdict["n_pairs"] < 24
    said = " ".join(done.stdout.replace("│", " ").split())
    assert f"on digits, {verdict['n_pairs']} seeds. convex:" in said
    assert "24 seeds" not in said
    assert {row["verdict"] for row in verdict["arms"][1:]} == {"same"}
    process = start(tmp_path / "killed")
    wait_for_lines(tmp_path / "killed", 30, process)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=60)
    done = crossnorm("plot", "tiny.yaml", "--out", "out", cwd=tmp_path / "killed")
    assert done.returncode == 0, done.stderr
    ours, theirs = (tmp_path / name / "out" / "verdict.json" for name in ("whole", "killed"))
    assert ours.read_bytes() == theirs.read_bytes()

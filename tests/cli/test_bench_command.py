"""``crossnorm bench``: a process measures, the table and the file say what it found."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from crossnorm.api import _bench as benching
from crossnorm.cli import app
from crossnorm.report.formatting import number
from crossnorm.training.benchmark import benchmark as bench
from crossnorm.training.benchmark import timing

SMALL = ["--set", "model.embedding_dim=8", "--set", "model.num_layers=1", "--batch-size", "13", "--repeats", "1"]


def invoke(*arguments):
    return CliRunner().invoke(app, ["bench", *map(str, arguments)])


def test_the_command_prints_and_writes(tmp_path, monkeypatch):
    monkeypatch.setattr(bench, "_SIDE", 64)
    monkeypatch.setattr(timing, "_LEAST_SECONDS", 0.0)
    monkeypatch.setattr(benching, "run_bench", lambda settings, told, imports: bench.measure(settings, told))
    out = tmp_path / "b.json"
    for variants in ("signed,laser", "batch"):  # the second replaces the first
        done = invoke(*SMALL, "--variants", variants, "--members", 2, "--device", "cpu", "--out", out)
        assert done.exit_code == 0, done.output
    assert max(map(len, done.stdout.splitlines())) <= 80
    found = json.loads(out.read_text())
    (cohort,) = (part for part in found["speed"]["parts"] if part["name"] == "cohort")
    (row,) = (line for line in done.stdout.splitlines() if "each of 2 members, end to end" in line)
    assert cohort["examples"] == 2 * 13
    assert row.split()[-3::2] == [number(cohort["rate"]["median"]), number(1e3 * cohort["seconds"]["median"] / 2)]
    assert f"takes {number(found['speed']['operations'] / 1e9)} GFLOP" in " ".join(done.stdout.split())
    assert [(row["variant"], row["site"]) for row in found["overhead"]] == [("batch", "attention"), ("batch", "pool")]
    row = done.stdout.splitlines()[-2]
    assert row.split()[1::2] == [f"{row['ratio']['median']:.3f}" for row in found["overhead"]]


@pytest.mark.slow
def test_a_process_measures(tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text("def doubled(value, *, alpha, visible):\n    return (1 + alpha) * value\n")
    monkeypatch.chdir(tmp_path)
    done = invoke(*SMALL, "--variants", "signed,mine:doubled", "--import", "mine", "--members", 2, "--out", "b.json")
    assert done.exit_code == 0, done.output
    for words in ("each of 2 members, end to end", "GFLOP/s", "mine:doubled", "attention", "pool", "MiB"):
        assert words in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80
    found = json.loads((tmp_path / "b.json").read_text())
    assert found["settings"]["model"] == {"name": "cct_2_3x2_32", "embedding_dim": 8, "num_layers": 1}
    assert [(row["variant"], row["site"]) for row in found["overhead"]] == [
        (name, site) for name in ("signed", "mine:doubled") for site in ("attention", "pool")
    ]
    assert all(part["rate"]["median"] > 0 for part in found["speed"]["parts"])
    assert found["environment"]["torch"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--members", "0"], ["--members", "at least 1"]),
        (["--variants", "convx"], ["Did you mean 'convex'"]),
        (["--recipe", "papr"], ["Did you mean 'paper'"]),
        (["--batch-size", "0"], ["recipe.batch_size"]),
        (["--set", "model"], ["--set", "FIELD=VALUE"]),
        (["--out", "missing/bench.json"], ["--out", "no folder missing"]),
        (["--out", "notes.json"], ["--out", "an earlier bench"]),
    ],
)
def test_bad_input_ends_before_anything_is_measured(tmp_path, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes.json").write_text("{}")
    done = invoke(*arguments)
    assert (done.exit_code, done.stdout) == (2, "")
    for word in words:
        assert word in done.stderr
    assert (tmp_path / "notes.json").read_text() == "{}"


def test_what_the_process_refuses_is_refused(tmp_path):
    done = invoke("--model", "gpt_2", "--out", tmp_path / "b.json")
    assert (done.exit_code, done.stdout) == (2, "")
    assert "recipe.augmentation: expected 'task' or 'none' for noise, which has no images" in done.stderr
    assert not (tmp_path / "b.json").exists()

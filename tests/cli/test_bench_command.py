"""``crossnorm bench``: the tables and the file hold what was measured."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from crossnorm.cli import app
from crossnorm.report.formatting import number
from crossnorm.training.benchmark import timing
from crossnorm.training.runtime import process_memory

SMALL = ["--set", "model.embedding_dim=8", "--set", "model.num_layers=1", "--batch-size", "13", "--repeats", "1"]


def invoke(*arguments):
    return CliRunner().invoke(app, ["bench", *map(str, arguments)])


def test_the_command_prints_and_writes(tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text("def doubled(value, *, alpha, visible):\n    return (1 + alpha) * value\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(timing, "_MIN_SECONDS", 0.0)
    monkeypatch.setattr(process_memory, "hold_memory", lambda: None)  # it would hold for the tests that follow
    for variants in ("signed,laser", "batch,mine:doubled"):  # the second replaces the first
        options = ["--import", "mine", "--members", 2, "--device", "cpu", "--out", "b.json"]
        done = invoke(*SMALL, "--variants", variants, *options)
        assert done.exit_code == 0, done.output
    assert max(map(len, done.stdout.splitlines())) <= 80
    found = json.loads((tmp_path / "b.json").read_text())
    assert found["settings"]["model"] == {"name": "cct_2_3x2_32", "embedding_dim": 8, "num_layers": 1}
    assert found["environment"]["torch"]
    for label, key in (("training, 2 members", "training"), ("evaluation", "evaluation")):
        (row,) = (line for line in done.stdout.splitlines() if label in line)
        assert row.split()[-2] == number(found[key]["median"])
        assert found[key]["median"] > 0
    assert list(found["overhead"]) == ["batch", "mine:doubled"]
    (row,) = (line for line in done.stdout.splitlines() if "mine:doubled" in line)
    assert row.split()[1::2] == [
        f"{found['overhead']['mine:doubled'][at]['median']:.3f}" for at in ("attention", "pool")
    ]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--members", "0"], ["members: expected at least 1"]),
        (["--variants", "convx"], ["Did you mean 'convex'"]),
        (["--recipe", "papr"], ["Did you mean 'paper'"]),
        (["--batch-size", "0"], ["recipe.batch_size"]),
        (["--set", "model"], ["--set", "FIELD=VALUE"]),
        (["--out", "missing/bench.json"], ["out: expected a file in an existing folder, got missing/bench.json"]),
        (["--out", "notes.json"], ["out: expected a new file, or one that an earlier bench wrote"]),
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


def test_a_recipe_that_does_not_fit_the_model_is_refused(tmp_path):
    done = invoke("--model", "gpt_2", "--out", tmp_path / "b.json")
    assert (done.exit_code, done.stdout) == (2, "")
    assert "recipe.augmentation: expected 'task' or 'none' for noise, which has no images" in done.stderr
    assert not (tmp_path / "b.json").exists()

"""`crossnorm train` and `crossnorm eval` as a person meets them."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from crossnorm.cli import app
from crossnorm.data import load_task, prepare
from crossnorm.models import load_model
from tests.study.study_cases import crossnorm

TINY = ["--task", "digits", "--train-examples", "67", "--epochs", "2"]
TINY += ["--set", "batch_size=31", "--set", "model.embedding_dim=8", "--set", "model.num_layers=1"]
CONVEX = ["--variant", "convex", "--alpha", "0.5", "--site", "pool", "--set", "ema=0.5"]


def here(*arguments):
    """The command in this process."""
    return CliRunner().invoke(app, list(map(str, arguments)))


def rows(folder):
    lines = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
    return [{key: value for key, value in row.items() if key != "seconds"} for row in lines]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    home = tmp_path_factory.mktemp("single")
    done = crossnorm("train", *TINY, *CONVEX, "--out", "run", cwd=home)
    assert done.returncode == 0, done.stderr
    return home / "run", done


def test_a_run_leaves_its_curve_and_its_model(trained):
    folder, done = trained
    assert {p.name for p in folder.iterdir() if not p.name.startswith(".")} == {
        "run.json",
        "metrics.jsonl",
        "model.safetensors",
        "result.json",
    }
    curve = rows(folder)
    assert [row["step"] for row in curve] == [0, 2, 4]
    assert f"{curve[-1]['test_loss']:.4f}" in done.stdout
    model = load_model(folder / "model.safetensors")
    pool = model.classifier.attention_pool if hasattr(model.classifier, "attention_pool") else None
    assert model.config.embedding_dim == 8
    assert pool is not None
    assert json.loads((folder / "run.json").read_text())["variant"]["site"] == "pool"


def test_eval_equals_a_loop_over_examples(trained):
    folder, _ = trained
    done = here("eval", folder / "model.safetensors", "--task", "digits")
    assert done.exit_code == 0, done.stderr
    found = json.loads((folder / "evaluation.json").read_text())
    task, model = load_task("digits"), load_model(folder / "model.safetensors").eval()
    losses, ranks, confusion = [], [], np.zeros((10, 10), dtype=int)
    for image, target in zip(task.test.inputs, task.test.targets.tolist(), strict=True):
        with torch.no_grad():
            scores = model(prepare(image[None], task))[0].double().numpy()
        losses.append(np.log(np.exp(scores).sum()) - scores[target])
        ranks.append(int((scores > scores[target]).sum()))
        confusion[target, int(scores.argmax())] += 1
    assert found["loss"] == pytest.approx(np.mean(losses), abs=1e-5)
    assert found["top1"] == pytest.approx(np.mean([rank < 1 for rank in ranks]))
    assert found["top5"] == pytest.approx(np.mean([rank < 5 for rank in ranks]))
    assert found["confusion"] == confusion.tolist()
    assert (folder / "confusion.png").read_bytes().startswith(b"\x89PNG")
    assert found["loss"] == pytest.approx(rows(folder)[-1]["test_loss"], abs=0.02)  # there in the recipe's precision


def test_the_same_command_again_trains_nothing(trained):
    folder, first = trained
    before = (folder / "metrics.jsonl").read_bytes()
    done = here("train", *TINY, *CONVEX, "--out", folder)
    assert (done.exit_code, done.stdout.splitlines()[:-1]) == (0, first.stdout.splitlines()[:-1])
    assert (folder / "metrics.jsonl").read_bytes() == before
    done = here("train", *TINY, "--seed", "1", "--out", folder)
    assert done.exit_code == 2
    assert "got another: recipe (ema: 0.5 → None); seed (0 → 1); variant ({" in done.stderr.replace("\n", " ")


def test_a_run_of_other_fields_is_refused_with_those_that_differ(tmp_path):
    described = {"task": "digits", "recipe": {"lr": 0.5, "old": 1}, "alpha_schedule": {"end": 1.0}}
    (tmp_path / "run.json").write_text(json.dumps(described))
    done = here("train", *TINY, "--out", tmp_path)
    assert done.exit_code == 2
    said = " ".join(done.stderr.split())
    recipe = ("lr: 0.5 → 0.008", "old: 1 → nothing", "clip_norm: nothing → None")
    assert all(words in said for words in (*recipe, "alpha_schedule ({'end': 1.0} → nothing)"))


def test_a_killed_run_goes_on_to_the_same_curve(tmp_path):
    long = [*TINY, "--epochs", "12"]
    assert here("train", *long, "--out", tmp_path / "whole").exit_code == 0
    process = subprocess.Popen(
        [sys.executable, "-m", "crossnorm", "train", *long, "--out", "cut"], cwd=tmp_path, stderr=subprocess.DEVNULL
    )
    checkpoint = tmp_path / "cut" / "checkpoint.safetensors"
    while not checkpoint.exists() and process.poll() is None:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = here("train", *long, "--out", tmp_path / "cut")
    assert done.exit_code == 0, done.stderr
    assert rows(tmp_path / "cut") == rows(tmp_path / "whole")
    one, other = (load_model(tmp_path / name / "model.safetensors").state_dict() for name in ("cut", "whole"))
    assert all(torch.equal(one[key], other[key]) for key in other)


@pytest.mark.slow
def test_the_launcher_shares_one_run(tmp_path):
    still = ("precision=fp32", "model.attention_dropout=0", "model.stochastic_depth=0")
    alone = [*TINY, *(part for pair in still for part in ("--set", pair))]
    assert here("train", *alone, "--out", tmp_path / "one").exit_code == 0
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "crossnorm", "train"]
    command = [sys.executable, *launcher, *alone, "--device", "cpu", "--out", "two"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("test_loss") == 1
    for one, other in zip(rows(tmp_path / "one"), rows(tmp_path / "two"), strict=True):
        assert other["test_loss"] == pytest.approx(one["test_loss"], abs=1e-5)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--task", "digits", "--alpha", "0.5"], ["--variant"]),
        (["--task", "digits", "--set", "lr"], ["FIELD=VALUE"]),
        (["--task", "digits", "--set", "lrr=1"], ["Did you mean 'lr'"]),
        (["--task", "digits", "--set", "model.variant=convex"], ["Use --variant"]),
        (["--task", "digits", "--set", "model.name=cct_7"], ["Use --model"]),
        (["--task", "digits", "--set", "name=paper"], ["Use --recipe"]),
        (["--task", "digits", "--set", "epochs=3", "--epochs", "2"], ["epochs is given twice"]),
        (["--task", "digits", "--set", "accumulate=2", "--variant", "batch"], ["variant batch"]),
        (["--task", "digits", "--recipe", "papr"], ["Did you mean 'paper'"]),
        (["--task", "mnist1d", "--set", "cutmix=1"], ["recipe.cutmix"]),
    ],
)
def test_bad_input_is_named(tmp_path, arguments, words):
    done = here("train", *arguments, "--out", tmp_path / "run")
    assert (done.exit_code, done.stdout) == (2, "")
    assert all(word in done.stderr for word in words), done.stderr
    assert not (tmp_path / "run" / "metrics.jsonl").exists()


def test_an_evaluation_that_cannot_be_is_named(trained, tmp_path):
    folder, _ = trained
    for file, task, word in (
        (tmp_path / "no.safetensors", "digits", "no.safetensors"),
        (folder / "model.safetensors", "mnist1d", "task mnist1d"),
    ):
        done = here("eval", file, "--task", task, "--out", tmp_path)
        assert (done.exit_code, done.stdout) == (2, "")
        assert word in done.stderr


def test_models_are_listed_with_counted_sizes():
    done = here("list", "models")
    lines = {line.split()[0]: line for line in done.stdout.splitlines()}
    assert len(lines) == 50
    assert re.search(r" 0\.284 M parameters +35\.3 M multiply-adds", lines["cct_2_3x2_32"])
    assert " 22.367 M parameters" in lines["cct_14_7x2_224"]

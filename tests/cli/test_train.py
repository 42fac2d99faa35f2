"""`crossnorm train` and `crossnorm eval` as a person meets them."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
import yaml
from typer.testing import CliRunner

from crossnorm.adapters.model_source import kept_model
from crossnorm.cli import app
from crossnorm.data import load_task, prepare
from crossnorm.models import create_model, load_model, save_model
from tests.study.study_cases import crossnorm

TINY = ["--task", "digits", "--train-examples", "67", "--epochs", "2"]
TINY += ["--set", "batch_size=31", "--set", "model.embedding_dim=8", "--set", "model.num_layers=1"]
CONVEX = ["--variant", "convex", "--alpha", "0.5", "--site", "pool", "--set", "ema=0.5"]


def here(*arguments):
    """The command in this process."""
    return CliRunner().invoke(app, list(map(str, arguments)))


def rows(folder):
    """The learning curve of the folder's only run."""
    (curve,) = folder.glob("runs/*/*/metrics.jsonl")
    lines = map(json.loads, curve.read_text().splitlines())
    return [{key: value for key, value in row.items() if key != "seconds"} for row in lines]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    home = tmp_path_factory.mktemp("single")
    done = crossnorm("train", *TINY, *CONVEX, "--out", "run", cwd=home)
    assert done.returncode == 0, done.stderr
    return home / "run", done


def test_a_run_leaves_its_curve_and_its_model(trained):
    folder, done = trained
    assert {p.name for p in folder.iterdir() if not p.name.startswith(".")} == {"runs", "study.yaml"}
    assert (folder / ".watched").exists()  # its loss was printed: seeds that are added come after a look
    own = folder / "runs" / "convex-0.5@pool" / "0"
    assert {p.name for p in own.iterdir()} == {"metrics.jsonl", "model.safetensors", "result.json"}
    curve = rows(folder)
    assert [row["step"] for row in curve] == [0, 2, 4]
    assert f"{curve[-1]['test_loss']:.4f}" in done.stdout
    model = load_model(kept_model(folder))
    pool = model.classifier.attention_pool if hasattr(model.classifier, "attention_pool") else None
    assert model.config.embedding_dim == 8
    assert pool is not None
    stored = yaml.safe_load((folder / "study.yaml").read_text())
    assert (stored["site"], stored["seeds"], stored["keep_models"]) == ("pool", [0], True)


def test_eval_equals_a_loop_over_examples(trained):
    folder, _ = trained
    done = here("eval", folder, "--task", "digits")
    assert done.exit_code == 0, done.stderr
    own = kept_model(folder).parent
    found = json.loads((own / "evaluation.json").read_text())
    task, model = load_task("digits"), load_model(kept_model(folder)).eval()
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
    assert (own / "confusion.png").read_bytes().startswith(b"\x89PNG")
    assert found["loss"] == pytest.approx(rows(folder)[-1]["test_loss"], abs=0.02)  # there in the recipe's precision


def test_the_evaluation_of_a_kept_model_is_a_look_at_its_study(trained, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(trained[0], folder)
    (folder / ".watched").unlink()
    assert here("eval", folder, "--task", "digits", "--out", tmp_path / "out").exit_code == 0
    assert (folder / ".watched").exists()


def test_eval_of_a_language_model_counts_tokens(tmp_path):
    """An untrained model, against a loop over windows and tokens."""
    text = tmp_path / "text.txt"
    text.write_text("to be or not to be, that is the question. " * 97)
    task = load_task("shakespeare", data=text, cache=tmp_path / "cache")
    torch.manual_seed(3)
    size = {"vocab_size": task.n_classes, "seq_len": 128, "embedding_dim": 8}
    model = create_model("gpt_2", **size).eval()
    save_model(model, tmp_path / "model.safetensors")
    done = here("eval", tmp_path / "model.safetensors", "--task", "shakespeare", "--data", text, "--device", "cpu")
    assert done.exit_code == 0, done.stderr
    losses, ranks = [], []
    for window, following in zip(task.test.inputs, task.test.targets.tolist(), strict=True):
        with torch.no_grad():
            scores = model(prepare(window[None], task))[0].double().numpy()
        for row, target in zip(scores, following, strict=True):
            losses.append(np.log(np.exp(row).sum()) - row[target])
            ranks.append(int((row > row[target]).sum()))
    found = json.loads((tmp_path / "evaluation.json").read_text())
    assert found["examples"] == len(losses)
    assert found["loss"] == pytest.approx(np.mean(losses), abs=1e-5)
    assert found["top1"] == pytest.approx(np.mean([rank < 1 for rank in ranks]))
    assert found["top5"] == pytest.approx(np.mean([rank < 5 for rank in ranks]))
    assert found["confusion"] is None
    assert not (tmp_path / "confusion.png").exists()
    shown = dict(line.split(maxsplit=1) for line in done.stdout.splitlines())
    assert float(shown["perplexity"]) == pytest.approx(np.exp(np.mean(losses)), rel=1e-3)


def edit_the_model(own):
    model = load_model(own / "model.safetensors")
    with torch.no_grad():
        next(iter(model.parameters())).add_(1)
    save_model(model, own / "model.safetensors")


def remove_the_model(own):
    (own / "model.safetensors").unlink()


@pytest.mark.parametrize(
    ("harm", "words"), [(remove_the_model, "the run's model is missing"), (edit_the_model, "the model is not the one")]
)
def test_a_run_without_its_own_model_is_trained_again(trained, tmp_path, harm, words):
    folder, first = trained
    shutil.copytree(folder, tmp_path / "run")
    own = kept_model(tmp_path / "run").parent
    harm(own)
    if harm is edit_the_model:
        done = here("eval", tmp_path / "run", "--task", "digits")
        assert done.exit_code == 2
        assert words in done.stderr
    done = here("train", *TINY, *CONVEX, "--out", tmp_path / "run")
    assert (done.exit_code, done.stdout.splitlines()[:-1]) == (0, first.stdout.splitlines()[:-1])
    assert f"convex-0.5@pool, seed 0: {words}" in done.stderr
    again, model = (load_model(path).state_dict() for path in (own / "model.safetensors", kept_model(folder)))
    assert again.keys() == model.keys()
    assert all(torch.equal(again[name], value) for name, value in model.items())


def cut_the_outcome(own):
    (own / "result.json").write_text('{"stat')


def remove_the_digest_of_the_model(own):
    found = json.loads((own / "result.json").read_text())
    del found["model"]
    (own / "result.json").write_text(json.dumps(found))


def remove_the_outcome(own):
    (own / "result.json").unlink()


@pytest.mark.parametrize("harm", [cut_the_outcome, remove_the_digest_of_the_model, remove_the_outcome, edit_the_model])
def test_a_model_that_cannot_be_checked_is_not_used(trained, tmp_path, harm):
    shutil.copytree(trained[0], tmp_path / "run")
    own = kept_model(tmp_path / "run").parent
    harm(own)
    start = ["train", *TINY, "--set", f"model.from={own}", "--out", tmp_path / "next"]
    for command in (["eval", own, "--task", "digits"], ["picture", "--checkpoint", own, "--out", tmp_path], start):
        done = here(*command)
        assert done.exit_code == 2, command
        assert "Train the run again, or restore its files" in done.stderr or command is start


def test_a_run_goes_on_with_the_threads_it_began_with(tmp_path, monkeypatch):
    from crossnorm.training.loop import cohort

    used, before, whole = [], torch.get_num_threads(), cohort.train_cohort

    def watched(members, *arguments, **named):
        used.append(torch.get_num_threads())
        observer = named["observer"]
        evaluated = observer.evaluated

        def stop_after_one_epoch(member, row):
            evaluated(member, row)
            if row["epoch"] == 1 and len(used) == 1:
                raise KeyboardInterrupt

        observer.evaluated = stop_after_one_epoch
        whole(members, *arguments, **named)

    monkeypatch.setattr("crossnorm.study.workload.cohort_run.train_cohort", watched)
    try:
        torch.set_num_threads(2)
        assert here("train", *TINY, "--out", tmp_path / "run").exit_code == 130
        torch.set_num_threads(1)
        assert here("train", *TINY, "--out", tmp_path / "run").exit_code == 0
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)
    assert used == [2, 2]
    (path,) = (tmp_path / "run").glob("runs/*/*/result.json")
    assert json.loads(path.read_text())["threads"] == 2


def test_the_same_command_again_trains_nothing(trained):
    folder, first = trained
    before = kept_model(folder).with_name("metrics.jsonl").read_bytes()
    done = here("train", *TINY, *CONVEX, "--out", folder)
    assert (done.exit_code, done.stdout.splitlines()[:-1]) == (0, first.stdout.splitlines()[:-1])
    assert kept_model(folder).with_name("metrics.jsonl").read_bytes() == before
    done = here("train", *TINY, *CONVEX, "--set", "lr=0.5", "--out", folder)
    assert done.exit_code == 2
    assert "a different study: recipe (lr: 0.008 → 0.5)" in " ".join(done.stderr.split())


def test_a_run_is_extended_to_a_study(tmp_path):
    """Another arm and another seed by `train`, the rest by `plot`; what was trained is not trained again."""
    folder = tmp_path / "run"
    alone = [*TINY, "--variant", "convex", "--alpha", "0.5", "--out", folder]
    for more in ([], ["--seed", "1"]):
        assert here("train", *alone, *more).exit_code == 0
    before = {path: path.read_bytes() for path in folder.glob("runs/*/*/metrics.jsonl")}
    assert {path.parent.name for path in before} == {"0", "1"}
    done = here("eval", folder, "--task", "digits")
    assert (done.exit_code, "2 runs keep a model" in done.stderr) == (2, True)
    done = here("plot", folder, "--seeds", "3", "--workers", "1")
    assert done.exit_code == 0, done.output
    verdict = json.loads((folder / "verdict.json").read_text())
    assert [(arm["arm"], arm["n"]) for arm in verdict["arms"]] == [("baseline", 3), ("convex-0.5", 3)]
    assert {path: path.read_bytes() for path in before} == before
    assert len(list(folder.glob("runs/*/*/model.safetensors"))) == 6


def test_a_single_run_of_version_0_1_is_refused_with_what_to_do(tmp_path):
    (tmp_path / "run.json").write_text("{}")
    done = here("train", *TINY, "--out", tmp_path)
    assert done.exit_code == 2
    assert "a single run of crossnorm 0.1" in done.stderr


def test_a_killed_run_goes_on_to_the_same_curve(tmp_path):
    long = [*TINY, "--epochs", "12"]
    assert here("train", *long, "--out", tmp_path / "whole").exit_code == 0
    process = subprocess.Popen(
        [sys.executable, "-m", "crossnorm", "train", *long, "--out", "cut"], cwd=tmp_path, stderr=subprocess.DEVNULL
    )
    checkpoint = tmp_path / "cut" / "runs" / "baseline" / "0" / "checkpoint.safetensors"
    while not checkpoint.exists() and process.poll() is None:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = here("train", *long, "--out", tmp_path / "cut")
    assert done.exit_code == 0, done.stderr
    assert rows(tmp_path / "cut") == rows(tmp_path / "whole")
    one, other = (load_model(kept_model(tmp_path / name)).state_dict() for name in ("cut", "whole"))
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
    assert not (tmp_path / "run").exists()


def test_an_evaluation_that_cannot_be_is_named(trained, tmp_path):
    folder, _ = trained
    for file, task, word in (
        (tmp_path / "no.safetensors", "digits", "no.safetensors"),
        (folder, "mnist1d", "task mnist1d"),
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


def test_a_model_that_names_a_function_runs_only_an_allowed_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "halves.py").write_text("def half(value, *, alpha, visible):\n    return (1 - alpha / 2) * value\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    model = create_model("cct_2_3x2_32", img_size=8, n_input_channels=1, variant="halves:half", embedding_dim=8)
    save_model(model, "model.safetensors")
    done = here("eval", "model.safetensors", "--task", "digits")
    assert (done.exit_code, done.stdout) == (2, "")
    assert "--import halves" in done.stderr
    done = here("eval", "model.safetensors", "--task", "digits", "--import", "halves")
    assert done.exit_code == 0, done.stderr

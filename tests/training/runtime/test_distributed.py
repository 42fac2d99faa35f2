"""A batch in parts: micro-batches, processes, and the moving average of the weights."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from crossnorm.errors import BadInput
from crossnorm.functional import Variant
from crossnorm.training.checkpoint.checkpoints import load_checkpoint, save_checkpoint
from crossnorm.training.checkpoint.file_format import read_state
from crossnorm.training.loop.cohort import train_cohort
from crossnorm.training.loop.evaluation import evaluate
from crossnorm.training.runtime.distributed import ALONE, World, check_parts, parts
from tests.repository import ROOT
from tests.training.training_cases import CPU, Listener, member, same_bits, weights


def train(trained, task, world=ALONE):
    listener = Listener()
    train_cohort([trained], task, seed=0, device=CPU, observer=listener, world=world)
    assert listener.failures == {}
    return listener.rows[trained.name]


@pytest.mark.parametrize("accumulate", [2, 5, 17])
def test_micro_batches_give_the_gradient_of_the_whole_batch(task, accumulate):
    inputs, targets = task.train.inputs[:17] / 255.0, task.train.targets[:17]
    whole, cut = member(still=True), member(still=True, accumulate=accumulate)
    for trained in (whole, cut):
        trained.train_step(inputs, targets, seed=0, total_steps=6, steps_per_epoch=3)
    for one, other in zip(whole.model.parameters(), cut.model.parameters(), strict=True):
        torch.testing.assert_close(other.grad, one.grad, atol=1e-6, rtol=1e-5)
    assert cut.take_train_loss() == pytest.approx(whole.take_train_loss(), abs=1e-6)


def test_parts_cover_the_batch_once_whoever_has_them():
    batch = torch.arange(17)
    alone = parts(batch, 6, ALONE)
    shared = [part for rank in range(3) for part in parts(batch, 2, World(rank, 3))]
    assert [number for number, _ in alone] == [number for number, _ in shared] == list(range(6))
    assert torch.equal(torch.cat([part for _, part in shared]), batch)
    assert all(torch.equal(a, b) for (_, a), (_, b) in zip(alone, shared, strict=True))


def test_the_average_equals_a_plain_loop_and_is_what_is_evaluated(task):
    decay, trained, plain = 0.7, member(ema=0.7), member("plain")
    expected = {key: value.double() for key, value in weights(trained).items()}
    for step in range(5):
        rows = slice(7 * step, 7 * step + 7)
        for each in (trained, plain):
            each.train_step(
                task.train.inputs[rows] / 255.0, task.train.targets[rows], seed=0, total_steps=6, steps_per_epoch=3
            )
        for key, value in trained.model.state_dict().items():
            expected[key] = decay * expected[key] + (1 - decay) * value.double()
    assert same_bits(weights(trained), weights(plain))  # the average changes nothing of training
    averaged = trained.average.state_dict()
    for key, value in expected.items():
        np.testing.assert_allclose(averaged[key].double(), value, atol=1e-6, err_msg=key)
    found = evaluate([trained], task, CPU)
    trained.model.load_state_dict(averaged)
    trained.average = None
    assert evaluate([trained], task, CPU) == found
    assert evaluate([plain], task, CPU) != found


def test_rows_say_that_the_average_was_evaluated(task):
    assert all(row["averaged"] is True for row in train(member(ema=0.5), task))
    assert all("averaged" not in row for row in train(member(), task))


def test_a_resumed_average_has_the_bits_of_an_undisturbed_one(task, tmp_path):
    path, settings = tmp_path / "checkpoint.safetensors", {"ema": 0.9, "mixup": 0.8, "cutmix": 1.0, "accumulate": 2}

    class Saving(Listener):
        def evaluated(self, trained, row):
            super().evaluated(trained, row)
            if row["epoch"] == 1:
                save_checkpoint(trained, path)

    listener, whole, resumed = Saving(), member(**settings), member(**settings)
    train_cohort([whole], task, seed=0, device=CPU, observer=listener)
    load_checkpoint(resumed, read_state(path), "checkpoint")
    assert train(resumed, task) == listener.rows["m"][2:]
    assert same_bits(resumed.average.state_dict(), whole.average.state_dict())
    save_checkpoint(member(), path)
    with pytest.raises(BadInput, match="a checkpoint of this model"):
        load_checkpoint(member(ema=0.9), read_state(path), "checkpoint")


@pytest.mark.parametrize(("changes", "world"), [({"accumulate": 2}, ALONE), ({}, World(0, 2))])
def test_the_variant_batch_is_refused_in_parts(changes, world):
    trained = member(variant=Variant(name="batch", alpha=0.5), **changes)
    with pytest.raises(BadInput, match="variant batch"):
        check_parts(trained.model, trained.recipe, world)
    check_parts(member(variant=Variant(name="convex"), **changes).model, trained.recipe, world)


def test_more_parts_than_examples_are_refused(task):
    with pytest.raises(BadInput, match=r"at most 17 parts"):
        train_cohort([member(accumulate=18)], task, seed=0, device=CPU, observer=Listener())


PROCESS = """
import json, sys
import numpy as np
from pathlib import Path
from tests.training.training_cases import CPU, Listener, member, split
from crossnorm.data import Task
from crossnorm.training.loop.cohort import train_cohort
from crossnorm.training.runtime.distributed import joined

draws = np.random.default_rng(11)
task = Task(name="tiny", kind="image", train=split(53, draws), test=split(31, draws), n_classes=3,
            classes=("a", "b", "c"), mean=(0.4, 0.5), std=(0.3, 0.2), image_size=(7, 5), n_channels=2,
            digest="none", augmentation="crop-flip", model={"name": "cct_2_3x2_32"}, notes="")
with joined(CPU) as (world, device):
    rows = {}
    for still in (True, False):
        listener = Listener()
        trained = member(still=still, mixup=0.8, cutmix=1.0)
        train_cohort([trained], task, seed=0, device=device, observer=listener, world=world)
        rows[str(still)] = listener.rows["m"]
    Path(sys.argv[1], f"{world.rank}-of-{world.size}.json").write_text(json.dumps(rows))
"""


def test_two_processes_give_the_losses_of_one(task, tmp_path):
    """Without dropout those of one process; with it those of one process with two micro-batches, part by part."""
    script = tmp_path / "process.py"
    script.write_text(PROCESS, encoding="utf-8")
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run([*launcher, script, tmp_path], capture_output=True, text=True, timeout=240, env=environment)
    assert done.returncode == 0, done.stderr
    shared = [json.loads((tmp_path / f"{rank}-of-2.json").read_text()) for rank in (0, 1)]
    assert shared[0] == shared[1]
    for still, accumulate in ((True, 1), (False, 2)):
        alone = train(member(still=still, mixup=0.8, cutmix=1.0, accumulate=accumulate), task)
        for one, other in zip(alone, shared[0][str(still)], strict=True):
            for key in ("test_loss", "train_loss"):
                assert other[key] == pytest.approx(one[key], abs=1e-5)

"""Training on a CUDA device: the losses of a CPU, and the same bits alone, in a cohort and after a resume."""

from __future__ import annotations

import pytest
import torch

from crossnorm.training.checkpoint.checkpoints import load_checkpoint, save_checkpoint
from crossnorm.training.checkpoint.file_format import read_state
from crossnorm.training.loop.cohort import train_cohort
from tests.training.training_cases import CPU, Listener, convex, member, same_bits, weights

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")

CUDA = torch.device("cuda")
ARMS = (None, convex(0.5), convex(1.0))


def members(device=CUDA, **changes):
    return [member(f"arm{i}", variant=variant, device=device, **changes) for i, variant in enumerate(ARMS)]


def train(cohort, task, device=CUDA):
    listener = Listener()
    train_cohort(cohort, task, seed=0, device=device, observer=listener)
    assert not listener.failures
    return listener.rows


FILTERS = {"optimizer": "muon-filters", "layers": 2}


@pytest.mark.parametrize("settings", [{"optimizer": "adamw"}, {"optimizer": "muon"}, FILTERS])
def test_losses_are_those_of_the_cpu(task, settings):
    """Without dropout, whose draws differ from device to device."""
    here, there = (train(members(d, still=True, **settings), task, d) for d in (CPU, CUDA))
    for name, rows in here.items():
        for one, other in zip(rows, there[name], strict=True):
            assert other["test_loss"] == pytest.approx(one["test_loss"], abs=1e-3)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_run_has_the_same_bits_alone_in_a_cohort_and_repeated(task, precision):
    together = members(precision=precision, **FILTERS)
    train(together, task)
    for alone, beside in zip(members(precision=precision, **FILTERS), together, strict=True):
        train([alone], task)
        assert same_bits(weights(alone), weights(beside))


def test_a_resumed_run_has_the_bits_of_an_undisturbed_one(task, tmp_path):
    class Saving(Listener):
        def evaluated(self, trained, row):
            super().evaluated(trained, row)
            if row["epoch"] == 1:
                save_checkpoint(trained, tmp_path / "checkpoint.safetensors")

    whole, resumed = (member(variant=convex(0.5), device=CUDA, seed=seed, **FILTERS) for seed in (0, 1))
    train_cohort([whole], task, seed=0, device=CUDA, observer=Saving())
    load_checkpoint(resumed, read_state(tmp_path / "checkpoint.safetensors"), "checkpoint")
    train([resumed], task)
    assert same_bits(weights(resumed), weights(whole))

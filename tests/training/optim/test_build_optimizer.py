"""Muon beside AdamW: who is stepped by which, how far, and the same bits after a resume."""

from __future__ import annotations

import copy
import zlib

import pytest
import torch
from torch import nn

from crossnorm.errors import BadInput
from crossnorm.models import create_model
from crossnorm.rng import addressed
from crossnorm.training.checkpoint.checkpoints import load_checkpoint, save_checkpoint
from crossnorm.training.checkpoint.file_format import read_state
from crossnorm.training.loop.cohort import train_cohort
from crossnorm.training.optim.build_optimizer import make_optimizer
from crossnorm.training.optim.muon import Muon, orthogonalize
from crossnorm.training.recipe.recipes import make_recipe
from tests.training.training_cases import CPU, Listener, member, same_bits, weights

MATRICES = [
    f"classifier.blocks.{block}.{layer}.weight"
    for block in (0, 1)
    for layer in ("self_attn.qkv", "self_attn.proj", "linear1", "linear2")
]


def orthogonalized(matrix):
    """Five steps of the quintic Newton-Schulz iteration with Muon's published coefficients, in float64."""
    x = matrix.double() / matrix.double().norm()
    x = x.T if len(x) > len(x.T) else x
    for _ in range(5):
        gram = x @ x.T
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    return x if x.shape == matrix.shape else x.T


def test_blocks_take_orthogonal_steps_and_the_rest_those_of_adamw():
    settings = {"lr": 0.01, "weight_decay": 0.5, "beta2": 0.95}
    trained, plain = member(optimizer="muon", **settings), member(**settings)
    old, other = weights(trained), dict(plain.model.named_parameters())
    for name, parameter in trained.model.named_parameters():
        draws = torch.Generator().manual_seed(zlib.crc32(name.encode()))
        parameter.grad = torch.randn(parameter.shape, generator=draws)
        other[name].grad = parameter.grad.clone()
    trained.optimizer.step()
    plain.optimizer.step()
    assert set(MATRICES) < set(old)
    for name, new in trained.model.named_parameters():
        if name not in MATRICES:
            assert torch.equal(new, other[name]), name
            continue
        # At the first step Nesterov's momentum is a multiple of the gradient, and a multiple changes nothing.
        step = 0.2 * max(new.shape) ** 0.5 * orthogonalized(new.grad)
        moved, expected = new.detach().double() - old[name], -0.01 * (0.5 * old[name].double() + step)
        assert (moved - expected).norm() < 1e-4 * expected.norm(), name


def test_filters_behind_the_first_layer_take_orthogonal_steps_too():
    settings = {"lr": 0.01, "weight_decay": 0.5}
    with addressed(0, "init"):
        model = create_model("cct_2_3x2_32", n_conv_layers=3, img_size=(11, 13), embedding_dim=8)
    model.to(memory_format=torch.channels_last)
    trained, plain = copy.deepcopy(model), copy.deepcopy(model)
    for name, parameter in model.named_parameters():
        gradient = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(zlib.crc32(name.encode())))
        for other in (trained, plain):
            other.get_parameter(name).grad = gradient.clone()
    for other, optimizer in ((trained, "muon-filters"), (plain, "muon")):
        make_optimizer(other, make_recipe("quick", optimizer=optimizer, **settings), CPU).step()
    filters = [f"tokenizer.conv_layers.{layer}.0.weight" for layer in (1, 2)]
    for name, old in model.named_parameters():
        new, gradient = trained.get_parameter(name).detach(), trained.get_parameter(name).grad
        if name not in filters:
            assert torch.equal(new, plain.get_parameter(name)), name
            continue
        step = 0.2 * max(old.flatten(1).shape) ** 0.5 * orthogonalized(gradient.flatten(1)).view_as(old)
        moved, expected = new.double() - old.double(), -0.01 * (0.5 * old.double() + step)
        assert (moved - expected).norm() < 1e-4 * expected.norm(), name


def test_the_momentum_is_that_of_the_gradients_before(task):
    trained = member(optimizer="muon", still=True)
    name, sums = MATRICES[3], 0.0
    for step in range(3):
        rows = slice(17 * step, 17 * step + 17)
        inputs, targets = task.train.inputs[rows] / 255.0, task.train.targets[rows]
        trained.train_step(inputs, targets, seed=0, total_steps=6, steps_per_epoch=3)
        sums = 0.95 * sums + 0.05 * trained.model.get_parameter(name).grad.double()
    (kept,) = [state["momentum_buffer"] for n, state in states_of(trained).items() if n == name]
    torch.testing.assert_close(kept.double(), sums, atol=1e-7, rtol=1e-4)


def states_of(trained):
    """Parameter's name → its state, by the numbers of the state dict."""
    state = trained.optimizer.state_dict()
    numbers = [number for group in state["param_groups"] for number in group["params"]]
    owners = [p for group in trained.optimizer.param_groups for p in group["params"]]
    names = {id(p): name for name, p in trained.model.named_parameters()}
    assert numbers == list(range(len(names)))
    return {names[id(p)]: state["state"][number] for number, p in zip(numbers, owners, strict=True)}


@pytest.mark.parametrize("settings", [{"optimizer": "muon"}, {"optimizer": "muon-filters", "layers": 2}])
def test_a_resumed_run_has_the_bits_of_an_undisturbed_one(task, tmp_path, settings):
    class Saving(Listener):
        def evaluated(self, trained, row):
            super().evaluated(trained, row)
            if row["epoch"] == 1:
                save_checkpoint(trained, tmp_path / "checkpoint.safetensors")

    saving, resuming = Saving(), Listener()
    whole, resumed = member(**settings), member(**settings, seed=1)
    train_cohort([whole], task, seed=0, device=CPU, observer=saving)
    load_checkpoint(resumed, read_state(tmp_path / "checkpoint.safetensors"), "checkpoint")
    train_cohort([resumed], task, seed=0, device=CPU, observer=resuming)
    assert resuming.rows["m"] == saving.rows["m"][2:]
    assert same_bits(weights(resumed), weights(whole))
    for name, state in states_of(whole).items():
        assert same_bits(state, states_of(resumed)[name])


@pytest.mark.parametrize("shape", [(3, 5, 7), (3, 7, 5), (1, 11, 13)])
def test_orthogonalized_matrices_are_those_of_the_iteration_one_by_one(shape):
    matrices = torch.randn(shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    found = orthogonalize(matrices)
    expected = torch.stack([orthogonalized(matrix) for matrix in matrices])
    torch.testing.assert_close(found, expected, atol=1e-12, rtol=1e-12)
    assert torch.linalg.svdvals(found).sub(1).abs().max() < 0.35
    assert not orthogonalize(torch.zeros(shape)).any()


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="torch before 2.9")
def test_steps_are_those_of_torch_but_for_its_bfloat16():
    ours, theirs = ([nn.Parameter(torch.eye(17, 19) * 3) for _ in range(2)] for _ in range(2))
    settings = {"lr": 0.01, "weight_decay": 0.5}
    optimizers = (
        Muon(ours, **settings),
        torch.optim.Muon(theirs, **settings, momentum=0.95, adjust_lr_fn="match_rms_adamw"),
    )
    for step in range(4):
        for parameters in (ours, theirs):
            draws = torch.Generator().manual_seed(step)
            for parameter in parameters:
                parameter.grad = torch.randn(parameter.shape, generator=draws)
        for optimizer in optimizers:
            optimizer.step()
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, atol=2e-3, rtol=0)  # of moves of about 0.03


def test_matrices_of_one_shape_and_several_types_are_stepped_as_each_alone():
    together, alone = ([nn.Parameter(torch.ones(3, 5, dtype=d)) for d in (torch.float32, torch.float64)] for _ in "ab")
    optimizers = [Muon(together, lr=0.1, weight_decay=0.0), *(Muon([p], lr=0.1, weight_decay=0.0) for p in alone)]
    for parameter in (*together, *alone):
        parameter.grad = torch.eye(3, 5, dtype=parameter.dtype)
    for optimizer in optimizers:
        optimizer.step()
    assert all(torch.equal(one, other) for one, other in zip(together, alone, strict=True))


def test_a_matrix_without_a_gradient_stays():
    still, moving = nn.Parameter(torch.ones(3, 5)), nn.Parameter(torch.ones(3, 5))
    moving.grad = torch.eye(3, 5)
    Muon([still, moving], lr=0.1, weight_decay=0.5).step()
    assert torch.equal(still, torch.ones(3, 5))
    assert not torch.equal(moving, torch.ones(3, 5))


def test_a_model_without_blocks_is_named():
    recipe = make_recipe("quick", optimizer="muon")
    with pytest.raises(BadInput, match="no linear layers in a list of blocks"):
        make_optimizer(nn.Linear(3, 5), recipe, CPU)

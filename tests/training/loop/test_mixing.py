"""Mixup and CutMix against loops over examples; soft targets; where mixing stops and who shares it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from crossnorm.data.augment.mixup import cutmix_box, mix_batch
from crossnorm.errors import BadInput
from crossnorm.rng import address
from crossnorm.training.loop.cohort import mixed, train_cohort
from crossnorm.training.recipe.recipes import make_recipe
from tests.training.training_cases import CPU, Listener, member

BATCH, CLASSES = 7, 3


def batch():
    draws = np.random.default_rng(5)
    images = torch.from_numpy(draws.standard_normal((BATCH, 2, 11, 13)).astype(np.float32))
    return images, torch.from_numpy(draws.integers(0, CLASSES, BATCH))


def expected_targets(targets, share):
    rows = np.zeros((BATCH, CLASSES))
    for i, target in enumerate(targets.tolist()):
        rows[i, target] += share
        rows[BATCH - 1 - i, target] += 1 - share
    return rows


def test_mixup_equals_a_loop():
    images, targets = batch()
    mixed_images, soft = mix_batch(images, targets, CLASSES, mixup=0.8, cutmix=0.0, draws=np.random.default_rng(2))
    share = np.random.default_rng(2).beta(0.8, 0.8)
    for i in range(BATCH):
        wanted = share * images[i].double() + (1 - share) * images[BATCH - 1 - i].double()
        np.testing.assert_allclose(mixed_images[i], wanted, atol=1e-6)
    np.testing.assert_allclose(soft, expected_targets(targets, share), atol=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_cutmix_equals_a_loop_over_pixels(seed):
    images, targets = batch()
    before = images.clone()
    mixed_images, soft = mix_batch(images, targets, CLASSES, mixup=0.0, cutmix=1.0, draws=np.random.default_rng(seed))
    assert torch.equal(images, before)
    again = np.random.default_rng(seed)
    side = np.sqrt(1 - again.beta(1.0, 1.0))
    center = np.floor(again.random(2) * [11, 13])
    half = np.floor(np.floor(np.array([11, 13]) * side) / 2)
    inside = np.zeros((11, 13), dtype=bool)
    for row in range(11):
        for column in range(13):
            inside[row, column] = all(center - half <= [row, column]) and all([row, column] < center + half)
    for i in range(BATCH):
        wanted = np.where(inside, images[BATCH - 1 - i], images[i])
        np.testing.assert_array_equal(mixed_images[i], wanted)
    np.testing.assert_allclose(soft, expected_targets(targets, 1 - inside.mean()), atol=1e-6)


def test_a_box_is_cut_off_at_the_border():
    assert cutmix_box(11, 13, 0.75, np.array([0.0, 0.99])) == (0, 2, 9, 13)
    assert cutmix_box(11, 13, 1.0, np.array([0.5, 0.5])) == (5, 5, 6, 6)
    assert cutmix_box(10, 14, 0.0, np.array([0.5, 0.5])) == (0, 10, 0, 14)


def test_each_of_the_two_is_taken_about_half_the_time():
    images, targets = batch()
    draws = np.random.default_rng(0)
    results = [mix_batch(images, targets, CLASSES, mixup=0.8, cutmix=1.0, draws=draws)[0] for _ in range(200)]
    pixels = images.flatten(0).numpy()
    boxed = sum(bool(np.isin(r.flatten(0).numpy(), pixels).all()) for r in results)
    assert 70 < boxed < 130  # binomial(200, ½): 4 standard deviations


def test_draws_are_addressed_and_stop_after_mix_epochs(task):
    inputs, targets = torch.randn(5, 2, 7, 5), torch.tensor([0, 1, 2, 1, 0])
    recipe = make_recipe("quick", mixup=0.8, mix_epochs=2)
    got = mixed(inputs, targets, task, recipe, seed=3, step=7, epoch=1)
    draws = np.random.default_rng(address(3, "mix", 7))
    wanted = mix_batch(inputs, targets, 3, mixup=0.8, cutmix=0.0, draws=draws)
    assert all(torch.equal(a, b) for a, b in zip(got, wanted, strict=True))
    other = mixed(inputs, targets, task, recipe, seed=3, step=8, epoch=1)[0]
    assert not torch.equal(got[0], other)
    assert mixed(inputs, targets, task, recipe, seed=3, step=7, epoch=2)[0] is inputs
    assert mixed(inputs, targets, task, make_recipe("quick"), seed=3, step=7, epoch=0)[1] is targets


def test_the_loss_of_soft_targets_equals_a_loop():
    draws = np.random.default_rng(1)
    trained = member(still=True, label_smoothing=0.1, epochs=1)
    inputs = torch.from_numpy(draws.standard_normal((5, 2, 7, 5)).astype(np.float32))
    soft = torch.from_numpy(draws.dirichlet(np.ones(3), 5).astype(np.float32))
    with torch.no_grad():
        scores = trained.model.train()(inputs).double().numpy()
    total = 0.0
    for row, target in zip(scores, soft.double().numpy(), strict=True):
        logs = row - np.log(np.exp(row).sum())
        smoothed = 0.9 * target + 0.1 / 3
        total -= sum(s * x for s, x in zip(smoothed, logs, strict=True))
    trained.train_step(inputs, soft, seed=0, total_steps=3, steps_per_epoch=3)
    assert trained.take_train_loss() == pytest.approx(total / 5, abs=1e-6)


def test_every_arm_sees_the_same_mixed_batches(task, monkeypatch):
    seen = {}
    members = [member(name, mixup=0.8, cutmix=1.0, epochs=1) for name in ("one", "two")]
    for trained in members:
        trained.model.register_forward_pre_hook(
            lambda module, args, name=trained.name: (
                seen.setdefault(name, []).append(args[0].clone()) if module.training else None
            )
        )
    train_cohort(members, task, seed=0, device=CPU, observer=Listener())
    assert len(seen["one"]) == 3
    assert all(torch.equal(a, b) for a, b in zip(seen["one"], seen["two"], strict=True))


@pytest.mark.parametrize(
    ("kind", "changes", "field"),
    [("sequence", {"cutmix": 1.0}, "cutmix"), ("text", {"mixup": 0.8}, "mixup"), ("language", {"mixup": 0.8}, "mixup")],
)
def test_mixing_what_is_no_image_is_refused(task, kind, changes, field):
    import dataclasses

    other = dataclasses.replace(task, kind=kind, augmentation="none")
    with pytest.raises(BadInput, match=f"recipe.{field}"):
        train_cohort([member(**changes)], other, seed=0, device=CPU, observer=Listener())


def test_recipes_are_the_published_ones():
    long = make_recipe("paper-long")
    published = {"lr": 5.5e-4, "weight_decay": 6e-2, "warmup_epochs": 10, "warmup_lr": 1e-5, "min_lr": 1e-5}
    published |= {"augmentation": "randaugment", "mixup": 0.8, "cutmix": 1.0, "epochs": 300, "batch_size": 128}
    assert {key: getattr(long, key) for key in published} == published
    tuned = make_recipe("finetune")
    assert (tuned.lr, tuned.weight_decay, tuned.epochs, tuned.warmup_epochs) == (1e-5, 0, 30, 0)


def test_hard_targets_stay_classes(task):
    """A one-hot row and its class give the same loss: mixing with λ = 1 changes nothing."""
    logits, targets = torch.randn(5, 3), torch.tensor([0, 1, 2, 1, 0])
    soft = F.one_hot(targets, 3).float()
    both = [F.cross_entropy(logits, wanted, label_smoothing=0.1) for wanted in (targets, soft)]
    assert both[0] == pytest.approx(both[1].item(), abs=1e-6)

"""Alternating mirrors: who is mirrored in an epoch, read off the pixels."""

from __future__ import annotations

import dataclasses
from itertools import pairwise

import pytest
import torch

from crossnorm.data import Split
from crossnorm.data.batches import train_batch
from crossnorm.errors import BadInput
from crossnorm.rng import generator
from crossnorm.training.loop.cohort import train_cohort
from tests.training.training_cases import CPU, member


@pytest.fixture
def slopes(task):
    """Images that grow brighter to the right, and whose brightness says which they are."""
    ramp = torch.arange(7, dtype=torch.uint8).view(1, 1, 1, 7)
    numbers = 10 + 4 * torch.arange(53, dtype=torch.uint8).view(53, 1, 1, 1)
    split = Split(inputs=(numbers + ramp).expand(53, 2, 11, 7).contiguous(), targets=torch.arange(53))
    return dataclasses.replace(task, train=split, mean=(0.0, 0.0), std=(1 / 255, 1 / 255))


def mirrored(slopes, epoch, *, seed=0, augmentation="crop-flip", flip="alternating"):
    """Example → whether it was mirrored, over the three batches of an epoch."""
    seen = {}
    for step in range(3 * epoch, 3 * epoch + 3):
        inputs, targets = train_batch(
            slopes, step, seed=seed, batch_size=17, augmentation=augmentation, device=CPU, flip=flip
        )
        for row, example in zip(inputs[:, 0].amax(1), targets.tolist(), strict=True):
            left, right = row[row > 0][:2].tolist()  # the crop's padding is black: a stretch of the slope is left
            seen[example] = left > right
    return seen


def test_two_epochs_in_a_row_see_both_forms(slopes):
    epochs = [mirrored(slopes, epoch) for epoch in range(4)]
    for before, after in pairwise(epochs):
        both = before.keys() & after.keys()
        assert len(both) > 45
        assert all(before[example] != after[example] for example in both)
    assert 15 < sum(epochs[0].values()) < 36


def test_the_first_half_is_drawn_at_the_seed(slopes):
    first = mirrored(slopes, 0, seed=5)
    drawn = (torch.rand(53, generator=generator(5, "flip")) < 0.5).tolist()
    assert first == {example: drawn[example] for example in first}
    other = mirrored(slopes, 0, seed=6)
    assert any(first[example] != other[example] for example in first.keys() & other.keys())


def test_at_random_some_keep_their_form(slopes):
    before, after = (mirrored(slopes, epoch, flip="random") for epoch in (0, 1))
    kept = [before[example] == after[example] for example in before.keys() & after.keys()]
    assert 0.25 < sum(kept) / len(kept) < 0.75


def test_a_recipe_decides_who_is_mirrored_in_training(task, listener):
    for name, flip in (("random", "random"), ("alternating", "alternating")):
        train_cohort([member(name, flip=flip)], task, seed=0, device=CPU, observer=listener)
    random, alternating = (listener.rows[name] for name in ("random", "alternating"))
    assert random[0] == alternating[0]
    assert random[1]["train_loss"] != alternating[1]["train_loss"]


def test_nothing_to_mirror_is_refused(task, listener):
    with pytest.raises(BadInput, match=r"recipe.flip: expected random, because augmentation is none"):
        train_cohort([member(flip="alternating", augmentation="none")], task, seed=0, device=CPU, observer=listener)

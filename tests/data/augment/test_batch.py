from __future__ import annotations

from collections import Counter

import pytest
import torch
from scipy import stats
from torch import Tensor
from torchvision.transforms.v2 import functional as F

from crossnorm.data.augment.batch import AUGMENTATIONS, _apply_slot, augment
from crossnorm.data.augment.image_ops import OPERATIONS
from crossnorm.data.augment.policies import POLICIES, Draw
from crossnorm.errors import BadInput
from crossnorm.rng import generator
from tests.data.data_images import photos

RANDOM = [name for name in AUGMENTATIONS if name != "none"]


def crops(image: Tensor) -> list[Tensor]:
    """The 162 results that crop-flip may have, in the order (down, right, mirrored)."""
    size = list(image.shape[1:])
    padded = F.pad(image, [4, 4, 4, 4], fill=0)
    cut = [F.crop(padded, down, right, *size) for down in range(9) for right in range(9)]
    return [form for crop in cut for form in (crop, F.horizontal_flip(crop))]


def place(image: Tensor, result: Tensor) -> int:
    (found,) = [i for i, form in enumerate(crops(image)) if torch.equal(form, result)]
    return found


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_crop_flip_is_torchvisions_for_every_image(channels):
    images = photos(n=23, channels=channels, size=(11, 13))
    got = augment(images, "crop-flip", generator(0, "augment"))
    places = {place(image, result) for image, result in zip(images, got, strict=True)}
    assert len(places) > 15  # one draw per image, not one per batch


@pytest.mark.parametrize("cropped", [False, True])
def test_who_is_mirrored_can_be_given(cropped):
    images = photos(n=23, channels=2, size=(11, 13))
    wanted = torch.arange(23) % 3 == 1
    got = augment(images, "crop-flip", generator(0, "augment"), cropped=cropped, mirrored=wanted)
    if cropped:
        turned = [torch.equal(result, F.horizontal_flip(image)) for image, result in zip(images, got, strict=True)]
        assert torch.equal(got[~wanted], images[~wanted])
    else:
        turned = [place(image, result) % 2 == 1 for image, result in zip(images, got, strict=True)]
    assert turned == wanted.tolist()


def test_crop_flip_takes_every_place_as_often():
    image = photos(n=1, channels=1, size=(5, 7))
    n = 162 * 60
    got = augment(image.expand(n, -1, -1, -1), "crop-flip", generator(3, "augment"))
    known = {form.numpy().tobytes(): i for i, form in enumerate(crops(image[0]))}
    assert len(known) == 162
    observed = Counter(known[result.numpy().tobytes()] for result in got)
    assert stats.chisquare([observed[i] for i in range(162)]).pvalue > 0.01


@pytest.mark.parametrize("policy", POLICIES)
def test_policies_are_their_draws_applied_one_image_at_a_time(policy):
    images = photos(n=211, size=(17, 19))
    got = augment(images, policy, torch.Generator().manual_seed(7))
    source = torch.Generator().manual_seed(7)
    draw = POLICIES[policy].draw(len(images), source)
    changed = [one_by_one(policy, image, draw, i) for i, image in enumerate(images)]
    expected = augment(torch.stack(changed), "crop-flip", source)
    assert torch.equal(got, expected)
    assert len(set(draw.operation.flatten().tolist())) > 12


def one_by_one(policy: str, image: Tensor, draw: object, index: int) -> Tensor:
    for slot in range(2):
        if draw.operation[slot, index] >= 0:
            name = list(OPERATIONS)[draw.operation[slot, index]]
            ranges = POLICIES[policy].ranges
            parameter = ranges[name](draw.level[slot, index][None], draw.negative[slot, index][None])
            image = OPERATIONS[name](image[None], parameter, POLICIES[policy].fill)[0]
    return image


@pytest.mark.parametrize(("policy", "fill"), [("autoaugment", 0), ("randaugment", 128)])
def test_what_comes_in_from_outside_has_the_documented_gray(policy, fill):
    white = torch.full((499, 1, 16, 16), 255, dtype=torch.uint8)
    shift = list(OPERATIONS).index("TranslateY")
    everywhere = torch.full((2, len(white)), shift)
    draw = Draw(operation=everywhere, level=torch.ones(2, len(white)), negative=everywhere < 0)
    got = white.clone()
    _apply_slot(got, POLICIES[policy], draw, slot=0)
    assert got.unique().tolist() == sorted([fill, 255])
    assert (got[:, :, :7] == fill).all()
    assert (got[:, :, 7:] == 255).all()


@pytest.mark.parametrize("policy", AUGMENTATIONS)
@pytest.mark.parametrize(("channels", "size"), [(3, (32, 32)), (1, (28, 28)), (1, (8, 8)), (3, (5, 31)), (1, (1, 2))])
def test_shape_type_and_input_are_kept(policy, channels, size):
    images = photos(n=61, channels=channels, size=size)
    before = images.clone()
    got = augment(images, policy, generator(1, "augment"))
    assert (got.dtype, got.shape) == (torch.uint8, images.shape)
    assert torch.equal(images, before)


@pytest.mark.parametrize("policy", RANDOM)
def test_same_generator_state_same_bits_on_any_number_of_threads(policy):
    images = photos(n=307, size=(32, 32))
    threads = torch.get_num_threads()
    try:
        results = []
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            results.append(augment(images, policy, generator(5, "augment", 2)))
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(results[0], results[1])
    assert torch.equal(results[0], results[2])
    assert not torch.equal(results[0], augment(images, policy, generator(5, "augment", 3)))


@pytest.mark.parametrize("policy", AUGMENTATIONS)
def test_global_random_state_is_left_alone(policy):
    before = torch.random.get_rng_state()
    augment(photos(n=7), policy, generator(0, "augment"))
    assert torch.equal(torch.random.get_rng_state(), before)


def test_none_draws_nothing_and_takes_sequences():
    source = generator(0, "augment")
    before = source.get_state()
    sequences = torch.randn(3, 1, 1, 40)
    assert augment(sequences, "none", source) is sequences
    assert torch.equal(source.get_state(), before)


def test_an_empty_batch_stays_empty():
    empty = torch.empty((0, 3, 8, 8), dtype=torch.uint8)
    assert augment(empty, "autoaugment", generator(0, "augment")).shape == empty.shape


@pytest.mark.parametrize(
    ("images", "policy", "message"),
    [
        (photos(), "auto-augment", "Did you mean 'autoaugment'"),
        (photos().float(), "crop-flip", "expected uint8 .* got torch.float32 of shape"),
        (photos()[0], "crop-flip", r"got torch.uint8 of shape \(3, 37, 29\)"),
        (photos(channels=2), "randaugment", "expected images of 1 or 3 channels, got 2"),
    ],
)
def test_bad_input(images, policy, message):
    with pytest.raises(BadInput, match=message):
        augment(images, policy, generator(0, "augment"))

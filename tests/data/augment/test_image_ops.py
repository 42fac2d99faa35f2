"""Each operation against Pillow and torchvision, image by image, each with its own parameter."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as F

from crossnorm.data.augment.image_ops import OPERATIONS
from tests.data.data_images import photos

FILL = 128


def affine(**changed: object) -> Callable[..., object]:
    plain = {"angle": 0.0, "translate": [0, 0], "scale": 1.0, "shear": [0.0, 0.0], "fill": FILL}
    nearest = InterpolationMode.NEAREST
    return lambda image: F.affine(image, **{**plain, **changed}, interpolation=nearest)


def height(image: object) -> int:
    return F.get_size(image)[0]


def width(image: object) -> int:
    return F.get_size(image)[1]


def degrees(slope: float) -> float:
    return math.degrees(math.atan(slope))


# name → (parameters, torchvision's form of it)
CASES: dict[str, tuple[list[float], Callable[..., object]]] = {
    "ShearX": (
        [-0.3, -0.21, 0.07, 0.13, 0.3],
        lambda x, p: affine(shear=[degrees(p), 0.0], center=[0, 0])(x),
    ),
    "ShearY": (
        [-0.3, -0.21, 0.07, 0.13, 0.3],
        lambda x, p: affine(shear=[0.0, degrees(p)], center=[0, 0])(x),
    ),
    "TranslateX": (
        [-0.45, -0.1, 0.0, 0.151, 0.4],
        lambda x, p: affine(translate=[int(p * width(x)), 0])(x),
    ),
    "TranslateY": (
        [-0.45, -0.1, 0.0, 0.151, 0.4],
        lambda x, p: affine(translate=[0, int(p * height(x))])(x),
    ),
    # ±30° exactly puts pixels of odd images between two others, where even Pillow and torchvision differ.
    "Rotate": (
        [-29.6, -6.67, 0.0, 11.0, 29.0],
        lambda x, p: F.rotate(x, p, interpolation=InterpolationMode.NEAREST, fill=FILL),
    ),
    "Brightness": ([0.1, 0.55, 1.0, 1.3, 1.9], F.adjust_brightness),
    "Color": ([0.1, 0.55, 1.0, 1.3, 1.9], F.adjust_saturation),
    "Contrast": ([0.1, 0.55, 1.0, 1.3, 1.9], F.adjust_contrast),
    "Sharpness": ([0.1, 0.55, 1.0, 1.3, 1.9], F.adjust_sharpness),
    "Posterize": ([1, 3, 4, 5, 8], lambda x, p: F.posterize(x, int(p))),
    "Solarize": ([0.0, 25.6, 113.3, 198.0, 255.0], F.solarize),
    "AutoContrast": ([0.0], lambda x, p: F.autocontrast(x)),
    "Equalize": ([0.0], lambda x, p: F.equalize(x)),
    "Invert": ([0.0], lambda x, p: F.invert(x)),
}


def run(name: str, images: Tensor) -> tuple[Tensor, list[float]]:
    values = [CASES[name][0][i % len(CASES[name][0])] for i in range(len(images))]
    return OPERATIONS[name](images, torch.tensor(values, dtype=torch.float32), FILL), values


def close_share(got: Tensor, expected: Tensor) -> float:
    return float(((got.int() - expected.int()).abs() <= 1).float().mean())


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(37, 29), (32, 32), (16, 64)])
@pytest.mark.parametrize("name", CASES)
def test_equals_torchvision_on_pil_images_and_on_tensors(name, size, channels):
    images = photos(channels=channels, size=size)
    got, values = run(name, images)
    assert got.dtype == torch.uint8
    assert got.shape == images.shape
    for image, value, result in zip(images, values, got, strict=True):
        on_pil = F.pil_to_tensor(CASES[name][1](F.to_pil_image(image), value))
        on_tensor = CASES[name][1](image, value)
        assert close_share(result, on_pil) >= 0.99, (name, value)
        assert close_share(result, on_tensor) >= 0.99, (name, value)


EXACT = [name for name in CASES if name not in ("ShearX", "ShearY", "Rotate", "AutoContrast")]


@pytest.mark.parametrize("name", EXACT)
def test_equals_pillow_to_the_bit_where_pillow_rounds_nothing(name):
    images = photos()
    got, values = run(name, images)
    for image, value, result in zip(images, values, got, strict=True):
        on_pil = F.pil_to_tensor(CASES[name][1](F.to_pil_image(image), value))
        assert torch.equal(result, on_pil), (name, value)


@pytest.mark.parametrize("amount", [0.0, 25.0, 99.9, 127.0])
def test_solarize_add_equals_a_table(amount):
    images = photos()
    got = OPERATIONS["SolarizeAdd"](images, torch.full((len(images),), amount), FILL)
    table = [v + int(amount) if v < 128 else v for v in range(256)]
    for image, result in zip(images, got, strict=True):
        assert torch.equal(result, F.pil_to_tensor(F.to_pil_image(image).point(table * 3)))


def test_every_operation_has_a_reference():
    assert set(OPERATIONS) == {*CASES, "SolarizeAdd"}


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_image_does_not_depend_on_the_others_and_the_input_stays(name):
    images = photos(n=13)
    before = images.clone()
    values = torch.linspace(0.2, 0.9, 13) * (8 if name == "Posterize" else 1)
    values = values.round() if name == "Posterize" else values
    together = OPERATIONS[name](images, values, FILL)
    alone = [OPERATIONS[name](images[i : i + 1], values[i : i + 1], FILL) for i in range(13)]
    assert torch.equal(together, torch.cat(alone))
    assert torch.equal(images, before)
    assert together.data_ptr() != images.data_ptr()


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("size", [(1, 40), (2, 3), (3, 2), (1, 1)])
def test_tiny_images_keep_their_shape(name, size):
    images = photos(n=5, channels=1, size=size)
    got = OPERATIONS[name](images, torch.full((5,), 1.0), FILL)
    assert got.shape == images.shape
    if name in ("Sharpness", "Equalize"):  # too few pixels to act on
        assert torch.equal(got, images)


@pytest.mark.parametrize("name", ["AutoContrast", "Equalize"])
def test_channels_of_one_value_stay(name):
    images = photos(n=3, size=(17, 19))
    images[0] = 0
    images[1, 1] = 200
    images[2, 2] = 255
    got = OPERATIONS[name](images, torch.zeros(3), FILL)
    for image, result in zip(images, got, strict=True):
        form = ImageOps.autocontrast if name == "AutoContrast" else ImageOps.equalize
        expected = np.asarray(form(Image.fromarray(image.permute(1, 2, 0).numpy())))
        assert np.array_equal(result.permute(1, 2, 0).numpy(), expected)

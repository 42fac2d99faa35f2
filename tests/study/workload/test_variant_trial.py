"""Variants of the user's own are called once before anything is trained."""

from __future__ import annotations

import math
import sys
from types import ModuleType

import pytest
import torch

from crossnorm.data import Split, Task
from crossnorm.errors import BadInput
from crossnorm.functional import Variant, per_query
from crossnorm.models import create_model
from crossnorm.study.workload.variant_trial import try_variant, value_shapes

SHAPES = {"attention": (2, 3, 7, 5), "pool": (2, 7, 5)}


def plain_signature(value):
    return value


def doubled(value, *, alpha, visible):
    return (1 + alpha) * value


def replaced(value, *, alpha, visible):
    return alpha * value


def infinite(value, *, alpha, visible):
    return value + (math.inf if alpha else 0)


def undefined(value, *, alpha, visible):
    return value / 0 * 0


def summed(value, *, alpha, visible):
    return value.sum(-2)


def number(value, *, alpha, visible):
    return 3.0


def four_axes(value, *, alpha, visible):
    _, _, tokens, dim = value.shape
    return value.reshape(2, 3, tokens, dim)


def in_place(value, *, alpha, visible):
    return value.mul_(1 + alpha)


def padded_away(value, *, alpha, visible):
    return value if visible is None else value.masked_fill(~visible[..., None], 0.0)


@per_query
def by_query(value, *, alpha, visible):
    if visible is None or visible.ndim < value.ndim:
        return value
    return value.unsqueeze(-3).expand(*visible.shape, value.shape[-1])


@pytest.fixture(autouse=True)
def tried(monkeypatch):
    module = ModuleType("tried")
    for name, found in list(globals().items()):
        if callable(found):
            setattr(module, name, found)
    monkeypatch.setitem(sys.modules, "tried", module)


def asked(name, **fields):
    return Variant(name=f"tried:{name}", **fields)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("plain_signature", "it does not take the arguments: got an unexpected keyword argument"),
        ("replaced", "the values themselves at α = 0"),
        ("undefined", "nan or infinity"),
        ("infinite", "nan or infinity at α = 0.5"),
        ("summed", "a tensor of shape (2, 3, 7, 5)"),
        ("number", "float"),
        ("missing", "no function"),
    ],
)
def test_an_unsound_variant_is_refused_with_its_fault(name, words):
    with pytest.raises(BadInput) as caught:
        try_variant(asked(name, alpha=0.5), shapes=SHAPES)
    assert words in str(caught.value)
    assert f"tried:{name}" in str(caught.value)


@pytest.mark.parametrize("name", ["doubled", "in_place", "padded_away", "by_query"])
@pytest.mark.parametrize("site", ["attention", "pool", "both"])
@pytest.mark.parametrize("kind", ["image", "sequence", "text"])
def test_a_sound_variant_passes_and_draws_nothing(name, site, kind):
    state = torch.get_rng_state()
    try_variant(asked(name, site=site, alpha=0.5), kind, SHAPES)
    assert torch.equal(torch.get_rng_state(), state)


def test_the_shape_is_that_of_the_site():
    try_variant(asked("four_axes"), shapes=SHAPES)
    with pytest.raises(BadInput, match="not enough values to unpack"):
        try_variant(asked("four_axes", site="both"), shapes=SHAPES)


def test_under_a_causal_mask_a_variant_must_be_per_query():
    try_variant(asked("by_query"), "language", SHAPES)
    with pytest.raises(BadInput, match="masks that differ by query"):
        try_variant(asked("doubled"), "language", SHAPES)


def of_width(value, *, alpha, visible):
    return value + alpha * (value @ torch.ones(13, 13))


def test_a_variant_of_one_width_is_tried_at_that_width():
    try_variant(asked("of_width"), shapes={"attention": (2, 3, 7, 13)})
    with pytest.raises(BadInput, match="calling it failed"):
        try_variant(asked("of_width"), shapes=SHAPES)


def test_where_the_shapes_are_not_known_an_exception_is_no_fault():
    try_variant(asked("of_width"))
    with pytest.raises(BadInput, match="does not take the arguments"):
        try_variant(asked("plain_signature"))
    with pytest.raises(BadInput, match="values themselves at α = 0"):
        try_variant(asked("replaced"))


@pytest.mark.parametrize(
    ("name", "settings", "shapes"),
    [
        ("cct_2_3x2_32", {"n_conv_layers": 1}, {"attention": (2, 2, 16, 3), "pool": (2, 16, 6)}),
        ("vit_2_4_32", {}, {"attention": (2, 2, 5, 3)}),
    ],
)
def test_the_shapes_are_those_of_the_model(name, settings, shapes):
    split = Split(inputs=torch.zeros(5, 3, 8, 8, dtype=torch.uint8), targets=torch.zeros(5, dtype=torch.int64))
    task = Task(
        name="tiny",
        kind="image",
        train=split,
        test=split,
        n_classes=3,
        classes=("a", "b", "c"),
        mean=(0.5,) * 3,
        std=(0.5,) * 3,
        image_size=(8, 8),
        n_channels=3,
        digest="none",
        augmentation="none",
        model={},
        notes="",
    )
    assert value_shapes(create_model(name, num_classes=3, img_size=8, embedding_dim=6, **settings), task) == shapes

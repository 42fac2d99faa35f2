"""Bad input is named, with what was expected and what was found."""

from __future__ import annotations

import pytest
import torch

from crossnorm import Variant, attention, sequence_pool
from crossnorm.errors import BadInput
from crossnorm.functional import attend, pool
from tests.functional.attention_cases import (
    FUNCTIONS,
    SHAPES,
    draw,
    own,
    pool_at,
    tensors,
)

both = pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS)


@pytest.mark.parametrize(
    ("wrong", "near"), [("convx", "convex"), ("aditive", "additive"), ("matchd", "matched"), ("lazer", "laser")]
)
def test_unknown_name(wrong, near):
    for call in (
        lambda: attention(*tensors(SHAPES["3d"]), variant=wrong),
        lambda: attention(*tensors(SHAPES["3d"]), variant=own(wrong, 0.5)),
        lambda: sequence_pool(draw(2, 3, 5, seed=0), draw(2, 3, seed=1), variant=wrong),
    ):
        with pytest.raises(BadInput) as error:
            call()
        assert repr(near) in str(error.value)
        assert wrong in str(error.value)


def test_unknown_name_at_alpha_zero():
    with pytest.raises(BadInput, match="convex"):
        attention(*tensors(SHAPES["3d"]), variant="convx", alpha=0.0)


def test_a_dose_given_twice():
    with pytest.raises(BadInput, match="alpha"):
        attention(*tensors(SHAPES["3d"]), variant=own("convex", 0.5), alpha=0.5)
    with pytest.raises(BadInput, match="alpha"):
        sequence_pool(draw(2, 3, 5, seed=0), draw(2, 3, seed=1), variant=own("convex", 0.5), alpha=0.0)


@both
def test_mask_and_causal(function):
    mask = torch.ones(7, 5, dtype=torch.bool)
    with pytest.raises(BadInput, match="is_causal"):
        function(*tensors(SHAPES["3d"]), attn_mask=mask, is_causal=True, variant=own("convex", 0.7))
    with pytest.raises((BadInput, RuntimeError), match="is_causal"):  # at α = 0 torch's own function may refuse
        function(*tensors(SHAPES["3d"]), attn_mask=mask, is_causal=True, variant=own("convex", 0.0))


@both
def test_batch_needs_a_batch(function):
    with pytest.raises(BadInput, match="batch"):
        function(draw(3, 5, seed=0), draw(7, 5, seed=1), draw(7, 2, seed=2), variant=own("batch", 0.7))


@pytest.mark.parametrize("setting", [{"gain": 2.0}, {"temperature": 0.5}], ids=["gain", "temperature"])
def test_attenuated_has_no_mixed_part(setting):
    with pytest.raises(BadInput, match=next(iter(setting))):
        attention(*tensors(SHAPES["3d"]), variant=Variant(name="attenuated", alpha=0.5, **setting))


@pytest.mark.parametrize("field", ["alpha", "gain", "temperature"])
@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")], ids=str)
def test_numbers_must_be_finite(field, number):
    with pytest.raises(BadInput, match=field):
        Variant(**{"name": "convex", field: number})


@pytest.mark.parametrize("field", ["alpha", "gain", "temperature"])
@pytest.mark.parametrize("thing", ["0.5", None, [0.5]], ids=repr)
def test_numbers_must_be_numbers(field, thing):
    with pytest.raises(BadInput, match=field):
        Variant(**{"name": "convex", field: thing})


@pytest.mark.parametrize("number", [float("nan"), float("inf")], ids=str)
def test_the_dose_of_a_call_must_be_finite(number):
    with pytest.raises(BadInput, match="alpha"):
        attention(*tensors(SHAPES["3d"]), alpha=number)
    with pytest.raises(BadInput, match="alpha"):
        attend(*tensors(SHAPES["3d"]), mixing=own("convex", 0.5).mixing, alpha=number)
    with pytest.raises(BadInput, match="alpha"):
        sequence_pool(draw(2, 3, 5, seed=0), draw(2, 3, seed=1), alpha=number)
    with pytest.raises(BadInput, match="alpha"):
        pool(draw(2, 3, 5, seed=0), draw(2, 3, seed=1), mixing=own("convex", 0.5).mixing, alpha=number)


@pytest.mark.parametrize("site", ["attn", "values", "", None])
def test_site(site):
    with pytest.raises(BadInput, match="site"):
        Variant(name="convex", site=site)


@pytest.mark.parametrize("layers", [(-1,), ("0",), (0.5,), (1, 1), 3, ()], ids=repr)
def test_layers(layers):
    with pytest.raises(BadInput, match="layers"):
        Variant(name="convex", layers=layers)


@pytest.mark.parametrize("thing", [3, 0.5, object()], ids=["int", "float", "object"])
def test_a_variant_is_a_name_or_a_variant(thing):
    with pytest.raises(BadInput, match="variant"):
        attention(*tensors(SHAPES["3d"]), variant=thing)


def shapes(q, k, v):
    return draw(*q, seed=0), draw(*k, seed=1), draw(*v, seed=2)


MISFITS = {
    "keys and values of different number": shapes((2, 3, 5, 11), (2, 3, 7, 11), (2, 3, 13, 11)),
    "queries and keys of different width": shapes((2, 3, 5, 11), (2, 3, 7, 13), (2, 3, 7, 11)),
    "other heads": shapes((2, 3, 5, 11), (2, 5, 7, 11), (2, 5, 7, 11)),
    "other examples": shapes((2, 3, 5, 11), (5, 3, 7, 11), (5, 3, 7, 11)),
    "other heads of values": shapes((2, 3, 5, 11), (2, 3, 7, 11), (2, 2, 7, 11)),
    "no token axis": shapes((11,), (11,), (11,)),
}


@both
@pytest.mark.parametrize("misfit", MISFITS.values(), ids=MISFITS)
def test_shapes_that_do_not_fit(function, misfit):
    with pytest.raises(BadInput) as error:
        function(*misfit, variant=own("convex", 0.7))
    assert any(str(tuple(t.shape)) in str(error.value) or str(list(t.shape)) in str(error.value) for t in misfit)


@both
def test_groups_that_do_not_divide(function):
    with pytest.raises(BadInput):
        function(*shapes((2, 5, 3, 7), (2, 3, 11, 7), (2, 3, 11, 7)), enable_gqa=True, variant=own("convex", 0.7))


@both
@pytest.mark.parametrize("hides", [False, True], ids=["hides-nothing", "hides"])
@pytest.mark.parametrize("shape", [(7, 7), (5, 6), (2, 5, 7), (2, 2, 5, 7), (5, 1, 1, 7), (11,)], ids=str)
def test_a_mask_that_does_not_fit(function, shape, hides):
    mask = torch.ones(*shape, dtype=torch.bool)
    mask[..., -1] = not hides
    with pytest.raises(BadInput, match="attn_mask"):
        function(*tensors(SHAPES["4d"]), attn_mask=mask, variant=own("convex", 0.7))


@both
@pytest.mark.parametrize("dtype", [torch.int64, torch.uint8, torch.int32], ids=str)
def test_a_mask_of_integers(function, dtype):
    """Neither True-is-visible nor added to the scores: 0 and 1 would be quietly taken for a bias."""
    with pytest.raises(BadInput, match="attn_mask"):
        function(*tensors(SHAPES["4d"]), attn_mask=torch.ones(5, 7, dtype=dtype), variant=own("convex", 0.7))


@both
@pytest.mark.parametrize("dropout_p", [-0.1, 1.1, float("nan")])
def test_dropout_is_a_probability(function, dropout_p):
    with pytest.raises(BadInput, match="dropout_p"):
        function(*tensors(SHAPES["4d"]), dropout_p=dropout_p, variant=own("convex", 0.7))


POOL_MISFITS = {
    "other number of scores": (draw(2, 3, 5, seed=0), draw(2, 5, seed=1), None),
    "other batch": (draw(2, 3, 5, seed=0), draw(3, 3, seed=1), None),
    "mask of another length": (draw(2, 3, 5, seed=0), draw(2, 3, seed=1), torch.ones(2, 5, dtype=torch.bool)),
    "mask of another batch": (draw(2, 3, 5, seed=0), draw(2, 3, seed=1), torch.ones(3, 3, dtype=torch.bool)),
}


@pytest.mark.parametrize(("tokens", "scores", "mask"), POOL_MISFITS.values(), ids=POOL_MISFITS)
def test_pool_shapes_that_do_not_fit(tokens, scores, mask):
    with pytest.raises(BadInput):
        sequence_pool(tokens, scores, mask)
    with pytest.raises(BadInput):
        pool_at(tokens, scores, mask=mask, variant=own("convex", 0.7))

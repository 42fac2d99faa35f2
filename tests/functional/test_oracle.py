"""The oracle against torch where no variant acts, and against numbers worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from tests import oracle
from tests.functional.attention_cases import MASKS, SHAPES, grouped, masked, tensors


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("kind", MASKS)
def test_without_a_variant_it_is_torch(kind, shape):
    q, k, v = tensors(shape)
    got = oracle.attention(q, k, v, **masked(kind, shape), variant=None, alpha=0.0)
    want = scaled_dot_product_attention(q, k, v, **masked(kind, shape), **grouped(shape))
    torch.testing.assert_close(got, want, rtol=1e-12, atol=1e-12)


LN2, LN3 = math.log(2), math.log(3)
BY_HAND = {  # one query, weights ¼ and ¾ on two visible tokens, values ln 3 and 0, so S = ¾ and ¼
    "convex": 3 / 16 + 3 / 16,
    "additive": 3 / 16 + 3 / 16,
    "matched": 2 * (3 / 16 + 3 / 16),
    "centred": 2 * (3 / 16 + 3 / 16) - 1,
    "attenuated": 0.0,
    "signed": 1 / 4 - 3 / 4,
    "laser": math.log(3 / 4 + 3 / 4),
}


@pytest.mark.parametrize("name", BY_HAND)
def test_by_hand(name):
    A, V = np.array([[[0.25, 0.75, 0.0]]]), np.array([[[LN3], [0.0], [9.0]]])
    visible = np.array([[[True, True, False]]])
    got = oracle.mix(A, V, visible, name, 0.5)[0, 0, 0]
    kept = 1.0 if name == "additive" else 0.5
    assert got == pytest.approx(kept * LN3 / 4 + 0.5 * BY_HAND[name], abs=1e-15)


def test_gain_and_temperature_by_hand():
    A, V = np.array([[[0.25, 0.75]]]), np.array([[[LN3], [0.0]]])
    everything = np.ones((1, 1, 2), dtype=bool)
    got = oracle.mix(A, V, everything, "convex", 1.0, gain=10.0, temperature=2.0)[0, 0, 0]
    assert got == pytest.approx(10 * (0.25 * 0.9 + 0.75 * 0.1), abs=1e-15)  # exp(2 ln 3) = 9
    got = oracle.mix(A, V, everything, "laser", 1.0, gain=10.0, temperature=2.0)[0, 0, 0]
    assert got == pytest.approx(10 * math.log(0.25 * 9 + 0.75), abs=1e-14)


def test_batch_by_hand():
    A = np.array([[[1.0, 0.0]], [[0.5, 0.5]], [[0.0, 1.0]]])
    V = np.array([[[LN2], [5.0]], [[0.0], [LN3]], [[7.0], [0.0]]])
    visible = np.array([[[True, False]], [[True, True]], [[False, True]]])
    got = oracle.mix(A, V, visible, "batch", 1.0)[:, 0, 0]
    assert got == pytest.approx([2 / 3, 0.5 * 1 / 3 + 0.5 * 3 / 4, 1 / 4], abs=1e-15)


@pytest.mark.parametrize("name", [name for name in oracle.NAMES if name not in ("laser", "batch")])
def test_a_hidden_row_is_zero(name):
    A, V = np.ones((1, 2, 3)) / 3, np.arange(6.0).reshape(1, 3, 2)
    visible = np.array([[[True] * 3, [False] * 3]])
    out = oracle.mix(A, V, visible, name, 0.7)
    assert np.all(out[0, 1] == 0)
    assert np.any(out[0, 0] != 0)

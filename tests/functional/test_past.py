"""Exponentials that grow by tokens: the result is that of all tokens at once."""

from __future__ import annotations

import pytest
import torch

from crossnorm.functional import attend, attend_with_weights, blocks, weights
from crossnorm.functional.past import Past
from tests import oracle
from tests.functional.attention_cases import draw, own

BATCH, HEADS, GROUPS, TOKENS, WIDTH, DIM = 2, 3, 2, 11, 5, 7


def grown(x, *lengths):
    """The exponentials of the tokens, added in steps."""
    past, start = Past.of(x[..., : lengths[0], :]), lengths[0]
    for length in lengths[1:]:
        past = past.followed_by(x[..., start : start + length, :])
        start += length
    assert start == x.shape[-2]
    return past


@pytest.mark.parametrize("spread", [0.1, 1.0, 8.0])
@pytest.mark.parametrize("name", oracle.NAMES)
def test_known_exponentials_do_not_change_the_result(name, spread):
    q = draw(BATCH, HEADS * GROUPS, 1, WIDTH, seed=1)
    k, v = draw(BATCH, HEADS, TOKENS, WIDTH, seed=2), draw(BATCH, HEADS, TOKENS, DIM, seed=3) * spread
    variant = own(name, 0.7)
    past = grown(v * variant.mixing.temperature, 5, 1, 3, 2)
    got, _ = attend_with_weights(q, k, v, enable_gqa=True, mixing=variant.mixing, alpha=0.7, needed=False, past=past)
    k, v = k.repeat_interleave(GROUPS, 1), v.repeat_interleave(GROUPS, 1)
    want = oracle.attention(q, k, v, variant=name, alpha=0.7)
    torch.testing.assert_close(got, want, rtol=0, atol=1e-10)


def test_they_are_used_only_where_every_query_sees_every_token():
    q, k, v = (draw(BATCH, HEADS, TOKENS, DIM, seed=seed) for seed in (1, 2, 3))
    wrong = grown(v + draw(*v.shape, seed=4), TOKENS)
    settings = {"mixing": own("matched", 1.0).mixing, "alpha": 0.7}
    hidden = torch.arange(TOKENS) > 0
    for mask in ({"is_causal": True}, {"attn_mask": hidden.expand(TOKENS, TOKENS)}):
        got, _ = attend_with_weights(q, k, v, **mask, **settings, past=wrong)
        torch.testing.assert_close(got, attend(q, k, v, **mask, **settings), rtol=0, atol=1e-12)


def test_fused_weights_in_half_precision_use_them_in_one_piece(monkeypatch):
    for kind in weights._EXPLICIT_UP_TO:
        monkeypatch.setitem(weights._EXPLICIT_UP_TO, kind, 0)
    monkeypatch.setattr(blocks, "_BLOCK", 1)
    q, k, v = (draw(1, HEADS, n, DIM, seed=seed).bfloat16() for seed, n in ((1, 1), (2, TOKENS), (3, TOKENS)))
    settings = {"mixing": own("matched", 1.0).mixing, "alpha": 0.7}
    got, _ = attend_with_weights(q, k, v, **settings, needed=False, past=Past.of(v))
    want = attend(q.double(), k.double(), v.double(), **settings)
    torch.testing.assert_close(got.double(), want, rtol=0, atol=2e-2)


def test_half_precision_is_summed_in_float32():
    q, k, v = (draw(1, HEADS, n, DIM, seed=seed).bfloat16() for seed, n in ((1, 1), (2, TOKENS), (3, TOKENS)))
    mixing, past = own("matched", 1.0).mixing, grown(v, 6, 5)
    assert past.terms.dtype == torch.float32
    got, _ = attend_with_weights(q, k, v, mixing=mixing, alpha=1.0, past=past)
    want = attend(q.double(), k.double(), v.double(), mixing=mixing, alpha=1.0)
    assert got.dtype == torch.bfloat16
    torch.testing.assert_close(got.double(), want, rtol=0, atol=2e-2)


def test_tokens_far_from_those_before_are_refused():
    x = draw(HEADS, TOKENS, DIM, seed=1)
    past = Past.of(x)
    assert past is not None
    assert past.followed_by(x[..., :2, :] + 50) is not None
    assert past.followed_by(x[..., :2, :] + 70) is None
    assert past.followed_by(x[..., :2, :] - 70) is None
    assert past.followed_by(x[..., :2, :] * torch.nan) is None


def test_values_of_a_wide_channel_have_no_single_shift():
    """Else a query that sees only a token far below the shift would get log 0 for `laser`."""
    x = draw(HEADS, TOKENS, DIM, seed=1)
    assert Past.of(torch.cat([x, x + 50], -2)) is not None
    assert Past.of(torch.cat([x, x + 70], -2)) is None

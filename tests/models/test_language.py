"""The causal language model: no leak, and a cache that equals its absence."""

from __future__ import annotations

import pytest
import torch

from crossnorm import Variant
from crossnorm.errors import BadInput
from crossnorm.functional import VARIANTS
from crossnorm.models import generate
from tests.models.model_cases import VOCABULARY, WORDS, small, words

every_variant = pytest.mark.parametrize("variant", [None, *VARIANTS])


def language_model(variant=None, alpha=0.7, **own):
    choice = None if variant is None else Variant(name=variant, alpha=alpha, temperature=1.0)
    return small("gpt_2", variant=choice, **own).double().eval()


@every_variant
def test_the_future_is_not_seen(variant):
    model = language_model(variant)
    ids = words()
    other = ids.clone()
    other[:, 11:] = (other[:, 11:] + 1) % VOCABULARY
    got, want = model(other), model(ids)
    assert torch.equal(got[:, :11], want[:, :11])
    assert not torch.equal(got[:, 11:], want[:, 11:])


@every_variant
@pytest.mark.parametrize("cuts", [(1,) * WORDS, (5, 1, 1, 7, 3), (WORDS,)], ids=str)
def test_cached_logits_equal_uncached_ones(variant, cuts):
    model = language_model(variant)
    ids, caches = words(), model.empty_caches()
    pieces = [model(piece, caches) for piece in ids.split(cuts, dim=1)]
    torch.testing.assert_close(torch.cat(pieces, dim=1), model(ids), rtol=0, atol=1e-12)
    assert len(caches[0]) == WORDS


@pytest.mark.parametrize(
    ("variant", "positions"), [*((name, "learnable") for name in VARIANTS), (None, "sine"), ("convex", "none")]
)
def test_cached_generation_equals_uncached(variant, positions):
    """Also beyond the window, where every token moves at every step."""
    model = language_model(variant, positional_embedding=positions, seq_len=7)
    with torch.no_grad():
        model.classifier.fc.weight.mul_(50)
    opening = words(2, 5)
    for settings in ({"temperature": 0.0}, {"temperature": 0.8, "top_k": 11}):
        texts = [
            generate(
                model,
                opening,
                new_tokens=11,
                use_cache=use_cache,
                generator=torch.Generator().manual_seed(19),
                **settings,
            )
            for use_cache in (True, False)
        ]
        assert torch.equal(*texts)
        assert texts[0].shape == (2, 16)
        assert torch.equal(texts[0][:, :5], opening)


def test_a_long_opening_is_seen_through_the_window():
    model = language_model("convex")
    opening = words(2, 3 * WORDS)
    next_token = generate(model, opening, new_tokens=1, temperature=0.0)[:, -1]
    assert torch.equal(next_token, model(opening[:, -WORDS:])[:, -1].argmax(-1))


def test_generation_leaves_the_mode_and_the_top_k():
    model = language_model().train()
    ids = generate(model, words(2, 3), new_tokens=4, top_k=1, temperature=3.0)
    assert model.training
    assert torch.equal(ids, generate(model, words(2, 3), new_tokens=4, temperature=0.0))


@pytest.mark.parametrize(
    ("request_", "name"),
    [
        ({"new_tokens": -1}, "new_tokens"),
        ({"new_tokens": 1, "temperature": -0.1}, "temperature"),
        ({"new_tokens": 1, "temperature": float("nan")}, "temperature"),
        ({"new_tokens": 1, "top_k": 0}, "top_k"),
    ],
)
def test_requests_that_are_refused(request_, name):
    with pytest.raises(BadInput, match=name):
        generate(language_model(), words(), **request_)
    with pytest.raises(BadInput, match="at least one token"):
        generate(language_model(), torch.zeros(2, 0, dtype=torch.long), new_tokens=1)


def test_every_token_is_learned():
    """No index is padding here: the second character of an alphabet is a character."""
    model = small("gpt_2")
    model(torch.arange(WORDS)[None]).square().sum().backward()
    assert model.embedder.embeddings.weight.grad[:WORDS].any(dim=1).all()


def test_more_tokens_than_positions():
    with pytest.raises(BadInput, match=f"at most {WORDS} tokens"):
        language_model()(words(2, WORDS + 1))


def test_causal_loss_learns_a_cycle():
    model = small("gpt_2", seed=3)
    ids = (torch.arange(WORDS + 1) % 5 + 2).expand(3, -1)
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(25):
        optimiser.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(ids[:, :-1]).flatten(0, 1), ids[:, 1:].flatten())
        loss.backward()
        optimiser.step()
    assert loss < 0.1
    continued = generate(model, ids[:, :7], new_tokens=8, temperature=0.0)
    assert torch.equal(continued, (torch.arange(15) % 5 + 2).expand(3, -1))

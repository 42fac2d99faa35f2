"""The causal language model: no leak, and what it learns."""

from __future__ import annotations

import pytest
import torch

from crossnorm import Variant
from crossnorm.errors import BadInput
from crossnorm.functional import VARIANTS
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
    model.eval()
    assert torch.equal(model(ids[:, :-1]).argmax(-1)[:, 5:], ids[:, 6:])

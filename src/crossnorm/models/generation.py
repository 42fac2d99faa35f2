"""Text from a causal language model, one token at a time.

Knows the window of the model and its cache; knows nothing of alphabets: tokens are numbers.
"""

from __future__ import annotations

import torch
from torch import Tensor

from crossnorm.errors import BadInput
from crossnorm.models.compact_transformers import LanguageModel

__all__ = ["generate"]


@torch.no_grad()
def generate(
    model: LanguageModel,
    ids: Tensor,
    *,
    new_tokens: int,
    temperature: float = 1.0,
    top_k: int | None = None,
    generator: torch.Generator | None = None,
    use_cache: bool = True,
) -> Tensor:
    """Continue each row by sampling from the model's next-token distribution.

    A token is predicted from the last ``seq_len`` ones. Keys and values are cached while the text fits into that
    window; beyond it every token has another position at every step, so the window is computed anew. With the
    cache the last query attends to the cached values under the full causal definition of the variant (it sees all
    of them), hence the same distribution as without.

    Args:
        model: The language model; used in evaluation mode and left in the mode it was in.
        ids: (batch, tokens), at least one token.
        new_tokens: How many to append.
        temperature: Divides the logits; 0 takes the likeliest token.
        top_k: Sample among the k likeliest tokens; None: among all.
        generator: Where the draws come from; None: torch's global generator.
        use_cache: False computes the window anew for every token.

    Returns:
        (batch, tokens + new_tokens).

    Raises:
        BadInput: No token to continue, a negative temperature or count.
    """
    _check_request(ids, new_tokens, temperature, top_k)
    training = model.training
    model.eval()
    window, caches = model.config.seq_len, model.empty_caches()
    try:
        for _ in range(new_tokens):
            seen = len(caches[0])
            if not use_cache or seen == 0 or seen >= window:
                caches, recent = model.empty_caches(), ids[:, -window:]
            else:
                recent = ids[:, seen:]
            logits = model(recent, caches)[:, -1]
            ids = torch.cat([ids, _draw(logits, temperature, top_k, generator)], dim=1)
    finally:
        model.train(training)
    return ids


def _draw(logits: Tensor, temperature: float, top_k: int | None, generator: torch.Generator | None) -> Tensor:
    """(batch, vocabulary) → (batch, 1)."""
    if temperature == 0:
        return logits.argmax(-1, keepdim=True)
    logits = logits.float() / temperature
    if top_k is not None:
        least = logits.topk(min(top_k, logits.shape[-1])).values[:, -1:]
        logits = logits.masked_fill(logits < least, float("-inf"))
    return torch.multinomial(logits.softmax(-1), 1, generator=generator)


def _check_request(ids: Tensor, new_tokens: int, temperature: float, top_k: int | None) -> None:
    if ids.dim() != 2 or ids.shape[1] == 0:
        raise BadInput("ids", "shape (batch, tokens) with at least one token to continue", tuple(ids.shape))
    if new_tokens < 0:
        raise BadInput("new_tokens", "a count, at least 0", new_tokens)
    if not 0 <= temperature < float("inf"):
        raise BadInput("temperature", "a number, at least 0", temperature)
    if top_k is not None and top_k < 1:
        raise BadInput("top_k", "None or at least 1", top_k)

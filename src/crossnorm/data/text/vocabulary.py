"""Split texts into words, build a vocabulary, and encode words as ids."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

__all__ = ["PADDING", "UNKNOWN", "build_vocabulary", "encode", "split_words"]

UNKNOWN, PADDING = 0, 1
_SPECIAL = ("<unk>", "<pad>")
_WORD = re.compile(r"'\w+|\w+|[^\w\s]")


def split_words(text: str) -> list[str]:
    """The lower-cased words of a text.

    A word is a run of letters, digits and underscores, with a preceding apostrophe if there is one. Every other visible
    character is a word.

    Example:
        >>> split_words("What's 3.5 % of it?")
        ['what', "'s", '3', '.', '5', '%', 'of', 'it', '?']
    """
    return _WORD.findall(text.lower())


def build_vocabulary(texts: Iterable[str], *, min_count: int = 1, max_words: int = 100_000) -> tuple[str, ...]:
    """The vocabulary by id: 0 unknown, 1 padding, then words by decreasing frequency, ties in alphabetical order.

    Args:
        texts: Of the training set only.
        min_count: Rarer words are unknown words.
        max_words: Maximum size, the two special words included.
    """
    counts = Counter(word for text in texts for word in split_words(text))
    ranked = sorted((-count, word) for word, count in counts.items() if count >= min_count)
    return (*_SPECIAL, *(word for _, word in ranked[: max_words - len(_SPECIAL)]))


def encode(texts: Sequence[str], vocabulary: Sequence[str], seq_len: int) -> npt.NDArray[np.int64]:
    """Ids (n, seq_len), padded on the right; longer texts are truncated, an empty text becomes one unknown word.

    Args:
        texts: n texts.
        vocabulary: From `build_vocabulary`.
        seq_len: Words per row.
    """
    known = {word: index for index, word in enumerate(vocabulary) if index > PADDING}
    ids = np.full((len(texts), seq_len), PADDING, dtype=np.int64)
    for row, text in zip(ids, texts, strict=True):
        found = [known.get(word, UNKNOWN) for word in split_words(text)[:seq_len]] or [UNKNOWN]
        row[: len(found)] = found
    return ids

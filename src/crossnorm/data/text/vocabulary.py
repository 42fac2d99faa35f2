"""Words: how a text is cut into them, which of them are known, and the ids they become.

Knows nothing of files, tasks and torch.
"""

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

    A word is a run of letters, digits and underscores, with an apostrophe in front where there is one; every other
    visible character is a word by itself.

    Example:
        >>> split_words("What's 3.5 % of it?")
        ['what', "'s", '3', '.', '5', '%', 'of', 'it', '?']
    """
    return _WORD.findall(text.lower())


def build_vocabulary(texts: Iterable[str], *, min_count: int = 1, max_words: int = 100_000) -> tuple[str, ...]:
    """The words known, by id: 0 stands for unknown words, 1 for padding, then the most frequent word first.

    Words of one frequency stand in alphabetical order, so the ids depend on the texts alone.

    Args:
        texts: The training set's, and nothing else.
        min_count: Rarer words are left out: they train the unknown word's vector.
        max_words: The most words kept, the two special ones included.
    """
    counts = Counter(word for text in texts for word in split_words(text))
    ranked = sorted((-count, word) for word, count in counts.items() if count >= min_count)
    return (*_SPECIAL, *(word for _, word in ranked[: max_words - len(_SPECIAL)]))


def encode(texts: Sequence[str], vocabulary: Sequence[str], seq_len: int) -> npt.NDArray[np.int64]:
    """Ids (n, seq_len), padded on the right; words beyond seq_len are dropped, a text without any is one unknown word.

    Args:
        texts: n of them.
        vocabulary: From `build_vocabulary`.
        seq_len: Words per row.
    """
    known = {word: index for index, word in enumerate(vocabulary) if index > PADDING}
    ids = np.full((len(texts), seq_len), PADDING, dtype=np.int64)
    for row, text in zip(ids, texts, strict=True):
        found = [known.get(word, UNKNOWN) for word in split_words(text)[:seq_len]] or [UNKNOWN]
        row[: len(found)] = found
    return ids

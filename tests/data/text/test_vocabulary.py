from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from crossnorm.data.text.vocabulary import PADDING, UNKNOWN, build_vocabulary, encode, split_words
from crossnorm.models.patch_embeddings import PADDING_INDEX


def test_padding_is_the_models_padding():
    assert PADDING == PADDING_INDEX
    assert UNKNOWN != PADDING


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Who was Galiléo ?", ["who", "was", "galiléo", "?"]),
        ("Ohio 's  flower", ["ohio", "'s", "flower"]),
        ("Australia's U.S. 3.5%", ["australia", "'s", "u", ".", "s", ".", "3", ".", "5", "%"]),
        (" \t\n", []),
    ],
)
def test_words(text, words):
    assert split_words(text) == words


def test_the_vocabulary_counts_the_training_texts():
    texts = ["b a c", "a b", "a", "d d", "zz"]
    assert build_vocabulary(texts) == ("<unk>", "<pad>", "a", "b", "d", "c", "zz")
    assert build_vocabulary(texts, min_count=2) == ("<unk>", "<pad>", "a", "b", "d")
    assert build_vocabulary(texts, max_words=4) == ("<unk>", "<pad>", "a", "b")


def test_the_order_of_the_texts_does_not_matter():
    draws = np.random.default_rng(3)
    texts = [" ".join(f"w{k}" for k in draws.integers(0, 13, 7)) for _ in range(11)]
    known = build_vocabulary(texts)
    assert known == build_vocabulary(texts[::-1])
    counts = Counter(word for text in texts for word in text.split())
    assert [counts[word] for word in known[2:]] == sorted(counts.values(), reverse=True)


def test_encode_pads_cuts_and_marks_the_unknown():
    known = ("<unk>", "<pad>", "a", "b")
    ids = encode(["a b", "b c a b a a", "", "<pad>"], known, 5)
    assert ids.dtype == np.int64
    # "<pad>" in a text is three words, none of them the padding
    assert ids.tolist() == [[2, 3, 1, 1, 1], [3, 0, 2, 3, 2], [0, 1, 1, 1, 1], [0, 0, 0, 1, 1]]

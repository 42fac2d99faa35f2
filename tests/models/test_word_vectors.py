"""Word vectors from local text files."""

from __future__ import annotations

import pytest
import torch

from crossnorm.errors import BadInput
from crossnorm.models import load_word_vectors, set_word_vectors
from tests.models.model_cases import small, words

LINES = "the 0.5 -1 2.25\n. . . 1 2 3\nüber 1e-2 0 -7\nthe-end 3 4 5 \n"


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "vectors.txt"
    path.write_text(LINES, encoding="utf-8")
    return path


def test_vectors_in_the_order_of_the_vocabulary(file):
    vocabulary = ["<unknown>", "<padding>", "über", "the", ". . .", "the-end"]
    torch.manual_seed(0)
    vectors = load_word_vectors(file, vocabulary)
    assert vectors.dtype == torch.float32
    assert vectors[2:].tolist() == [pytest.approx(v) for v in ([0.01, 0, -7], [0.5, -1, 2.25], [1, 2, 3], [3, 4, 5])]
    assert vectors[1].tolist() == [0, 0, 0]
    assert vectors[0].any()
    torch.manual_seed(0)
    assert torch.equal(load_word_vectors(str(file), vocabulary), vectors)


def test_a_header_of_counts_is_skipped(file):
    file.write_text("4 3\n" + LINES, encoding="utf-8")
    assert load_word_vectors(file, ["<unknown>", "<padding>", "the"])[2].tolist() == [0.5, -1, 2.25]


def test_many_words_without_a_vector_are_told(file):
    with pytest.warns(UserWarning, match="4 of 6 words have no vector"):
        load_word_vectors(file, ["a", "<padding>", "b", "c", "d", "the"])


def test_files_that_are_refused(file, tmp_path):
    for line, expected in (("short 1 2", "a word and 3 numbers"), ("wrong 1 2 x", "3 numbers, got .*'x'")):
        file.write_text(LINES + line + "\n", encoding="utf-8")
        with pytest.raises(BadInput, match=f"line 5: expected {expected}"):
            load_word_vectors(file, ["the", "wrong"])
    file.write_text("alone\n", encoding="utf-8")
    with pytest.raises(BadInput, match="line 1"):
        load_word_vectors(file, ["the"])
    file.write_text(LINES, encoding="utf-8")
    with pytest.raises(BadInput, match="at least one word of the vocabulary"):
        load_word_vectors(file, ["nowhere"])
    with pytest.raises(BadInput, match=r"none.txt: no such file"):
        load_word_vectors(tmp_path / "none.txt", ["the"])


def test_vectors_in_a_model_frozen_or_trained():
    vectors = torch.randn(23, 12)
    for trained in (False, True):
        model = small("text_cct_2", train_words=trained)
        set_word_vectors(model, vectors)
        optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
        model(words()).square().sum().backward()
        optimiser.step()
        assert torch.equal(model.embedder.embeddings.weight, vectors) != trained
    with pytest.raises(BadInput, match=r"vectors: expected shape \(23, 12\)"):
        set_word_vectors(model, vectors[:-1])


def test_a_line_that_would_fill_the_memory(tmp_path):
    (tmp_path / "long.txt").write_text("the " + "1 " * 600_000, encoding="utf-8")
    with pytest.raises(BadInput, match=r"long.txt: expected lines of at most 1000000 characters, got a longer one"):
        load_word_vectors(tmp_path / "long.txt", ["the"])

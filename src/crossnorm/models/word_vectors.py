"""Word vectors from a local text file, as GloVe and word2vec write them."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor

from crossnorm.errors import BadInput
from crossnorm.io import bounded_lines, regular_file
from crossnorm.models.compact_transformers import TextTransformer
from crossnorm.models.patch_embeddings import PADDING_INDEX

__all__ = ["load_word_vectors", "set_word_vectors"]


def load_word_vectors(path: str | Path, vocabulary: Sequence[str]) -> Tensor:
    """The vectors (words, width) of a vocabulary, float32.

    Each line of the file is a word (spaces allowed) and its numbers. A first line of two counts, as word2vec writes
    it, is skipped. A word that is not in the file gets a normal draw from torch's global generator, with the standard
    deviation of the vectors that were found. The padding word (index 1) is zero.

    Args:
        path: A text file, UTF-8.
        vocabulary: The words, in the order of their ids.

    Raises:
        BadInput: No such file, a line without its numbers, or no word of the vocabulary in the file.
    """
    rows = {word: row for row, word in enumerate(vocabulary)}
    found = {rows[word]: _vector(numbers, where) for word, numbers, where in _entries(Path(path)) if word in rows}
    if not found:
        raise BadInput(str(path), "a vector for at least one word of the vocabulary", "none")
    known = torch.stack(list(found.values()))
    vectors = torch.randn(len(vocabulary), known.shape[1]) * known.std()
    vectors[list(found)] = known
    if len(vocabulary) > PADDING_INDEX:
        vectors[PADDING_INDEX] = 0.0
    missing = len(vocabulary) - len(found.keys() | {PADDING_INDEX})
    if missing > len(vocabulary) // 2:
        warnings.warn(f"{path}: {missing} of {len(vocabulary)} words have no vector and got random ones", stacklevel=2)
    return vectors


def set_word_vectors(model: TextTransformer, vectors: Tensor) -> None:
    """Give a text model its word vectors; ``train_words=False`` in its configuration keeps them frozen.

    Raises:
        BadInput: Another shape than (vocab_size, word_embedding_dim).
    """
    weight = model.embedder.embeddings.weight
    if vectors.shape != weight.shape:
        raise BadInput("vectors", f"shape {tuple(weight.shape)}, the model's words", tuple(vectors.shape))
    with torch.no_grad():
        weight.copy_(vectors)


def _entries(path: Path) -> Iterator[tuple[str, list[str], str]]:
    """Word, its numbers as text, and the line for error messages; the caller parses only the numbers it needs."""
    width = 0
    with regular_file(path).open(encoding="utf-8", errors="replace") as file:
        for index, line in enumerate(bounded_lines(file, str(path)), start=1):
            where, line = f"{path}, line {index}", line.rstrip()
            if index == 1 and len(line.split(" ")) == 2:
                continue
            width = width or line.count(" ")
            word, *numbers = line.rsplit(" ", width)
            if not numbers or len(numbers) != width:
                raise BadInput(where, f"a word and {width or 'its'} numbers", line[:60])
            yield word, numbers, where


def _vector(numbers: list[str], where: str) -> Tensor:
    try:
        return torch.tensor([float(number) for number in numbers])
    except ValueError as error:
        raise BadInput(where, f"{len(numbers)} numbers", str(error)) from None

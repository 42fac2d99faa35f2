"""The arrays and the default model of tasks of labeled texts and of language."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from crossnorm.data.arrays import Arrays
from crossnorm.data.cache import cache_key
from crossnorm.data.task_registry import TaskSpec, TextSpec
from crossnorm.data.text.huggingface import hub_texts
from crossnorm.data.text.readers import MOST_BYTES, SPLITS, Example, Texts, files_identity, find_files, read_texts
from crossnorm.data.text.token_streams import read_bytes, read_characters
from crossnorm.data.text.vocabulary import build_vocabulary, encode
from crossnorm.errors import BadInput
from crossnorm.io import regular_file

__all__ = ["Encoder", "stream_source", "text_model", "text_source"]

_TOKENIZER = 1  # of `split_words` and the readers; part of every key


class Encoder(Protocol):
    """The tokenizer of a pretrained model."""

    @property
    def identity(self) -> str:
        """Names the tokenizer and its settings: equal identities give equal ids."""

    def __call__(self, texts: Sequence[str]) -> npt.NDArray[np.int64]:
        """Ids (texts, tokens), padded on the right with `crossnorm.adapters.hf_text_classifier.NO_TOKEN`."""


def text_source(
    name: str, spec: TextSpec, path: Path | None, encoder: Encoder | None = None
) -> tuple[str, Callable[[], Arrays]]:
    """The cache key of labeled texts, and the function that builds their arrays.

    Args:
        name: Of the task.
        spec: Its row.
        path: A folder in the usual format of the data set; None: the Hugging Face Hub.
        encoder: Tokenizer of a pretrained model; None: the words of the training set.

    Raises:
        BadInput: A file is missing. The function raises it when reading or downloading fails.
    """
    about: dict[str, object] = {"tokenizer": _TOKENIZER, "sizes": [spec.seq_len, spec.min_count, spec.max_words]}
    if encoder is not None:
        about = {"encoder": encoder.identity}
    if path is None:
        key = cache_key(name, about | {"hub": spec.repository})
        return key, lambda: _text_arrays(hub_texts(name, spec), spec, encoder)
    files = find_files(path, spec.format)
    identity = [files_identity(files[split]) for split in SPLITS]
    key = cache_key(name, about | {"data": identity})
    return key, lambda: _text_arrays(read_texts(files, spec.format, spec.classes), spec, encoder)


def _text_arrays(texts: Texts, spec: TextSpec, encoder: Encoder | None) -> Arrays:
    words = (text for _, text in texts["train"])
    vocabulary: tuple[str, ...] = ()
    if encoder is None:
        vocabulary = build_vocabulary(words, min_count=spec.min_count, max_words=spec.max_words)

    def inputs(examples: list[Example]) -> np.ndarray:
        raw = [text for _, text in examples]
        return encode(raw, vocabulary, spec.seq_len) if encoder is None else encoder(raw)

    def targets(examples: list[Example]) -> np.ndarray:
        return np.array([label for label, _ in examples], dtype=np.int64)

    return Arrays(
        train_inputs=inputs(texts["train"]),
        train_targets=targets(texts["train"]),
        test_inputs=inputs(texts["test"]),
        test_targets=targets(texts["test"]),
        classes=spec.classes,
        vocabulary=vocabulary,
    )


def stream_source(name: str, spec: TaskSpec, path: Path) -> tuple[str, Callable[[], Arrays]]:
    """The cache key of a stream of characters or bytes, and the function that builds it.

    Raises:
        BadInput: Not a file. The function raises it if the file is too short for one test window, or not text.
    """
    least = 10 * (spec.seq_len + 1)
    regular_file(path, most=MOST_BYTES, name=f"data {path}")
    read = read_characters if spec.source == "characters" else read_bytes

    def build() -> Arrays:
        arrays = read(path)
        tokens = len(arrays.train_inputs) + len(arrays.test_inputs)
        if tokens < least:
            raise BadInput(f"data {path}", f"at least {least} tokens: ten windows of {spec.seq_len}", f"{tokens}")
        return arrays

    return cache_key(name, {"data": files_identity([path]), "tokens": spec.source}), build


def text_model(spec: TaskSpec, arrays: Arrays) -> dict[str, object]:
    """The default keywords of `create_model`, the name included; empty for the ids of a pretrained tokenizer."""
    if not arrays.vocabulary:
        return {}
    sizes = {"vocab_size": len(arrays.vocabulary)}
    if spec.text is None:
        return {"name": spec.model_name, **sizes, "seq_len": spec.seq_len, **spec.model}
    sizes |= {"seq_len": spec.text.seq_len, "num_classes": len(arrays.classes)}
    return {"name": spec.model_name, **sizes, **spec.model}

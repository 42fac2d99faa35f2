"""Language modeling: a file as a stream of characters or bytes, and its windows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from crossnorm.data.arrays import Arrays
from crossnorm.data.task import Split
from crossnorm.data.text.readers import MOST_BYTES, read_text
from crossnorm.errors import BadInput
from crossnorm.io import regular_file

__all__ = ["read_bytes", "read_characters", "windows"]

_UNKNOWN = "<unk>"
_MOST_CHARACTERS = 10_000  # every one is an output of the model, at every token
_NO_TARGETS = np.zeros(0, dtype=np.int64)  # targets are the next tokens of the stream


def read_characters(path: Path) -> Arrays:
    """The characters of a UTF-8 file; the last tenth is the test set.

    Id 0 is an unknown character. The characters of the training set follow, sorted by code point.

    Raises:
        BadInput: The file cannot be read or decoded.
    """
    points = np.frombuffer(read_text(path).encode("utf-32-le"), dtype=np.uint32)
    train, test = _split(points)
    known = np.unique(train)
    if len(known) > _MOST_CHARACTERS:
        hint = "A language task of bytes takes any file."
        raise BadInput(f"data {path}", f"at most {_MOST_CHARACTERS} different characters", len(known), hint)
    streams = []
    for part in (train, test):
        index = np.searchsorted(known, part).clip(max=max(0, len(known) - 1))
        streams.append(np.where(known[index] == part, index + 1, 0) if len(known) else index)
    return _arrays(streams, (_UNKNOWN, *map(chr, known.tolist())))


def read_bytes(path: Path) -> Arrays:
    """The bytes of a file; the last tenth is the test set. The id of a byte is its value.

    Raises:
        BadInput: The file cannot be read.
    """
    stream = np.fromfile(regular_file(path, most=MOST_BYTES, name=f"data {path}"), dtype=np.uint8)
    return _arrays(list(_split(stream)), tuple(map(chr, range(256))))


def _split(stream: npt.NDArray[np.generic]) -> tuple[npt.NDArray[np.generic], npt.NDArray[np.generic]]:
    cut = len(stream) - len(stream) // 10
    return stream[:cut], stream[cut:]


def _arrays(streams: list[npt.NDArray[np.generic]], vocabulary: tuple[str, ...]) -> Arrays:
    small = np.uint8 if len(vocabulary) <= 256 else np.int32
    train, test = (stream.astype(small) for stream in streams)
    return Arrays(
        train_inputs=train,
        train_targets=_NO_TARGETS,
        test_inputs=test,
        test_targets=_NO_TARGETS,
        classes=vocabulary,
        vocabulary=vocabulary,
    )


def windows(stream: npt.NDArray[np.generic], seq_len: int) -> Split:
    """Consecutive windows of a stream; the target of each token is the next token. Both are views of the stream.

    With length L, window i has the tokens i·L … i·L + L - 1 and the targets i·L + 1 … i·L + L. A remainder is dropped.

    Args:
        stream: (tokens,).
        seq_len: L, less than the number of tokens.
    """
    tokens = torch.from_numpy(stream)
    return Split(inputs=tokens[:-1].unfold(0, seq_len, seq_len), targets=tokens[1:].unfold(0, seq_len, seq_len))

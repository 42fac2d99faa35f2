"""Language modelling: a text file as a stream of characters or bytes, and the windows it is read in.

Knows nothing of tasks and caches.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from crossnorm.data.arrays import Arrays
from crossnorm.data.task import Split
from crossnorm.data.text.readers import read_text
from crossnorm.errors import BadInput

__all__ = ["read_bytes", "read_characters", "windows"]

_UNKNOWN = "<unk>"
_NO_TARGETS = np.zeros(0, dtype=np.int64)  # the next tokens are in the stream itself


def read_characters(path: Path) -> Arrays:
    """The characters of a UTF-8 file; the last tenth of them is the test set.

    Id 0 stands for characters that the training part lacks; those it has follow in the order of their code points.

    Raises:
        BadInput: No text file.
    """
    points = np.frombuffer(read_text(path).encode("utf-32-le"), dtype=np.uint32)
    train, test = _parted(points)
    known = np.unique(train)
    streams = []
    for part in (train, test):
        place = np.searchsorted(known, part).clip(max=max(0, len(known) - 1))
        streams.append(np.where(known[place] == part, place + 1, 0) if len(known) else place)
    return _arrays(streams, (_UNKNOWN, *map(chr, known.tolist())))


def read_bytes(path: Path) -> Arrays:
    """The bytes of any file; the last tenth of them is the test set. Every byte is its own id.

    Raises:
        BadInput: The file cannot be read.
    """
    try:
        stream = np.fromfile(path, dtype=np.uint8)
    except OSError as error:
        raise BadInput(f"data {path}", "a file", error.strerror or str(error)) from None
    return _arrays(list(_parted(stream)), tuple(map(chr, range(256))))


def _parted(stream: npt.NDArray[np.generic]) -> tuple[npt.NDArray[np.generic], npt.NDArray[np.generic]]:
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
    """Consecutive windows of a stream and, as targets, the token after each token: views, nothing is copied.

    Window i holds the tokens i·L … i·L + L - 1 and its targets are the tokens i·L + 1 … i·L + L, L the length; what is
    left over at the end is not used.

    Args:
        stream: (tokens,).
        seq_len: L, less than the number of tokens.
    """
    tokens = torch.from_numpy(stream)
    return Split(inputs=tokens[:-1].unfold(0, seq_len, seq_len), targets=tokens[1:].unfold(0, seq_len, seq_len))

"""Tasks of random inputs and targets: nothing can be learned from them, and nothing is read or downloaded.

For measuring how long a model takes. Knows the sizes of a model; knows nothing of time.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from crossnorm.data.task import Split, Task
from crossnorm.data.text.vocabulary import PADDING
from crossnorm.models.config import Config, ImageConfig, LanguageConfig, TextConfig
from crossnorm.rng import generator

__all__ = ["noise_task"]


def noise_task(config: Config, *, train: int, test: int) -> Task:
    """A task of the kind and the sizes that a model of this configuration takes.

    Args:
        config: Images are uniform uint8 of its `img_size`; words and tokens uniform ids, `seq_len` of them, no padding
            among the words.
        train: Training examples.
        test: Test examples.
    """
    about = _about(config) | {"train": _split(config, train, "train"), "test": _split(config, test, "test")}
    return Task(name="noise", digest="noise", model={}, notes="Random numbers.", **about)


def _about(config: Config) -> dict[str, Any]:
    """The fields of a task that follow from what it is made of."""
    classes = config.num_classes if isinstance(config, ImageConfig | TextConfig) else _vocabulary(config)
    names = {"n_classes": classes, "classes": tuple(map(str, range(classes)))}
    if isinstance(config, ImageConfig):
        channels = config.n_input_channels
        moments = {"mean": (0.5,) * channels, "std": (12**-0.5,) * channels}  # of the uniform distribution
        about = {"kind": "image", "image_size": config.size, "n_channels": channels, "augmentation": "crop-flip"}
        return {**names, **moments, **about}
    kind = "text" if isinstance(config, TextConfig) else "language"
    about = {"kind": kind, "image_size": (1, _seq_len(config)), "n_channels": 1, "augmentation": "none"}
    return {**names, "mean": (), "std": (), **about}


def _split(config: Config, count: int, name: str) -> Split:
    draws = generator(0, f"noise/{name}")

    def ids(below: int, *shape: int) -> Tensor:
        return torch.randint(below, (count, *shape), generator=draws)

    if isinstance(config, ImageConfig):
        inputs = ids(256, config.n_input_channels, *config.size).to(torch.uint8)
        return Split(inputs=inputs, targets=ids(config.num_classes))
    if isinstance(config, TextConfig):
        words = ids(config.vocab_size - 1, config.seq_len)
        return Split(inputs=words + (words >= PADDING), targets=ids(config.num_classes))
    tokens = _vocabulary(config), _seq_len(config)
    return Split(inputs=ids(*tokens), targets=ids(*tokens))


def _vocabulary(config: Config) -> int:
    assert isinstance(config, TextConfig | LanguageConfig)
    return config.vocab_size


def _seq_len(config: Config) -> int:
    assert isinstance(config, TextConfig | LanguageConfig)
    return config.seq_len

"""Tasks of random inputs and targets, for measuring speed without a data set."""

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
    """A task of random data in the kind and the sizes that a model takes.

    Args:
        config: Of the model. Images are uniform uint8 of `img_size`; texts and token sequences are uniform ids of
            length `seq_len`, texts without padding.
        train: Number of training examples.
        test: Number of test examples.
    """
    fields = _fields(config) | {"train": _split(config, train, "train"), "test": _split(config, test, "test")}
    return Task(name="noise", digest="noise", model={}, notes="Random numbers.", **fields)


def _fields(config: Config) -> dict[str, Any]:
    """The fields of the task that follow from the model's configuration."""
    if isinstance(config, ImageConfig):
        channels = config.n_input_channels
        moments = {"mean": (0.5,) * channels, "std": (12**-0.5,) * channels}  # of the uniform distribution on [0, 1]
        sizes = {"image_size": config.size, "n_channels": channels, "augmentation": "crop-flip", **moments}
        return {"kind": "image", **_classes(config.num_classes), **sizes}
    assert isinstance(config, TextConfig | LanguageConfig)
    sizes = {"image_size": (1, config.seq_len), "n_channels": 1, "augmentation": "none", "mean": (), "std": ()}
    if isinstance(config, TextConfig):
        return {"kind": "text", **_classes(config.num_classes), **sizes}
    return {"kind": "language", **_classes(config.vocab_size), **sizes}


def _classes(count: int) -> dict[str, Any]:
    return {"n_classes": count, "classes": tuple(map(str, range(count)))}


def _split(config: Config, count: int, name: str) -> Split:
    draws = generator(0, f"noise/{name}")

    def uniform(below: int, *shape: int) -> Tensor:
        return torch.randint(below, (count, *shape), generator=draws)

    if isinstance(config, ImageConfig):
        inputs = uniform(256, config.n_input_channels, *config.size).to(torch.uint8)
        return Split(inputs=inputs, targets=uniform(config.num_classes))
    if isinstance(config, TextConfig):
        words = uniform(config.vocab_size - 1, config.seq_len)
        return Split(inputs=words + (words >= PADDING), targets=uniform(config.num_classes))
    assert isinstance(config, LanguageConfig)
    tokens = config.vocab_size, config.seq_len
    return Split(inputs=uniform(*tokens), targets=uniform(*tokens))

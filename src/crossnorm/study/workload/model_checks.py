"""Check a study's model against its task, and load word vectors for the task's vocabulary."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from torch import Tensor

from crossnorm.data import Task
from crossnorm.errors import BadInput
from crossnorm.models import ImageConfig, LanguageConfig, TextConfig, load_word_vectors
from crossnorm.models.config import Config
from crossnorm.models.presets import PRESETS
from crossnorm.rng import addressed

__all__ = ["check_model", "wanted_kind", "word_vectors"]

_KINDS: dict[str, type[Config]] = {"text": TextConfig, "language": LanguageConfig}


def wanted_kind(task: Task) -> type[Config]:
    """The configuration class of models for the task's inputs."""
    return _KINDS.get(task.kind, ImageConfig)


def check_model(name: str, keywords: Mapping[str, Any], task: Task) -> None:
    """Check that a model can take the task's inputs.

    Args:
        name: The model's name.
        keywords: Keywords of `create_model`, which checks the rest.
        task: The task.

    Raises:
        BadInput: A model of another kind, or one too small for the task's texts or vocabulary.
    """
    wanted = wanted_kind(task)
    if name in PRESETS and PRESETS[name].kind is not wanted:
        suits = [other for other, preset in PRESETS.items() if preset.kind is wanted]
        expected = f"a model for {task.name}, such as {suits[0]}"
        raise BadInput("model.name", expected, name, "See crossnorm list models.")
    for key, least, what in _least_sizes(task):
        given = keywords.get(key, least)
        if isinstance(given, int) and given < least:
            raise BadInput(f"model.{key}", f"at least {least}, the {what} of {task.name}", given)


def _least_sizes(task: Task) -> list[tuple[str, int, str]]:
    if not task.vocabulary:
        return []
    return [("seq_len", task.image_size[1], "length"), ("vocab_size", len(task.vocabulary), "vocabulary")]


def word_vectors(file: object, task: Task, seed: int) -> Tensor:
    """The vectors of a task's vocabulary, (words, dim), from a file; missing words are drawn at (seed, "words").

    Args:
        file: The setting ``model.word_vectors``: the path of a file for `load_word_vectors`.
        task: A task of texts.
        seed: The run's seed.

    Raises:
        BadInput: The task has no words, or the file cannot be read.
    """
    if task.kind != "text":
        raise BadInput.because("model.word_vectors", f"task {task.name} has no words")
    if not isinstance(file, str | Path):
        raise BadInput("model.word_vectors", "a file path", file)
    return _vectors(str(file), task.vocabulary, seed)


@lru_cache(maxsize=2)  # all arms of a seed use the same vectors, and the files are large
def _vectors(file: str, vocabulary: tuple[str, ...], seed: int) -> Tensor:
    with addressed(seed, "words"):
        return load_word_vectors(Path(file).expanduser(), vocabulary)

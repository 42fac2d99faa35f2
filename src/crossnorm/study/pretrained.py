"""What a study settles between a pretrained model and its task: tokens, classes, sizes, and which weights are new.

Knows tasks, checkpoints and models of other libraries; knows nothing of arms, folders or training.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from torch import nn

from crossnorm.adapters.sources import digest_of, locate
from crossnorm.adapters.texts import TextEncoder, load_text_classifier, load_text_encoder
from crossnorm.data import Task
from crossnorm.errors import BadInput, unknown_name
from crossnorm.models import ImageConfig, load_weights
from crossnorm.models.compact import build
from crossnorm.models.config import Config
from crossnorm.models.files import config_of, read_safetensors
from crossnorm.seeds import addressed
from crossnorm.study.words import wanted_kind

__all__ = ["encoder_for", "load_pretrained", "pretrained_keywords"]

_FIELDS = ("from", "max_tokens", "sha256")


def encoder_for(settings: Mapping[str, Any]) -> TextEncoder | None:
    """The tokenizer that the study's model brings along; None: the model takes what the task has.

    Args:
        settings: The study's ``model``.

    Raises:
        BadInput: What `locate` and `load_text_encoder` refuse.
    """
    if "from" not in settings:
        return None
    folder = locate(settings["from"])
    return None if folder.is_file() else _encoder(folder, settings.get("max_tokens"))


@lru_cache(maxsize=2)  # resolving a study asks for it again
def _encoder(folder: Path, max_tokens: int | None) -> TextEncoder:
    return load_text_encoder(folder, max_tokens)


def pretrained_keywords(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a pretrained model written out, with the SHA-256 of its weights.

    Raises:
        BadInput: A setting that a pretrained model has not, or other weights than those the settings name.
    """
    for key in settings:
        if key not in _FIELDS:
            raise unknown_name("model (beside from)", key, _FIELDS)
    path = locate(settings["from"])
    encoder = encoder_for(settings)
    if encoder is None and "max_tokens" in settings:
        raise BadInput("model.max_tokens", "no such setting beside a checkpoint of crossnorm", settings["max_tokens"])
    found = digest_of(path)
    if settings.get("sha256", found) != found:
        hint = "Bring the old file back, or take sha256 out of the study."
        raise BadInput(f"model.from {settings['from']}", f"weights of SHA-256 {settings['sha256']}", found, hint)
    tokens = {} if encoder is None else {"max_tokens": encoder.max_tokens}
    return {"from": settings["from"], **tokens, "sha256": found}


def load_pretrained(source: str, task: Task, seed: int) -> nn.Module:
    """The pretrained model with a head for the task's classes; whatever is new is drawn at (seed, "init").

    Args:
        source: See `locate`.
        task: Its classes and sizes; encoded by the model's own tokenizer, if it has one.
        seed: The run's.

    Raises:
        BadInput: A model that does not take the task's inputs.
    """
    path = locate(source)
    if path.is_dir():
        with addressed(seed, "init"):
            return load_text_classifier(path, task.n_classes)
    _, description = read_safetensors(path)
    if description is None:
        raise BadInput("model.from", "a checkpoint that crossnorm wrote", f"{source}, which has no configuration")
    with addressed(seed, "init"):
        model = build(_fitted(config_of(description), source, task))
    load_weights(model, path)
    return model


def _fitted(config: Config, source: str, task: Task) -> Config:
    """A checkpoint's configuration with the task's image size and classes."""
    if type(config) is not wanted_kind(task):
        raise BadInput("model.from", f"a model for {task.name}, a task of {task.kind}s", source)
    if isinstance(config, ImageConfig):
        return replace(config, img_size=task.image_size, num_classes=task.n_classes)
    if config.vocab_size != len(task.vocabulary):
        expected = f"a model of the {len(task.vocabulary)} words or characters of {task.name}"
        raise BadInput("model.from", expected, f"{source}, which has {config.vocab_size}")
    return replace(config, num_classes=task.n_classes) if hasattr(config, "num_classes") else config

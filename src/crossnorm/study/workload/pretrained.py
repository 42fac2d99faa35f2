"""What a study settles between a pretrained model and its task: tokens, classes, sizes, and which weights are new.

Knows tasks, checkpoints and models of other libraries; knows nothing of arms, folders or training.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from torch import nn

from crossnorm.adapters.hf_checkpoint import load_saved_texts, save_texts
from crossnorm.adapters.hf_text_classifier import TextClassifier, TextEncoder, load_text_classifier, load_text_encoder
from crossnorm.adapters.model_source import digest_of, locate
from crossnorm.data import Task
from crossnorm.errors import BadInput, unknown_name
from crossnorm.models import ImageConfig, LanguageConfig, TextConfig, load_model, load_weights, save_model
from crossnorm.models.compact_transformers import build
from crossnorm.models.config import Config
from crossnorm.models.serialization import config_of, read_safetensors
from crossnorm.rng import addressed
from crossnorm.study.workload.model_checks import wanted_kind

if TYPE_CHECKING:
    from crossnorm.models.compact_transformers import Model

__all__ = ["encoder_for", "keep_model", "load_kept", "load_pretrained", "pretrained_keywords"]

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


def keep_model(model: nn.Module, settings: Mapping[str, Any], task: Task, folder: Path) -> Path:
    """Write a trained model below a run's folder, so that `load_kept` reads it.

    Args:
        model: Of a finished run.
        settings: What it was made from: the run's ``model``.
        task: What it learned.
        folder: The run's.

    Returns:
        ``model.safetensors`` for crossnorm's own models, else the folder ``model``.
    """
    if isinstance(model, TextClassifier):
        encoder = encoder_for(settings)
        assert encoder is not None
        save_texts(model, encoder, task.n_classes, folder / "model")
        return folder / "model"
    save_model(cast("Model", model), folder / "model.safetensors")
    return folder / "model.safetensors"


def load_kept(path: Path) -> tuple[nn.Module, TextEncoder | None]:
    """The model that `keep_model` wrote, and the tokenizer of one that has its own.

    Raises:
        BadInput: No such file or folder, or a damaged one.
    """
    return load_saved_texts(path) if path.is_dir() else (load_model(path), None)


def _fitted(config: Config, source: str, task: Task) -> Config:
    """A checkpoint's configuration with the task's image size and classes."""
    if type(config) is not wanted_kind(task):
        raise BadInput("model.from", f"a model for {task.name}, a task of {task.kind}s", source)
    if isinstance(config, ImageConfig):
        return replace(config, img_size=task.image_size, num_classes=task.n_classes)
    assert isinstance(config, TextConfig | LanguageConfig)
    if config.vocab_size != len(task.vocabulary):
        expected = f"a model of the {len(task.vocabulary)} words or characters of {task.name}"
        raise BadInput("model.from", expected, f"{source}, which has {config.vocab_size}")
    return replace(config, num_classes=task.n_classes) if isinstance(config, TextConfig) else config

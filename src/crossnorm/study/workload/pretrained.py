"""Pretrained models in studies: tokenizer, settings, a new head for the task, and saving the trained model."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
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
from crossnorm.study.storage.study_record import check_kept_model
from crossnorm.study.workload.model_checks import wanted_kind

if TYPE_CHECKING:
    from crossnorm.models.compact_transformers import Model

__all__ = ["encoder_for", "keep_model", "load_kept", "load_pretrained", "pretrained_keywords"]

_FIELDS = ("from", "max_tokens", "sha256")


def encoder_for(settings: Mapping[str, Any]) -> TextEncoder | None:
    """The tokenizer of the study's pretrained model; None if the model has none.

    Args:
        settings: The study's ``model``.

    Raises:
        BadInput: See `locate` and `load_text_encoder`.
    """
    if "from" not in settings:
        return None
    folder = locate(settings["from"])
    return None if folder.is_file() else _encoder(folder, settings.get("max_tokens"))


@lru_cache(maxsize=2)  # compiling a study uses it twice
def _encoder(folder: Path, max_tokens: int | None) -> TextEncoder:
    return load_text_encoder(folder, max_tokens)


def pretrained_keywords(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a pretrained model written out, with the SHA-256 of its weights.

    Args:
        settings: The study's ``model``.

    Raises:
        BadInput: A setting that pretrained models lack, or weights with another SHA-256 than the settings give.
    """
    for key in settings:
        if key not in _FIELDS:
            raise unknown_name("model (with from)", key, _FIELDS)
    path = locate(settings["from"])
    encoder = encoder_for(settings)
    if encoder is None and "max_tokens" in settings:
        raise BadInput.because("model.max_tokens", "not available for a checkpoint of crossnorm")
    check_kept_model(path)
    found = digest_of(path)
    if settings.get("sha256", found) != found:
        hint = "Restore the file, or remove sha256 from the study."
        raise BadInput(f"model.from {settings['from']}", f"weights with SHA-256 {settings['sha256']}", found, hint)
    tokens = {} if encoder is None else {"max_tokens": encoder.max_tokens}
    return {"from": settings["from"], **tokens, "sha256": found}


def load_pretrained(source: str, task: Task, seed: int) -> nn.Module:
    """A pretrained model with a head for the task's classes; new weights are drawn at (seed, "init").

    Args:
        source: See `locate`.
        task: The task, encoded by the model's tokenizer if it has one.
        seed: The run's seed.

    Raises:
        BadInput: A model that cannot take the task's inputs.
    """
    path = locate(source)
    if path.is_dir():
        with addressed(seed, "init"):
            return load_text_classifier(path, task.n_classes)
    _, description = read_safetensors(path)
    if description is None:
        raise BadInput("model.from", "a checkpoint of crossnorm", f"{source}, which has no configuration")
    with addressed(seed, "init"):
        model = build(_fitted(config_of(description), source, task))
    load_weights(model, path)
    return model


def keep_model(model: nn.Module, settings: Mapping[str, Any], task: Task, folder: Path) -> Path:
    """Save a trained model in a run's folder for `load_kept`.

    Args:
        model: The model of a finished run.
        settings: The run's ``model``.
        task: The run's task.
        folder: The run's folder.

    Returns:
        ``model.safetensors`` for crossnorm's own models, else the folder ``model``.
    """
    if isinstance(model, TextClassifier):
        encoder = encoder_for(settings)
        assert encoder is not None
        target = folder / "model"
        if target.is_symlink() or target.exists():  # of a run that was killed: not written through links in it
            target.unlink() if target.is_symlink() else shutil.rmtree(target)
        save_texts(model, encoder, task.n_classes, target)
        return target
    save_model(cast("Model", model), folder / "model.safetensors")
    return folder / "model.safetensors"


def load_kept(path: Path, imports: Sequence[str] = ()) -> tuple[nn.Module, TextEncoder | None]:
    """The model that `keep_model` saved, and its tokenizer if it has one.

    Args:
        path: The file or folder.
        imports: Modules whose functions may act as its variant.

    Raises:
        BadInput: The file or folder is missing or damaged, or its variant is of another module.
    """
    return load_saved_texts(path, imports) if path.is_dir() else (load_model(path, imports), None)


def _fitted(config: Config, source: str, task: Task) -> Config:
    """A checkpoint's configuration with the task's image size and classes."""
    if type(config) is not wanted_kind(task):
        raise BadInput("model.from", f"a model for {task.kind} inputs, as task {task.name} has", source)
    if isinstance(config, ImageConfig):
        return replace(config, img_size=task.image_size, num_classes=task.n_classes)
    assert isinstance(config, TextConfig | LanguageConfig)
    if config.vocab_size != len(task.vocabulary):
        expected = f"a vocabulary of {len(task.vocabulary)}, as task {task.name} has"
        raise BadInput("model.from", expected, f"{source} with {config.vocab_size}")
    return replace(config, num_classes=task.n_classes) if isinstance(config, TextConfig) else config

"""Build the models of a study: from its settings, the task and a seed, with an arm's variant."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from crossnorm.adapters import convert
from crossnorm.adapters.hf_text_classifier import TextClassifier
from crossnorm.data import Task
from crossnorm.errors import BadInput
from crossnorm.io import file_sha256, regular_file
from crossnorm.models import TextTransformer, create_model, load_weights, set_word_vectors
from crossnorm.models.config import setting
from crossnorm.rng import addressed
from crossnorm.study.spec.plan import Arm
from crossnorm.study.workload.model_checks import check_model, word_vectors
from crossnorm.study.workload.pretrained import load_pretrained, pretrained_keywords
from crossnorm.training.loop.run_state import Member, make_member

if TYPE_CHECKING:
    pass

__all__ = ["build_member", "build_model", "model_keywords"]

_TASK_SIZES = ("img_size", "n_input_channels", "num_classes")
_SIZES = (*_TASK_SIZES, "vocab_size", "seq_len")


def model_keywords(settings: Mapping[str, Any], task: Task) -> dict[str, Any]:
    """The study's model written out: keywords of `create_model`, or the settings of a pretrained model (``from``).

    Keywords that the study does not give are the task's; if it names another model, only the task's sizes.

    Args:
        settings: The study's ``model``.
        task: Its task.

    Raises:
        BadInput: A variant, or a size that differs from the task's.
    """
    if "from" in settings:
        return pretrained_keywords(settings)
    if "variant" in settings:
        hint = "Use the study's fields variants and alphas, or the field variant of an arm."
        raise BadInput.because("model.variant", "the model would have a variant in every arm", hint)
    for key in (key for key in _TASK_SIZES if key in settings and key in task.model):
        if setting(key, settings[key]) != setting(key, task.model[key]):
            raise BadInput(f"model.{key}", f"{task.model[key]}, as in task {task.name}", settings[key])
    own = settings.get("name", task.model["name"])
    default = {key: value for key, value in task.model.items() if own == task.model["name"] or key in _SIZES}
    if "word_vectors" in settings:
        default.pop("word_embedding_dim", None)  # the file determines it
    return default | dict(settings) | _checked_weights(settings)


def _checked_weights(settings: Mapping[str, Any]) -> dict[str, str]:
    """The SHA-256 of the file of initial weights, if there is one.

    Raises:
        BadInput: No such file, or other weights than those the settings name.
    """
    if "weights" not in settings:
        return {}
    path = Path(str(settings["weights"]))
    found = file_sha256(regular_file(path, name=f"model.weights {path}"))
    if settings.get("sha256", found) != found:
        hint = "Restore the old file, or remove sha256 from the study."
        raise BadInput(f"model.weights {path}", f"weights of SHA-256 {settings['sha256']}", found, hint)
    return {"sha256": found}


def build_model(arm: Arm, settings: Mapping[str, Any], task: Task, seed: int) -> torch.nn.Module:
    """The arm's model; arguments and errors as `build_member`."""
    model = _plain_model(arm.model_settings(settings), task, seed)
    _add_variant(model, arm)
    return model


def build_member(
    arm: Arm,
    settings: Mapping[str, Any],
    task: Task,
    seed: int,
    device: torch.device,
) -> Member:
    """The arm's member of a cohort, at step 0.

    Weights are drawn at (seed, "init"), vectors of words that a ``word_vectors`` file lacks at (seed, "words"). A
    pretrained model (``from``) gets a new head.

    Args:
        arm: The arm.
        settings: The study's ``model``.
        task: The study's task.
        seed: Seed of the weights.
        device: The device to train on.

    Raises:
        BadInput: A keyword or value that does not fit the model, a model that does not fit the task, a site that the
            model lacks, or a model that cannot be converted.
    """
    model = build_model(arm, settings, task, seed)
    return make_member(
        arm.name,
        model,
        arm.training,
        device,
        schedule=arm.schedule,
        nuisance=arm.nuisance,
        alpha_lr=None if arm.learnable is None else arm.alpha_lr,
    )


def _add_variant(model: torch.nn.Module, arm: Arm) -> None:
    """Convert a model to the arm's variant."""
    if arm.variant is not None:
        body = model.body if isinstance(model, TextClassifier) else model
        convert(body, arm.variant, learnable=arm.learnable)


def _plain_model(settings: Mapping[str, Any], task: Task, seed: int) -> torch.nn.Module:
    """The model without a variant."""
    if "from" in settings:
        return load_pretrained(settings["from"], task, seed)
    keywords = model_keywords(settings, task)
    name, file = str(keywords.pop("name")), keywords.pop("word_vectors", None)
    weights = keywords.pop("weights", None)
    keywords.pop("sha256", None)
    check_model(name, keywords, task)
    vectors = None if file is None else word_vectors(file, task, seed)
    if vectors is not None:
        keywords.setdefault("word_embedding_dim", vectors.shape[1])
    with addressed(seed, "init"):
        model = create_model(name, **keywords)
    if vectors is not None:
        assert isinstance(model, TextTransformer)
        set_word_vectors(model, vectors)
    if weights is not None:
        load_weights(model, weights)
    return model

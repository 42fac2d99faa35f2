"""Carrying out one cohort in this process: build its members, resume them, train, and store every evaluation.

Knows models, training and the store; knows nothing of who calls it, in how many processes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch

from crossnorm.adapters import Handle, convert
from crossnorm.adapters.hf_text_classifier import TextClassifier
from crossnorm.data import Task
from crossnorm.errors import BadInput
from crossnorm.models import TextTransformer, create_model, load_weights, place, set_word_vectors
from crossnorm.models.config import setting
from crossnorm.rng import addressed
from crossnorm.study.spec.plan import Arm, Cohort, Plan, Run
from crossnorm.study.storage import run_folder as store
from crossnorm.study.workload.model_checks import check_model, word_vectors
from crossnorm.study.workload.pretrained import load_pretrained, pretrained_keywords
from crossnorm.training.checkpoint.checkpoints import load_checkpoint, save_checkpoint
from crossnorm.training.checkpoint.file_format import read_newest
from crossnorm.training.loop.cohort import train_cohort
from crossnorm.training.loop.run_state import Member, make_member

if TYPE_CHECKING:
    from crossnorm.models.compact_transformers import Model

__all__ = ["build_member", "build_model", "model_keywords", "run_cohort"]

_WHERE = "A study has variants and alphas, and an arm may have a variant."
_TASK_HAS = ("img_size", "n_input_channels", "num_classes")
_SIZES = ("img_size", "n_input_channels", "num_classes", "vocab_size", "seq_len")

Tell = Callable[[dict[str, Any]], None]
"""Called with an event: ``{"event": "step" | "evaluated" | "finished" | "note", …}``."""


def model_keywords(settings: Mapping[str, Any], task: Task) -> dict[str, Any]:
    """Keywords of `create_model`: the study's over the task's; of another model, the task's sizes only.

    Of a pretrained model (the setting ``from``) its own settings and nothing else.

    Raises:
        BadInput: A variant, which every arm would then have, the baseline included; a size that is not the task's.
    """
    if "from" in settings:
        return pretrained_keywords(settings)
    if "variant" in settings:
        raise BadInput("model.variant", "no variant here, for arms have them", settings["variant"], _WHERE)
    for key in (key for key in _TASK_HAS if key in settings and key in task.model):
        if setting(key, settings[key]) != setting(key, task.model[key]):
            raise BadInput(f"model.{key}", f"{task.model[key]}, which task {task.name} has", settings[key])
    own = settings.get("name", task.model["name"])
    default = {key: value for key, value in task.model.items() if own == task.model["name"] or key in _SIZES}
    if "word_vectors" in settings:
        default.pop("word_embedding_dim", None)  # the file's
    return default | dict(settings)


def build_model(arm: Arm, settings: Mapping[str, Any], task: Task, seed: int) -> torch.nn.Module:
    """The arm's model with its variant in place; see `plain_model` and `put_in_place`."""
    model = plain_model(settings, task, seed)
    put_in_place(model, arm)
    return model


def put_in_place(model: torch.nn.Module, arm: Arm) -> Handle | None:
    """Place the arm's variant in a model of `plain_model`; the handle of a converted one.

    Models of crossnorm have places for a variant; those of other libraries, and any whose α is learned, are converted.

    Raises:
        BadInput: A site that the model has not, or a model that cannot be converted.
    """
    if arm.variant is None:
        return None
    if isinstance(model, TextClassifier):
        return convert(model.body, arm.variant, learnable=arm.learnable)
    if arm.learnable is not None:
        return convert(model, arm.variant, learnable=arm.learnable)
    place(model, arm.variant)
    return None


def plain_model(settings: Mapping[str, Any], task: Task, seed: int) -> torch.nn.Module:
    """The study's model without a variant, its weights drawn at (seed, "init").

    The setting ``word_vectors`` names a file of vectors for the task's words; those it lacks are drawn at (seed,
    "words"). The setting ``from`` names a pretrained model: its weights are the file's, a new head is drawn.

    Raises:
        BadInput: A keyword or a value that the model has not, or a model of another kind than the task.
    """
    if "from" in settings:
        return load_pretrained(settings["from"], task, seed)
    keywords = model_keywords(settings, task)
    name, file = str(keywords.pop("name")), keywords.pop("word_vectors", None)
    check_model(name, keywords, task)
    vectors = None if file is None else word_vectors(file, task, seed)
    if vectors is not None:
        keywords.setdefault("word_embedding_dim", vectors.shape[1])
    with addressed(seed, "init"):
        model = create_model(name, **keywords)
    if vectors is not None:
        assert isinstance(model, TextTransformer)
        set_word_vectors(model, vectors)
    return model


def build_member(
    arm: Arm,
    settings: Mapping[str, Any],
    task: Task,
    seed: int,
    device: torch.device,
    weights: Path | None = None,
) -> Member:
    """The arm's member of a cohort, at step 0.

    Args:
        arm: What is trained.
        settings: The study's ``model``.
        task: On what.
        seed: Of the weights.
        device: Where it trains.
        weights: A checkpoint to start from, in place of weights drawn from the seed.
    """
    model = plain_model(settings, task, seed)
    if weights is not None:
        load_weights(cast("Model", model), weights)
    handle = put_in_place(model, arm)
    alpha = 0.0 if arm.variant is None else arm.variant.alpha
    return make_member(
        arm.name,
        model,
        arm.training,
        device,
        alpha=alpha,
        schedule=arm.schedule,
        nuisance=arm.nuisance,
        handle=handle,
        alpha_lr=None if arm.learnable is None else arm.alpha_lr,
    )


def run_cohort(plan: Plan, cohort: Cohort, task: Task, folder: Path, device: torch.device, tell: Tell) -> None:
    """Train the cohort's runs to their end, from wherever their checkpoints say they stood."""
    members = {run.arm: _start(plan, run, task, folder, device, tell) for run in cohort.runs}
    listener = _Storing(members, cohort, folder, device, tell)
    (seed,) = {cohort.seed + plan.arm(name).seed_offset for name in cohort.arms}  # one stream of batches
    train_cohort(list(members.values()), task, seed=seed, device=device, observer=listener)


def _start(plan: Plan, run: Run, task: Task, folder: Path, device: torch.device, tell: Tell) -> Member:
    arm = plan.arm(run.arm)

    def fresh() -> Member:
        return build_member(arm, plan.spec.model, task, run.seed + arm.seed_offset, device)

    def note(text: str) -> None:
        tell({"event": "note", "text": text})

    member, path = fresh(), store.checkpoint_path(folder, run)
    state = read_newest(path, note, lambda state: store.sealed(path.parent, state.about.get("curve")))
    if state is not None:
        try:
            load_checkpoint(member, state, str(path))
        except BadInput as error:
            note(f"{error} The run starts anew.")
            member = fresh()
    if member.step:
        tell({"event": "step", "members": member.step, "resumed": True})
    return member


class _Storing:
    """The observer of a study's cohorts: every evaluation is on disk before training goes on."""

    def __init__(
        self, members: Mapping[str, Member], cohort: Cohort, folder: Path, device: torch.device, tell: Tell
    ) -> None:
        self.seed, self.folder, self.device, self.tell = cohort.seed, folder, device, tell
        self._untold, self._told_at = 0, time.monotonic()
        self.curves = {
            name: store.Curve(store.run_folder(folder, Run(name, cohort.seed)), member.step or None)
            for name, member in members.items()
        }

    def evaluated(self, member: Member, row: dict[str, float | int | None]) -> None:
        run = Run(member.name, self.seed)
        curve = self.curves[run.arm]
        curve.append(row)
        self.tell({"event": "evaluated", "arm": run.arm, "seed": run.seed, "row": row})
        if row["epoch"] == member.recipe.epochs and None not in (row["train_loss"], row["test_loss"]):
            self._finish(run, "complete", None, row)
        elif member.step and None not in (row["train_loss"], row["test_loss"]):  # of numbers only
            save_checkpoint(member, store.checkpoint_path(self.folder, run), curve.seal)

    def failed(self, member: Member) -> None:
        assert member.failure is not None
        status, _, reason = member.failure.partition(": ")
        self._finish(Run(member.name, self.seed), status, reason, {"step": member.step})

    def stepped(self, members: int) -> None:
        self._untold += members
        if time.monotonic() - self._told_at > 0.2:
            self.tell({"event": "step", "members": self._untold})
            self._untold, self._told_at = 0, time.monotonic()

    def _finish(self, run: Run, status: str, reason: str | None, row: dict[str, Any]) -> None:
        details = {"step": row["step"], "seconds": row.get("seconds"), "device": str(self.device)}
        store.finish(self.folder, run, status, reason, details | {"torch": torch.__version__})
        self.tell({"event": "step", "members": self._untold})
        self._untold = 0
        self.tell({"event": "finished", "arm": run.arm, "seed": run.seed, "status": status, "reason": reason})

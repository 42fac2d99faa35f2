"""Carrying out one cohort in this process: build its members, resume them, train, and store every evaluation.

Knows models, training and the store; knows nothing of who calls it, in how many processes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from crossnorm.data import Task
from crossnorm.errors import BadInput
from crossnorm.models import TextTransformer, create_model, set_word_vectors
from crossnorm.seeds import addressed
from crossnorm.study import store
from crossnorm.study.plan import Arm, Cohort, Plan, Run
from crossnorm.study.words import check_model, word_vectors
from crossnorm.training.checkpoints import put_back, save_checkpoint
from crossnorm.training.cohort import train_cohort
from crossnorm.training.member import Member, make_member
from crossnorm.training.statefile import read_newest

__all__ = ["build_model", "model_keywords", "run_cohort"]

_SIZES = ("img_size", "n_input_channels", "num_classes", "vocab_size", "seq_len")

Tell = Callable[[dict[str, Any]], None]
"""Called with an event: ``{"event": "step" | "evaluated" | "finished" | "note", …}``."""


def model_keywords(settings: Mapping[str, Any], task: Task) -> dict[str, Any]:
    """Keywords of `create_model`: the study's over the task's; of another model, the task's sizes only."""
    own = settings.get("name", task.model["name"])
    default = {key: value for key, value in task.model.items() if own == task.model["name"] or key in _SIZES}
    if "word_vectors" in settings:
        default.pop("word_embedding_dim", None)  # the file's
    return default | dict(settings)


def build_model(arm: Arm, settings: Mapping[str, Any], task: Task, seed: int) -> torch.nn.Module:
    """The arm's model, its weights drawn at (seed, "init").

    The setting ``word_vectors`` names a file of vectors for the task's words; those it lacks are drawn at (seed,
    "words").

    Raises:
        BadInput: A keyword, a value or a site that the model has not, or a model of another kind than the task.
    """
    keywords = model_keywords(settings, task)
    name, file = str(keywords.pop("name")), keywords.pop("word_vectors", None)
    check_model(name, keywords, task)
    vectors = None if file is None else word_vectors(file, task, seed)
    if vectors is not None:
        keywords.setdefault("word_embedding_dim", vectors.shape[1])
    with addressed(seed, "init"):
        model = create_model(name, variant=arm.variant, **keywords)
    if vectors is not None:
        assert isinstance(model, TextTransformer)
        set_word_vectors(model, vectors)
    return model


def run_cohort(plan: Plan, cohort: Cohort, task: Task, folder: Path, device: torch.device, tell: Tell) -> None:
    """Train the cohort's runs to their end, from wherever their checkpoints say they stood."""
    members = {run.arm: _start(plan, run, task, folder, device, tell) for run in cohort.runs}
    listener = _Storing(members, cohort, folder, device, tell)
    (seed,) = {cohort.seed + plan.arm(name).seed_offset for name in cohort.arms}  # one stream of batches
    train_cohort(list(members.values()), task, seed=seed, device=device, observer=listener)


def _start(plan: Plan, run: Run, task: Task, folder: Path, device: torch.device, tell: Tell) -> Member:
    arm = plan.arm(run.arm)

    def fresh() -> Member:
        model = build_model(arm, plan.spec.model, task, run.seed + arm.seed_offset)
        alpha = 0.0 if arm.variant is None else arm.variant.alpha
        return make_member(
            arm.name, model, arm.training, device, alpha=alpha, schedule=arm.schedule, nuisance=arm.nuisance
        )

    def note(text: str) -> None:
        tell({"event": "note", "text": text})

    member, path = fresh(), store.checkpoint_path(folder, run)
    state = read_newest(path, note, lambda state: store.sealed(path.parent, state.about.get("curve")))
    if state is not None:
        try:
            put_back(member, state, str(path))
        except BadInput as error:
            note(f"{error} The run starts anew.")
            member = fresh()
    if member.step:
        tell({"event": "step", "members": member.step})
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
        elif member.step:
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

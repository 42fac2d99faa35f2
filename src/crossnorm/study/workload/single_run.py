"""One run in a folder of its own: trained, resumed, and kept as a model that can be loaded.

    run.json            what was asked for; the same command goes on, another is refused
    metrics.jsonl       a line per evaluation
    checkpoint.*        resume point of the unfinished run
    model.safetensors   the trained model with its configuration (the moving average, where the recipe has one); a
                        pretrained Transformer of another library is kept in the folder model
    result.json         the outcome

Knows nothing of arms, pairs or verdicts.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from crossnorm.data import Task
from crossnorm.errors import BadInput
from crossnorm.functional import Variant
from crossnorm.io import read_json, write_atomically, write_json
from crossnorm.study.spec.arms import Arm, Learnable
from crossnorm.study.storage import run_folder as store
from crossnorm.study.storage.config_diff import differences
from crossnorm.study.workload.cohort_run import build_member, model_keywords
from crossnorm.study.workload.pretrained import keep_model
from crossnorm.training.checkpoint.checkpoints import load_checkpoint, save_checkpoint
from crossnorm.training.checkpoint.file_format import read_newest, remove_state
from crossnorm.training.loop.batches import steps_per_epoch
from crossnorm.training.loop.cohort import augmentation_of, check_mixing, train_cohort
from crossnorm.training.loop.run_state import Member
from crossnorm.training.recipe.recipes import Recipe
from crossnorm.training.recipe.schedules import AlphaSchedule
from crossnorm.training.runtime.distributed import ALONE, World, check_parts

__all__ = ["SingleRun", "run_single"]

Stepped = Callable[[int], None]


@dataclass(frozen=True, kw_only=True)
class SingleRun:
    """What one run is.

    Attributes:
        model: Keywords of `create_model`; what is missing is the task's. Or ``{"from": …}``: a pretrained model.
        recipe: How it is trained.
        seed: Addresses weights, order, augmentation and dropout.
        variant: With its dose; None for plain attention.
        schedule: How the dose rises to the variant's; None: constant.
        learnable: What has one learned dose; None: the dose is given.
        weights: A checkpoint to start from, in place of weights drawn from the seed.
    """

    model: Mapping[str, Any] = field(default_factory=dict)
    recipe: Recipe
    seed: int = 0
    variant: Variant | None = None
    schedule: AlphaSchedule | None = None
    learnable: Learnable | None = None
    weights: Path | None = None

    @property
    def arm(self) -> Arm:
        """The run as the only arm of a study."""
        return Arm(
            name="run", recipe=self.recipe, variant=self.variant, schedule=self.schedule, learnable=self.learnable
        )

    def steps(self, task: Task) -> int:
        """Optimisation steps of the whole run."""
        return steps_per_epoch(task.train, self.recipe.batch_size) * self.recipe.epochs

    def describe(self, task: Task) -> dict[str, Any]:
        """As run.json says it: every keyword and field written out, the data by their digest."""
        described = {
            "task": task.name,
            "data_digest": task.digest,
            "model": model_keywords(self.model, task),
            "recipe": self.recipe.model_dump(),
            "seed": self.seed,
            "variant": None if self.variant is None else asdict(self.variant),
            **({} if self.schedule is None else {"alpha_schedule": asdict(self.schedule)}),
            **({} if self.learnable is None else {"learnable_alpha": self.learnable}),
            "weights": None if self.weights is None else str(self.weights),
        }
        plain: dict[str, Any] = json.loads(json.dumps(described))
        return plain


def run_single(
    run: SingleRun,
    task: Task,
    folder: Path,
    *,
    device: torch.device,
    world: World = ALONE,
    stepped: Stepped = lambda steps: None,
    noted: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """Train the run to its end, from where its folder says it stood; a finished one is not trained again.

    Args:
        run: What to train.
        task: On what.
        folder: Where it is kept; made if missing.
        device: Where it is computed.
        world: The processes that share it; the first one writes.
        stepped: Called with the number of steps that were made, those before a resume included.
        noted: Told of a damaged checkpoint that was passed over.

    Returns:
        ``{"status": …, "reason": …, "metrics": the last line of the learning curve}``.

    Raises:
        BadInput: Settings that do not fit, or a folder that holds another run.
    """
    augmentation_of(task, run.recipe)
    check_mixing(task, run.recipe)
    _open(folder, run.describe(task), world)
    outcome = store.read_outcome(folder)
    if outcome is not None and outcome["status"] in store.FINISHED:
        stepped(run.steps(task))
        return outcome
    member = _start(run, task, folder, device, world, noted)
    world.wait()  # nobody writes before everybody has read
    if world.first:
        store.rewind_rows(folder, member.step or None)
    stepped(member.step)
    keeper = _Keeper(run, task, folder, world, stepped)
    train_cohort([member], task, seed=run.seed, device=device, observer=keeper, world=world)
    return keeper.outcome(member)


def _open(folder: Path, wanted: dict[str, Any], world: World) -> None:
    held = read_json(folder / "run.json") if folder.exists() else None
    world.wait()  # nobody writes before everybody has read
    if held is None:
        if folder.exists() and any(not path.name.startswith(".") for path in folder.iterdir()):
            raise BadInput(str(folder), "an empty folder or one with a run", "other files and no readable run.json")
        world.wait()
        if world.first:
            folder.mkdir(parents=True, exist_ok=True)
            write_json(folder / "run.json", wanted)
    elif held != wanted:
        hint = "Give another --out for a run of its own."
        differ = differences(held if isinstance(held, dict) else {}, wanted)
        raise BadInput(str(folder), "the run that the folder holds", "another: " + "; ".join(differ), hint)


def _start(
    run: SingleRun, task: Task, folder: Path, device: torch.device, world: World, noted: Callable[[str], None]
) -> Member:
    member = build_member(run.arm, run.model, task, run.seed, device, run.weights)
    check_parts(member.model, run.recipe, world, len(task.train))
    checkpoint = store.checkpoint_of(folder)
    state = read_newest(checkpoint, noted)
    if state is not None:
        load_checkpoint(member, state, str(checkpoint))
    return member


class _Keeper:
    """The observer of a single run: every evaluation is on disk before training goes on."""

    def __init__(self, run: SingleRun, task: Task, folder: Path, world: World, stepped: Stepped) -> None:
        self.run, self.task = run, task
        self.folder, self.world, self._stepped = folder, world, stepped
        self.row: dict[str, float | int | None] = (store.read_rows(folder) or [{}])[-1]

    def evaluated(self, member: Member, row: dict[str, float | int | None]) -> None:
        self.row = row
        if not self.world.first:
            return
        store.append_row(self.folder, row)
        if member.step and None not in (row["train_loss"], row["test_loss"]):
            save_checkpoint(member, store.checkpoint_of(self.folder))

    def failed(self, member: Member) -> None:
        """Nothing yet: `outcome` records it."""

    def stepped(self, members: int) -> None:
        self._stepped(members)

    def outcome(self, member: Member) -> dict[str, Any]:
        """Write what became of the run, and give it back."""
        status, _, reason = (member.failure or "complete").partition(": ")
        outcome = {"status": status, "reason": reason or None, "metrics": self.row}
        if self.world.first:
            if member.failure is None:
                kept = keep_model(*member.evaluated, self.run.model, self.task, self.folder)
                outcome["model"] = kept.name
            write_atomically(self.folder / "result.json", json.dumps(outcome, indent=2) + "\n")
            if status in store.FINISHED:
                remove_state(store.checkpoint_of(self.folder))
        return outcome

"""Compare recipes: ablations of `quick`, and the images that `quick` and `paper` need to 80 % on CIFAR-10.

    python benchmarks/recipe.py choose quick+lr=0.004 muon --data ZIP --work DIR [--base quick] [--epochs 5]
    python benchmarks/recipe.py race --data ZIP --work DIR [--quick epochs=7] [--device cuda --workers 15]

Model: CCT-2/3x2, plain and with `convex` α = ½ at attention. `choose` validates on the last 5000 training images of the
fixed balanced order, which are held out, and never uses the test set. A candidate is "quick" or one of its earlier
versions ("adamw", "muon", "filters"), with changed fields; the others are compared with --base. `race` trains on all
50 000 images and tests after every epoch. A run ends when it reaches the target; a run of `paper` also ends when it has
seen more images than another length of `paper` needed with the same seed, or three times as many as `quick` needed.

Every run has a folder below DIR and resumes from its last epoch. --known FILE takes finished runs from a published
table or race.json; --data must then be the images of those runs, which the file does not name. --workers 0 only prints
the table of existing runs. --out FOLDER writes the table and the curves.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from crossnorm.data import Split, Task, load_task
from crossnorm.errors import BadInput
from crossnorm.functional import Variant
from crossnorm.stats.inference.intervals import interval_of_mean
from crossnorm.study.spec.arms import Arm
from crossnorm.study.spec.plan import Run
from crossnorm.study.storage.environment import describe_environment
from crossnorm.study.storage.run_folder import RunFolder
from crossnorm.study.workload.build_model import build_member
from crossnorm.training.checkpoint.checkpoints import load_checkpoint, save_checkpoint
from crossnorm.training.loop.cohort import train_cohort
from crossnorm.training.loop.outcome import Outcome, RunStatus
from crossnorm.training.loop.run_state import Member
from crossnorm.training.recipe.recipes import Recipe, make_recipe
from crossnorm.training.runtime.devices import pick_device
from crossnorm.training.runtime.process_memory import hold_memory

HELD_OUT = 5000
DOSES = (0.0, 0.5)
NAMED: dict[str, dict[str, object]] = {
    "quick": {},
    "adamw": {"optimizer": "adamw", "lr": 2e-3, "warmup_epochs": 1.0, "weight_decay": 3e-2},
    "muon": {"optimizer": "muon", "lr": 8e-3, "warmup_epochs": 1.0, "weight_decay": 3e-2},
    "filters": {"optimizer": "muon-filters", "lr": 8e-3, "warmup_epochs": 1.0, "weight_decay": 3e-2},
}
"""`quick` and its earlier versions, as changes of `quick`."""
PAPER_EPOCHS = (40, 60, 20, 200)  # the likeliest winner first: the others then stop early
FACTOR = 3  # how many times the images of `quick` answer the question


def read_rows(folder: Path) -> list[dict[str, Any]]:
    return own_folder(folder).read().rows


def own_folder(folder: Path) -> RunFolder:
    return RunFolder(folder, Run("run", 0))


@dataclass(frozen=True, kw_only=True)
class Job:
    """One run.

    Attributes:
        folder: Of the run.
        recipe: Of the run.
        seed: Of the run.
        alpha: Dose of `convex` at attention.
        data: The images, a zip or folder of train/CLASS/* and test/CLASS/*; None: torchvision downloads them.
        train_examples: Number of training images; the last `HELD_OUT` then replace the test set. None: all, with the
            test set.
        target: Accuracy at which the run ends.
        device: To train on.
        rivals: Folders of other runs with factors: the run ends when it has seen as many images as the best of them
            needed, times its factor.
    """

    folder: Path
    recipe: Recipe
    seed: int
    alpha: float
    data: Path | None
    train_examples: int | None = None
    target: float = math.inf
    device: str = "cpu"
    rivals: tuple[tuple[Path, int], ...] = ()

    def finished(self) -> bool:
        """Whether the run completed all epochs or diverged."""
        rows = read_rows(self.folder)
        return own_folder(self.folder).finished or bool(rows and rows[-1]["epoch"] >= self.recipe.epochs)

    def settled(self) -> bool:
        """Whether further training would not change the comparison."""
        rows = read_rows(self.folder)
        if self.finished() or needed(rows, self.target) is not None:
            return True
        bounds = [(needed(read_rows(rival), self.target), factor) for rival, factor in self.rivals]
        least = min((factor * images for images, factor in bounds if images is not None), default=math.inf)
        return bool(rows) and rows[-1]["images"] >= least


class Settled(Exception):
    """Ends a run between two epochs."""


def needed(rows: Sequence[dict], target: float) -> int | None:
    """Images at the first evaluation whose accuracy is at least the target."""
    return next((row["images"] for row in rows if (row["test_accuracy"] or 0.0) >= target), None)


@cache
def images(data: Path | None, train_examples: int | None) -> Task:
    task = load_task("cifar10", data=data)
    if train_examples is None:
        return task
    kept = len(task.train) - HELD_OUT
    if train_examples > kept:
        raise SystemExit(f"--train-examples: at most {kept}, the others are held out")
    # Every slice of the stored order is balanced over the classes.
    held_out = Split(inputs=task.train.inputs[kept:], targets=task.train.targets[kept:])
    digest = f"{task.digest}, the last {HELD_OUT} of {len(task.train)} held out, {train_examples} trained on"
    return replace(task, train=task.train.head(train_examples), test=held_out, digest=digest)


class Recorder:
    """Stores every evaluation and a checkpoint; ends the run at the first step after it is settled."""

    def __init__(self, job: Job, own: RunFolder, seal: object) -> None:
        self.job, self.own, self.asks = job, own, seal is not None
        own.rewind(seal)

    def evaluated(self, member: Member, row: dict[str, float | int | None]) -> None:
        self.own.append(row)
        if row["epoch"] == self.job.recipe.epochs:
            self.own.finish(Outcome(RunStatus.COMPLETE), {})
        elif member.step and None not in (row["train_loss"], row["test_loss"]):
            save_checkpoint(member, self.own.checkpoint, self.own.checkpoint_seal)
        self.asks = True

    def failed(self, member: Member) -> None:
        self.own.finish(member.failure, {})

    def stepped(self, members: int) -> None:
        if self.asks and self.job.settled():
            raise Settled
        self.asks = False


def train(job: Job) -> Job:
    """Train until the run is settled, in this process with one thread."""
    torch.set_num_threads(1)
    hold_memory()
    task, device = images(job.data, job.train_examples), pick_device(job.device)
    variant = Variant(name="convex", alpha=job.alpha) if job.alpha else None
    arm = Arm(name="run", recipe=job.recipe, variant=variant)
    member = build_member(arm, {"name": "cct_2_3x2_32"}, task, job.seed, device)
    own = own_folder(job.folder)
    state = own.read_checkpoint(print)
    seal = None if state is None else state.about["curve"]
    if state is not None:
        load_checkpoint(member, state, str(own.checkpoint))
    before, now = read_environment(job), describe_environment()
    if {key: value for key, value in before.items() if key != "before"} != now:
        note_environment(job, {**now, "before": before} if before else now)
    with suppress(Settled):
        train_cohort([member], task, seed=job.seed, device=device, observer=Recorder(job, own, seal))
    return job


def note_environment(job: Job, environment: Mapping[str, object]) -> None:
    """Write the environment of a run to a file beside its folder."""
    target = environment_file(job)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(environment))


def read_environment(job: Job) -> dict[str, object]:
    """The environment written by `note_environment`; empty if there is none."""
    file = environment_file(job)
    return json.loads(file.read_text()) if file.exists() else {}


def environment_file(job: Job) -> Path:
    return job.folder.with_name(f"{job.folder.name}-environment.json")


def run_jobs(jobs: Sequence[Job], workers: int) -> None:
    todo = [job for job in jobs if not job.settled()]
    if workers == 0 or not todo:
        return
    images(todo[0].data, todo[0].train_examples)  # decoded once, before the workers start
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        for job in pool.map(train, todo):
            last = read_rows(job.folder)[-1]
            print(f"{job.folder}: {last['images']} images, {last['test_accuracy']:.2%}", flush=True)


def identity(job: Job) -> dict[str, object]:
    """What makes a published run the one that a job wants, of what the files tell: not the images, nor the device."""
    return {"recipe_fields": job.recipe.model_dump(), "train_examples": job.train_examples}


def restore(known: Path | None, jobs: dict[tuple[str, float, int], Job]) -> None:
    """Give published runs of the same recipe and images their curves in the folders of their jobs.

    Only where there is nothing yet, and only those that need no more training here: the others have no checkpoint to go
    on from.
    """
    restored, published = [], [] if known is None else json.loads(known.read_text(encoding="utf-8"))["runs"]
    for run in published:
        job = jobs.get((run["name"], run["alpha"], run["seed"]))
        if job is None or read_rows(job.folder) or any(run[key] != value for key, value in identity(job).items()):
            continue
        columns = run["curve"]
        rows = [dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True)]
        own = own_folder(job.folder)
        own.path.mkdir(parents=True, exist_ok=True)
        own.curve.write_text("".join(json.dumps(row) + "\n" for row in rows))
        note_environment(job, run.get("environment", {}))
        restored.append(job)
    for job in [job for job in restored if not job.settled()]:
        shutil.rmtree(job.folder)
    if known is not None:
        kept = sum(job.settled() for job in restored)
        print(f"{kept} of the {len(published)} runs in {known} are taken from it", file=sys.stderr)


def publish(name: str, job: Job) -> dict[str, object]:
    """A run as the published files have it."""
    rows = read_rows(job.folder)
    about = {"name": name, "alpha": job.alpha, "seed": job.seed, **identity(job)}
    about |= {"environment": read_environment(job)}
    return about | {"needed": needed(rows, job.target), "settled": job.settled(), "curve": curve(rows)}


# choose


def recipe_of(candidate: str, epochs: int) -> Recipe:
    """The recipe of a candidate: one that is `NAMED`, and the fields changed beside it, as in ``muon+lr=0.004``."""
    name, *fields = candidate.split("+")
    if name not in NAMED:
        raise SystemExit(f"{candidate}: expected one of {', '.join(NAMED)} before the first +")
    changed = {key: yaml.safe_load(value) for key, _, value in (field.partition("=") for field in fields)}
    return make_recipe("quick", **({"epochs": epochs} | NAMED[name] | changed))


def choice_name(given: argparse.Namespace) -> str:
    return f"choose-{given.train_examples}x{given.epochs}-beside-{given.base}"


def choose_jobs(given: argparse.Namespace) -> Iterator[tuple[str, Job]]:
    """Seed by seed and dose by dose, so that every candidate is seen once before any is seen twice."""
    root = given.work / f"{given.train_examples}x{given.epochs}"
    for seed in range(given.seeds):
        for alpha in DOSES:
            for name in dict.fromkeys((given.base, *given.candidates)):
                recipe = recipe_of(name, given.epochs)
                folder = root / name / f"{alpha:g}" / str(seed)
                yield (
                    name,
                    Job(
                        folder=folder,
                        recipe=recipe,
                        seed=seed,
                        alpha=alpha,
                        data=given.data,
                        train_examples=given.train_examples,
                        device=given.device,
                    ),
                )


def choose(given: argparse.Namespace) -> dict[str, object]:
    jobs = list(choose_jobs(given))
    restore(given.known, {(name, job.alpha, job.seed): job for name, job in jobs})
    run_jobs([job for _, job in jobs], given.workers)
    done = {(name, job.alpha, job.seed): read_rows(job.folder) for name, job in jobs if job.finished()}
    print("| candidate | α | n | held-out loss | difference | accuracy, % | difference | images to base's last loss |")
    print("|---|---|---|---|---|---|---|---|")
    for name in dict(jobs):
        for alpha in DOSES:
            seeds = [s for n, a, s in done if (n, a) == (name, alpha) and (given.base, alpha, s) in done]
            if seeds:
                own, base = ([done[each, alpha, seed] for seed in seeds] for each in (name, given.base))
                print(choice_line(name, alpha, own, None if name == given.base else base))
    about = {"epochs": given.epochs, "held_out": HELD_OUT}
    return about | {"runs": [publish(name, job) for name, job in jobs if job.finished()]}


def choice_line(name: str, alpha: float, own: Sequence[list[dict]], base: Sequence[list[dict]] | None) -> str:
    """Means over the seeds that the candidate and the base both have, and paired differences with 95 % intervals.

    `base` is None for the base itself.
    """
    cells = [name, f"{alpha:g}", str(len(own))]
    for metric, scale, digits in (("test_loss", 1, 3), ("test_accuracy", 100, 1)):
        ours, theirs = (scale * np.array([rows[-1][metric] for rows in runs], float) for runs in (own, base or own))
        cells += [f"{ours.mean():.{digits}f}", "–" if base is None else difference(ours - theirs, digits + 1)]
    base = base or own
    shares = [images_to_loss(rows, other[-1]["test_loss"]) for rows, other in zip(own, base, strict=True)]
    reached = [share for share in shares if share is not None]
    cells.append("not reached" if len(reached) < len(shares) else f"{np.mean(reached) / base[0][-1]['images']:.0%}")
    return f"| {' | '.join(cells)} |"


def difference(values: np.ndarray, digits: int) -> str:
    """Mean ± half the 95 % t-interval; the mean alone of fewer than three pairs."""
    found = interval_of_mean(values, 0.05)
    assert found.mean is not None
    mean = f"{found.mean:+.{digits}f}"
    return mean if found.high is None else f"{mean} ± {found.high - found.mean:.{digits}f}"


def images_to_loss(rows: Sequence[dict], target: float) -> float | None:
    """Images at which the line through the evaluations first meets the loss; None: never."""
    curve = [(row["images"], row["test_loss"]) for row in rows if row["test_loss"] is not None]
    for (start, before), (end, after) in pairwise(curve):
        if after <= target:
            return start + (before - target) / (before - after) * (end - start)
    return None


# race


def race_jobs(given: argparse.Namespace) -> Iterator[tuple[str, Job]]:
    changes = dict(change.split("=", 1) for change in given.quick)
    quick = make_recipe("quick", **{key: yaml.safe_load(value) for key, value in changes.items()})
    label = "-".join(["quick", *given.quick])
    for seed in range(given.seeds):
        papers = {f"paper-{epochs}": make_recipe("paper", epochs=epochs) for epochs in PAPER_EPOCHS}
        folders = {name: given.work / "race" / name / str(seed) for name in (label, *papers)}
        for name, recipe in {label: quick, **papers}.items():
            rivals = (*((folders[other], 1) for other in papers if other != name), (folders[label], FACTOR))
            yield (
                name,
                Job(
                    folder=folders[name],
                    recipe=recipe,
                    seed=seed,
                    alpha=0.0,
                    data=given.data,
                    target=given.target,
                    device=given.device,
                    rivals=rivals if name in papers else (),
                ),
            )


def race(given: argparse.Namespace) -> dict[str, object]:
    jobs = list(race_jobs(given))
    restore(given.known, {(name, job.alpha, job.seed): job for name, job in jobs})
    run_jobs([job for _, job in jobs], given.workers)
    print(f"| recipe | {' | '.join(f'seed {seed}' for seed in range(given.seeds))} |")
    print("|---|" + "---|" * given.seeds)
    for name in dict(jobs):
        print(f"| {name} | {' | '.join(outcome(job) for other, job in jobs if other == name)} |")
    bounds = [images_needed([job for _, job in jobs if job.seed == seed]) for seed in range(given.seeds)]
    known = [bound for bound in bounds if bound is not None]
    if len(known) == len(bounds):
        quick, paper = (np.mean(images) for images in zip(*known, strict=True))
        print(f"\nquick {quick:.0f} images, paper at least {paper:.0f}: at most {quick / paper:.3f} of them")
    runs = [publish(name, job) for name, job in jobs if read_rows(job.folder)]
    return {"target": given.target, "quick": given.quick, "runs": runs}


def outcome(job: Job) -> str:
    """Images to the target, or what is known where it was not reached."""
    rows = read_rows(job.folder)
    found = needed(rows, job.target)
    if found is not None:
        return str(found)
    if not job.settled():
        return "not finished"
    if not job.finished():
        return f"more than {rows[-1]['images']}"
    return "never" if rows[-1]["epoch"] == job.recipe.epochs else "diverged"


def images_needed(jobs: Sequence[Job]) -> tuple[int, int] | None:
    """Images that `quick` needed with a seed, and the least that `paper` can have needed; None while that is not known.

    A length of `paper` that was given up would have needed more than it had seen; one that never got there is no rival.
    """
    found = [(job, needed(rows, job.target), rows) for job in jobs if (rows := read_rows(job.folder))]
    quick = [images for job, images, _ in found if not job.rivals and images is not None]
    rivals = [(images, rows) for job, images, rows in found if job.rivals and (images or not job.finished())]
    papers = [images or rows[-1]["images"] for images, rows in rivals]
    return (quick[0], min(papers)) if quick and papers and all(job.settled() for job in jobs) else None


def curve(rows: Sequence[dict]) -> dict[str, list[float]]:
    """A learning curve by columns."""
    kept = ("step", "epoch", "images", "train_loss", "test_loss", "test_accuracy", "seconds")
    return {key: [row[key] for row in rows] for key in kept}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parts = parser.add_subparsers(dest="part", required=True)
    functions: dict[str, Callable[[argparse.Namespace], dict[str, object]]] = {"choose": choose, "race": race}
    for name in functions:
        part = parts.add_parser(name)
        part.add_argument("--data", type=Path, help="zip or folder of the images; default: downloaded")
        part.add_argument("--work", type=Path, required=True)
        part.add_argument("--device", default="cpu", choices=("auto", "cpu", "cuda", "mps"))
        part.add_argument("--workers", type=int, default=2)
        part.add_argument("--seeds", type=int, default=3)
        part.add_argument("--out", type=Path)
        part.add_argument("--known", type=Path, help="published runs, which are not run again")
    parts.choices["choose"].add_argument("--train-examples", type=int, default=45_000)
    parts.choices["choose"].add_argument("--epochs", type=int, default=5)
    parts.choices["choose"].add_argument("--base", default="quick")
    parts.choices["choose"].add_argument("candidates", nargs="+", metavar="NAME+FIELD=VALUE+…")
    parts.choices["race"].add_argument("--quick", action="append", default=[])
    parts.choices["race"].add_argument("--target", type=float, default=0.8)
    given = parser.parse_args()
    try:
        found = functions[given.part](given)
    except (BadInput, OSError) as error:
        raise SystemExit(f"{parser.prog}: {error}") from None
    name = "race" if given.part == "race" else choice_name(given)
    if given.out is not None:
        given.out.mkdir(parents=True, exist_ok=True)
        (given.out / f"{name}.json").write_text(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()

"""Compare training in bf16 autocast with training in float32.

    python benchmarks/precision.py --data ZIP [--steps 50] [--seeds 6] [--work precision] [--out results/precision]

First the losses of both at the first steps, with equal random numbers. Then a study (it can be interrupted) of the
test accuracy after 3 epochs on 20 000 images of CIFAR-10: the 90 % interval of the paired difference, with a margin of
one percentage point.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import torch

import crossnorm
from crossnorm.data import Task, load_task
from crossnorm.data.batches import steps_per_epoch, train_batch
from crossnorm.rng import addressed
from crossnorm.study.storage.environment import describe_environment
from crossnorm.training.loop.run_state import Member, make_member
from crossnorm.training.recipe.recipes import make_recipe
from crossnorm.training.runtime.devices import pick_device
from crossnorm.training.runtime.process_memory import hold_memory

MODEL = "cct_2_3x2_32"


def member(precision: str, recipe: str, seed: int, variant: str | None) -> Member:
    """A member of a seed that trains in this precision."""
    mixed = None if variant is None else crossnorm.Variant(name=variant, alpha=0.5)
    with addressed(seed, "init"):
        model = crossnorm.create_model(MODEL, variant=mixed)
    return make_member(precision, model, make_recipe(recipe, precision=precision), torch.device("cpu"))


def first_losses(task: Task, recipe: str, steps: int, seed: int, variant: str | None) -> list[tuple[float, float]]:
    """(bf16, fp32) training loss of each step, with equal batches and random numbers."""
    both = [member(precision, recipe, seed, variant) for precision in ("bf16", "fp32")]
    settings, per_epoch = both[0].recipe, steps_per_epoch(task.train, both[0].recipe.batch_size)
    losses = []
    for step in range(steps):
        policy = task.augmentation if settings.augmentation == "task" else settings.augmentation
        inputs, targets = train_batch(
            task, step, seed=seed, batch_size=settings.batch_size, augmentation=policy, device=torch.device("cpu")
        )
        for one in both:
            total = per_epoch * settings.epochs
            one.train_step(inputs, targets, seed=seed, total_steps=total, steps_per_epoch=per_epoch)
        losses.append((both[0].take_train_loss() or 0.0, both[1].take_train_loss() or 0.0))
    return losses


def compared(task: Task, steps: int) -> list[dict[str, object]]:
    """The largest difference of the losses, for two recipes, without and with a variant, and three seeds."""
    rows: list[dict[str, object]] = []
    for recipe in ("quick", "paper"):
        for variant in (None, "convex"):
            for seed in range(3):
                losses = first_losses(task, recipe, steps, seed, variant)
                largest = max(abs(fast - plain) for fast, plain in losses)
                rows.append({"recipe": recipe, "variant": variant, "seed": seed, "largest_difference": largest})
                print(f"{recipe}, {variant or 'baseline'}, seed {seed}: at most {largest:.4f} apart", flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--seeds", type=int, default=6)
    parser.add_argument("--work", type=Path, default=Path("precision"))
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    if pick_device("cpu").type != "cpu" or not torch.cpu._is_avx512_bf16_supported():
        sys.exit("This processor has no native bf16: both precisions would be float32.")
    torch.set_num_threads(1)
    hold_memory()
    task = load_task("cifar10", data=given.data, train_examples=20_000)
    found: dict[str, object] = {"steps": given.steps, "losses": compared(task, given.steps)}
    study = crossnorm.Study(
        name="precision",
        task="cifar10",
        data=str(given.data.resolve()),
        train_examples=20_000,
        model={"name": MODEL},
        variants=[],
        arms=[{"name": "fp32", "precision": "fp32"}],
        seeds=given.seeds,
        epochs=3,
        metric="test_accuracy",
        direction="higher",
        margin=0.01,
        confidence=0.9,
    )
    result = study.run(given.work)
    found["accuracy"] = {
        row.arm: {"n": row.n, "difference": row.difference, "low": row.low, "high": row.high, "verdict": row.verdict}
        for row in result.verdict.arms
    }
    found["environment"] = describe_environment()
    text = json.dumps(found, indent=2) + "\n"
    print(text, end="")
    if given.out is not None:
        given.out.mkdir(parents=True, exist_ok=True)
        (given.out / "precision.json").write_text(text)


if __name__ == "__main__":
    main()

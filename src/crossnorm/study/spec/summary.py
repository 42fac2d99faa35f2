"""A study in a paragraph: its model and task, and what its variants do with V."""

from __future__ import annotations

from pathlib import Path

from crossnorm.functional import VARIANTS
from crossnorm.study.spec.plan import Plan
from crossnorm.training.recipe.recipes import RECIPES, Recipe

__all__ = ["describe", "model_of", "scope_of", "subject_of", "training_of"]

_SYMBOLS = ("S(V): the softmax of V over the tokens", "N: the number of tokens", "A: the attention weights")


def model_of(plan: Plan) -> str:
    """``cct_2_3x2_32 on mnist1d``, ``my_module:train``, or ``my_module:train on digits``."""
    spec = plan.spec
    if spec.function is not None:
        return spec.function if spec.task is None else f"{spec.function} on {spec.task}"
    source = Path(str(spec.model.get("from", "a model"))).name  # without its path: a verdict names no place
    return f"{spec.model.get('name', source)} on {spec.task}"


def scope_of(plan: Plan) -> str:
    """``cct_2_3x2_32 on mnist1d, recipe quick (muon-filters at 0.008, 10 epochs)``; of the study's fields alone."""
    recipe, limit = plan.arms[0].recipe, plan.spec.train_examples
    if recipe is None:
        return model_of(plan)
    examples = "" if limit is None else f" with {limit} training examples"
    return f"{model_of(plan)}{examples}, recipe {recipe.name} ({_optimization(recipe)})"


def subject_of(plan: Plan, seeds: int | None = None) -> str:
    """``cct_2_3x2_32 on mnist1d, 6 seeds``; before an open-ended study ``6 to 12 seeds``.

    Args:
        plan: The plan.
        seeds: The number of seeds that were trained; None: before training.
    """
    least = len(plan.spec.seeds) if seeds is None else seeds
    most = len(plan.seeds) if seeds is None else seeds
    count = f"{most}" if least == most else f"{least} to {most}"
    return f"{model_of(plan)}, {count} {'seed' if most == 1 else 'seeds'}"


def training_of(recipe: Recipe) -> str:
    """``recipe quick (muon-filters at 0.008, 10 epochs)``, or ``recipe quick, changed (adamw at 0.005, 10 epochs)``."""
    named = RECIPES.get(recipe.name)
    as_named = named is not None and recipe == named.model_copy(update={"epochs": recipe.epochs})
    return f"recipe {recipe.name}{'' if as_named else ', changed'} ({_optimization(recipe)})"


def _optimization(recipe: Recipe) -> str:
    epochs = "1 epoch" if recipe.epochs == 1 else f"{recipe.epochs} epochs"
    return f"{recipe.optimizer} at {recipe.lr:g}, {epochs}"


def describe(plan: Plan, seeds: int | None = None) -> str:
    """``cct_2_3x2_32 on mnist1d, 6 seeds. convex: V becomes (1−α) V + α S(V): …`` with the symbols it uses.

    Arguments as in `subject_of`.
    """
    names = dict.fromkeys(arm.variant.name for arm in plan.arms if arm.variant is not None)
    parts = [subject_of(plan, seeds)] + [f"{name}: {VARIANTS[name].summary}" for name in names if name in VARIANTS]
    symbols = [part for part in _SYMBOLS if any(part.partition(":")[0] in p for p in parts[1:])]
    return ". ".join(parts + ["; ".join(symbols)] * bool(symbols)) + "."

"""A study in a paragraph: its model and task, and what its variants do with V."""

from __future__ import annotations

from crossnorm.functional import VARIANTS
from crossnorm.study.spec.plan import Plan
from crossnorm.training.recipe.recipes import RECIPES, Recipe

__all__ = ["describe", "model_of", "subject_of", "training_of"]

_SYMBOLS = ("S(V): the softmax of V over the tokens", "N: the number of tokens", "A: the attention weights")


def model_of(plan: Plan) -> str:
    """``cct_2_3x2_32 on mnist1d``, or ``my_module:train``."""
    spec = plan.spec
    return spec.function or f"{spec.model.get('name', spec.model.get('from', 'a model'))} on {spec.task}"


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
    epochs = "1 epoch" if recipe.epochs == 1 else f"{recipe.epochs} epochs"
    return f"recipe {recipe.name}{'' if as_named else ', changed'} ({recipe.optimizer} at {recipe.lr:g}, {epochs})"


def describe(plan: Plan, seeds: int | None = None) -> str:
    """``cct_2_3x2_32 on mnist1d, 6 seeds. convex: V becomes (1-α) V + α S(V): …`` with the symbols it uses.

    Arguments as in `subject_of`.
    """
    names = dict.fromkeys(arm.variant.name for arm in plan.arms if arm.variant is not None)
    parts = [subject_of(plan, seeds)] + [f"{name}: {VARIANTS[name].summary}" for name in names if name in VARIANTS]
    symbols = [part for part in _SYMBOLS if any(part.partition(":")[0] in p for p in parts[1:])]
    return ". ".join(parts + ["; ".join(symbols)] * bool(symbols)) + "."

"""Compile a study: write out every setting, and check the arms against the data and their models."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from crossnorm.data import Task, load_task
from crossnorm.errors import BadInput
from crossnorm.functional.user_variants import check_allowed
from crossnorm.study.spec.arms import study_recipe
from crossnorm.study.spec.plan import Arm, Plan, make_plan
from crossnorm.study.spec.schema import StudySpec
from crossnorm.study.workload.build_model import build_model, model_keywords
from crossnorm.study.workload.pretrained import encoder_for
from crossnorm.study.workload.variant_trial import Shapes, try_variant, value_shapes
from crossnorm.training.loop.cohort import augmentation_of, check_mixing
from crossnorm.training.optim.build_optimizer import make_optimizer
from crossnorm.training.runtime.distributed import check_parts

__all__ = ["check_own", "load_study_task", "resolve"]


def load_study_task(spec: StudySpec, progress: Callable[[int, int], None] | None = None) -> Task:
    """The study's task; texts are encoded by the tokenizer of the study's pretrained model, if it has one.

    Raises:
        BadInput: See `encoder_for` and `load_task`.
    """
    assert spec.task is not None
    data = Path(spec.data) if spec.data else None
    encoder = encoder_for(spec.model)
    return load_task(spec.task, data=data, train_examples=spec.train_examples, encoder=encoder, progress=progress)


def resolve(spec: StudySpec, task: Task, imports: Sequence[str] = ()) -> Plan:
    """The plan of a study of a task, with every recipe field and model keyword written out.

    Builds the model of every arm once, so that an error shows before training.

    Args:
        spec: The study.
        task: Its task.
        imports: Modules whose functions may act as variants.

    Raises:
        BadInput: An error of `make_plan`, or a model, site, augmentation or optimizer that does not fit.
    """
    recipe = study_recipe(spec)
    assert recipe is not None
    keywords = model_keywords(spec.model, task)
    settings = {
        "model": {key: list(value) if isinstance(value, tuple) else value for key, value in keywords.items()},
        "recipe": recipe.model_dump(exclude={"epochs"}),
        "epochs": recipe.epochs,
    }
    plan = make_plan(spec.model_copy(update=settings))
    own = any(arm.variant is not None and ":" in arm.variant.name for arm in plan.arms)
    shapes: Shapes = {}
    model, built = None, None
    for arm in plan.arms:
        check_own(arm, imports, task.kind, shapes)
        augmentation_of(task, arm.training)
        check_mixing(task, arm.training)
        try:
            like = _architecture(arm)
            if model is None or like != built:  # arms often differ in α or in the recipe only
                model, built = build_model(arm, plan.spec.model, task, plan.seeds[0]), like
            check_parts(model, arm.training, examples=len(task.train))
            make_optimizer(model, arm.training, torch.device("cpu"))
        except BadInput as error:
            raise error.within(f"arm {arm.name}") from None
        if own and not shapes:
            shapes = value_shapes(model, task)  # of the baseline, which is the first arm
    return plan


def _architecture(arm: Arm) -> tuple[object, ...]:
    """What decides whether the arm's model can be built: everything but α and the recipe."""
    variant = None if arm.variant is None else replace(arm.variant, alpha=1.0)
    return variant, arm.learnable, arm.model


def check_own(arm: Arm, imports: Sequence[str], kind: str = "image", shapes: Shapes | None = None) -> None:
    """Check that an arm's variant is built in, or a sound function of a module that the user allows.

    Args:
        arm: The arm.
        imports: Modules that the user allows to be imported.
        kind: The kind of the task.
        shapes: See `try_variant`.

    Raises:
        BadInput: The module is not allowed, or has no such function, or an error of `try_variant`.
    """
    if arm.variant is None or ":" not in arm.variant.name:
        return
    check_allowed(arm.variant.name, imports, f"arm {arm.name}")
    try:
        try_variant(arm.variant, kind, shapes)
    except BadInput as error:
        raise error.within(f"arm {arm.name}") from None

"""The arms of a study: named sets of settings, made and checked from the fields of the study."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from crossnorm.errors import BadInput, unknown_name
from crossnorm.functional import Variant
from crossnorm.stats import MOST_ARMS, is_circular
from crossnorm.study.spec.arm_schema import ArmSpec, ScheduleSpec, VariantSpec
from crossnorm.study.spec.schema import StudySpec
from crossnorm.training.recipe.recipes import ALPHA_LR, Recipe, default_recipe, make_recipe
from crossnorm.training.recipe.schedules import AlphaSchedule

__all__ = ["Arm", "Learnable", "arms_of", "study_recipe"]

Learnable = Literal["model", "layer", "head"]
"""Where one α is learned: in the whole model, per layer or per head."""


@dataclass(frozen=True, kw_only=True)
class Arm:
    """A named set of settings.

    Attributes:
        name: Unique in the study; the first arm is "baseline".
        recipe: The recipe with the arm's changes; None where a function trains.
        variant: The variant with its α; None: plain attention.
        dose: α, or the arm's field `dose`; None: the arm has no dose.
        control: Name of its control; None: the baseline.
        schedule: How α rises; None: constant.
        learnable: Where α is learned; None: α is given.
        alpha_lr: Peak learning rate of a learned α.
        family: Label of the variant whose trend includes the arm; None: it is in no trend.
        nuisance: Number of its own dropout stream; 0: the seed's stream.
        seed_offset: Added to the seed; 0: the arm is paired.
        model: Fields of the study's model that the arm changes; with `name`, another model.
        settings: The settings that a training function gets.
    """

    name: str
    recipe: Recipe | None
    variant: Variant | None = None
    dose: float | None = None
    control: str | None = None
    schedule: AlphaSchedule | None = None
    learnable: Learnable | None = None
    alpha_lr: float = ALPHA_LR
    family: str | None = None
    nuisance: int = 0
    seed_offset: int = 0
    model: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def training(self) -> Recipe:
        """The recipe of an arm of a task."""
        assert self.recipe is not None
        return self.recipe

    def model_settings(self, study: Mapping[str, Any]) -> dict[str, Any]:
        """The arm's model, given the study's."""
        return dict(self.model) if "name" in self.model else {**study, **self.model}


def arms_of(spec: StudySpec) -> tuple[Arm, ...]:
    """The arms of a study: the baseline, the grid of every variant with its controls, the additional arms.

    Raises:
        BadInput: An unknown recipe, field, variant or control, two arms of one name, or nothing to compare.
    """
    count = len(spec.arms) + len(spec.variants) * len(spec.alphas)
    if count > MOST_ARMS:
        raise BadInput("arms", f"at most {MOST_ARMS}", count)
    recipe = study_recipe(spec)
    arms = [Arm(name="baseline", recipe=recipe, dose=0.0, settings=_plain_settings("settings", spec.settings))]
    for variant in spec.variants:
        with _within(f"variants.{variant.name}"):
            _add(arms, _grid(spec, variant, recipe))
    _add(arms, [_additional(arm, spec, recipe) for arm in spec.arms])
    _check(arms, spec)
    return tuple(arms)


@contextmanager
def _within(where: str) -> Iterator[None]:
    """Prefix the names of errors raised inside the block."""
    try:
        yield
    except BadInput as error:
        raise error.within(where) from None


def study_recipe(spec: StudySpec) -> Recipe | None:
    """The study's recipe with its number of epochs; None where a function trains."""
    if spec.function is not None:
        return None
    given = spec.recipe if "recipe" in spec.model_fields_set else {}
    changes = {key: value for key, value in given.items() if key != "name"}
    if spec.epochs is not None:
        changes["epochs"] = spec.epochs
    return make_recipe(given.get("name", default_recipe(spec.model)), **changes)


def _add(arms: list[Arm], new: Iterable[Arm]) -> None:
    """Append new arms; variants with the same control share it."""
    known: dict[str, list[Arm]] = {}
    for arm in arms:
        known.setdefault(arm.name, []).append(arm)
    for arm in new:
        alike = known.setdefault(arm.name, [])
        if arm not in alike:
            alike.append(arm)
            arms.append(arm)


def _grid(spec: StudySpec, variant: VariantSpec, recipe: Recipe | None) -> list[Arm]:
    """The arms of one variant at every dose except 0, then those of its control."""
    arms: list[Arm] = []
    controls: list[Arm] = []
    for alpha in (a for a in spec.alphas if a != 0):
        layers = None if variant.layers is None else tuple(variant.layers)
        settings = {"site": spec.site, "layers": layers, "alpha": alpha}
        mixed = Variant(name=variant.name, gain=variant.gain, temperature=variant.temperature, **settings)  # type: ignore[arg-type]
        schedule = _schedule(spec.alpha_schedule, alpha)
        control = mixed.control if spec.control else None
        control_name = None
        if control is not None:
            label = VariantSpec(name=control.name, layers=variant.layers).label
            control_name = _arm_name(label, alpha, spec.site)
            controls.append(
                Arm(
                    name=control_name,
                    recipe=recipe,
                    variant=control,
                    dose=alpha,
                    schedule=schedule,
                    family=label,
                    settings=spec.settings,
                )
            )
        arms.append(
            Arm(
                name=_arm_name(variant.label, alpha, spec.site),
                recipe=recipe,
                variant=mixed,
                dose=alpha,
                control=control_name,
                schedule=schedule,
                family=variant.label,
                settings=spec.settings,
            )
        )
    return arms + controls


def _arm_name(label: str, alpha: float, site: str) -> str:
    return f"{label}-{alpha:.10g}" + ("" if site == "attention" else f"@{site}")


def _schedule(spec: ScheduleSpec | None, alpha: float) -> AlphaSchedule | None:
    """The schedule that ends at α."""
    return None if spec is None else AlphaSchedule(**spec.model_dump(), final=alpha)


def _additional(arm: ArmSpec, spec: StudySpec, recipe: Recipe | None) -> Arm:
    settings = dict(arm.model_extra or {})
    if recipe is None:
        return _function_arm(arm, spec, settings)
    _check_learnable(arm, settings)
    variant = _variant_of(arm, settings, spec.site)
    model = _model_of(arm, settings, spec)
    for name in settings:
        if name == "name" or name not in Recipe.model_fields:
            known = (set(Recipe.model_fields) | {"variant", "model", *_VARIANT_FIELDS, *_ARM_FIELDS}) - {"name"}
            raise unknown_name(f"arms.{arm.name} (setting)", name, known)
    own = make_recipe(recipe.name, **(recipe.model_dump(exclude={"name"}) | settings))
    schedule = arm.alpha_schedule or spec.alpha_schedule
    alike = own == recipe and schedule == spec.alpha_schedule and not arm.nuisance and not arm.seed_offset
    alike = alike and not model
    return _with_variant(replace(_plain_arm(arm, own), model=model), arm, spec, variant, alike)


def _function_arm(arm: ArmSpec, spec: StudySpec, settings: dict[str, Any]) -> Arm:
    """An additional arm of a training function, which gets the settings except those of a variant."""
    for name in ("nuisance", "learnable_alpha", "alpha_lr"):
        if getattr(arm, name):
            raise BadInput.because(f"arms.{arm.name}.{name}", "not available for a training function")
    variant = _variant_of(arm, settings, spec.site) if "variant" in settings else None
    if variant is None and arm.alpha_schedule is not None:
        raise BadInput.because(f"arms.{arm.name}.alpha_schedule", "has no effect without a variant")
    plain = replace(_plain_arm(arm, None), settings=spec.settings | _plain_settings(f"arms.{arm.name}", settings))
    if variant is None and arm.dose is not None:
        serving = {other.control for other in spec.arms}
        plain = replace(plain, family="control" if arm.name in serving else "dose")
    alike = not settings and not arm.seed_offset and arm.alpha_schedule in (None, spec.alpha_schedule)
    return _with_variant(plain, arm, spec, variant, alike)


def _plain_arm(arm: ArmSpec, recipe: Recipe | None) -> Arm:
    return Arm(
        name=arm.name,
        recipe=recipe,
        dose=arm.dose,
        control=arm.control,
        nuisance=arm.nuisance,
        seed_offset=arm.seed_offset,
    )


def _with_variant(plain: Arm, arm: ArmSpec, spec: StudySpec, variant: Variant | None, alike: bool) -> Arm:
    if variant is None:
        return plain
    if arm.learnable_alpha is not None:
        family = None if arm.dose is None else variant.name
        rate = ALPHA_LR if arm.alpha_lr is None else arm.alpha_lr
        return replace(plain, variant=variant, learnable=arm.learnable_alpha, alpha_lr=rate, family=family)
    schedule = arm.alpha_schedule or spec.alpha_schedule
    return replace(
        plain,
        variant=variant,
        dose=variant.alpha if arm.dose is None else arm.dose,
        schedule=_schedule(schedule, variant.alpha),
        family=_family(arm, variant, alike),
    )


def _check_learnable(arm: ArmSpec, settings: dict[str, Any]) -> None:
    """Check the fields of a learned α, and add its initial value, 0, to the settings."""
    if arm.learnable_alpha is None:
        if arm.alpha_lr is not None:
            raise BadInput.because(f"arms.{arm.name}.alpha_lr", "has no effect without learnable_alpha")
        return
    if "variant" not in settings:
        raise BadInput.because(f"arms.{arm.name}", "a variant is required with learnable_alpha")
    given = [name for name in ("alpha",) if name in settings] + ["alpha_schedule"] * (arm.alpha_schedule is not None)
    if given:
        reason = f"cannot be combined with {given[0]}: α is learned, from 0"
        raise BadInput.because(f"arms.{arm.name}.learnable_alpha", reason)
    settings["alpha"] = 0.0


def _plain_settings(name: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a training function, as a study file can contain them.

    Raises:
        BadInput: Other values than nested lists and mappings of numbers, text, true, false and null.
    """
    try:
        plain: dict[str, Any] = json.loads(json.dumps(settings))
    except (TypeError, ValueError, RecursionError) as error:
        raise BadInput(name, "numbers, text, lists and mappings, as in YAML", str(error)) from None
    return plain


def _family(arm: ArmSpec, variant: Variant, alike: bool) -> str | None:
    """The label of the trend that includes an additional arm.

    With a field `dose`, its variant's; else its variant's with settings, if it is trained as the grid (`alike`).
    """
    if arm.dose is not None:
        return variant.name
    layers = None if variant.layers is None else list(variant.layers)
    label = VariantSpec(name=variant.name, gain=variant.gain, temperature=variant.temperature, layers=layers).label
    return label if alike else None


_ARM_FIELDS = ("alpha_lr", "alpha_schedule", "learnable_alpha", "nuisance", "seed_offset")
_TRAINED = ("from", "weights", "pretrained")
_VARIANT_FIELDS = ("alpha", "site", "layers", "gain", "temperature")


def _variant_of(arm: ArmSpec, settings: dict[str, Any], site: str) -> Variant | None:
    """Remove the variant's fields from an arm's settings."""
    fields = {key: settings.pop(key) for key in _VARIANT_FIELDS if key in settings}
    name = settings.pop("variant", None)
    if name is None:
        if fields:
            raise BadInput.because(f"arms.{arm.name}", f"a variant is required with {', '.join(fields)}")
        return None
    with _within(f"arms.{arm.name}"):
        return Variant(name=name, **{"site": site, **fields})


def _model_of(arm: ArmSpec, settings: dict[str, Any], spec: StudySpec) -> dict[str, Any]:
    """Remove the field `model` from an arm's settings, and check it.

    The rest is checked when the arm's model is built.
    """
    model, where = settings.pop("model", {}), f"arms.{arm.name}.model"
    if not isinstance(model, dict):
        raise BadInput(where, "a mapping of fields of the model, such as {num_layers: 4}", model)
    trained = [key for key in _TRAINED if spec.model.get(key)]
    if model and trained:
        reason = f"not available, because the study's model starts from trained weights ({trained[0]})"
        raise BadInput.because(where, reason)
    for key in (*_TRAINED, "variant"):
        if key in model:
            hint = "Use the arm's field variant." if key == "variant" else "Set it in the study's model, for all arms."
            raise BadInput.because(f"{where}.{key}", "not available in a single arm", hint)
    return _plain_settings(where, model)


def _check(arms: Sequence[Arm], spec: StudySpec) -> None:
    names = [arm.name for arm in arms]
    doubled = sorted(name for name, count in Counter(names).items() if count > 1)
    if doubled:
        raise BadInput("arms", "unique names", f"{', '.join(doubled)} more than once")
    every = set(names)
    controls = {arm.name: arm.control for arm in arms}
    for arm in arms:
        if arm.control is not None and (arm.control not in every or arm.control == arm.name):
            raise unknown_name(f"arms.{arm.name}.control", arm.control, every - {arm.name})
        if is_circular(arm.name, controls):
            expected = "an arm that is not controlled by this one"
            raise BadInput(f"arms.{arm.name}.control", expected, f"a circle through {arm.control}")
        shared = {seed + arm.seed_offset for seed in spec.seeds if arm.seed_offset} & set(spec.seeds)
        if shared:
            expected = "an offset to seeds outside the study, such as 1000"
            found = f"{arm.seed_offset}, which leads to seed {min(shared)} of the study"
            raise BadInput(f"arms.{arm.name}.seed_offset", expected, found)
    for first, second in spec.compare:
        for name in (first, second):
            if name not in names:
                raise unknown_name("compare", name, names)
        known = {names[0], *(arm.control for arm in arms if arm.name == first)}
        others = [pair for pair in spec.compare if set(pair) == {first, second}]
        if first == second or first == names[0] or second in known or len(others) > 1:
            raise BadInput.because(f"compare: [{first}, {second}]", "the comparison is made already, or is none")
    if spec.function is not None and spec.alpha_schedule is not None and not any(arm.schedule for arm in arms):
        raise BadInput.because("alpha_schedule", "has no effect: no arm has a variant")
    if len(arms) == 1 and not spec.keep_models:
        raise BadInput("alphas", "a value other than 0 (or arms) to compare with the baseline", spec.alphas)

"""The arms of a study: from what its file says to named sets of settings, the baseline first.

What does not fit together is judged here. Knows nothing of seeds' runs, cohorts or training.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from crossnorm.errors import BadInput, unknown_name
from crossnorm.functional import Variant
from crossnorm.study.spec.arm_schema import ArmSpec, ScheduleSpec, VariantSpec
from crossnorm.study.spec.schema import StudySpec
from crossnorm.training.optim.build_optimizer import ALPHA_LR
from crossnorm.training.recipe.recipes import Recipe, default_recipe, make_recipe
from crossnorm.training.recipe.schedules import AlphaSchedule

__all__ = ["Arm", "Learnable", "arms_of", "study_recipe"]

Learnable = Literal["model", "layer", "head"]
"""What has one learned dose."""


@dataclass(frozen=True, kw_only=True)
class Arm:
    """A named set of settings.

    Attributes:
        name: Unique in the study; the first arm is "baseline".
        recipe: With the arm's own changes; None where a function trains.
        variant: With its dose; None for plain attention.
        dose: α, or the number the arm was given; None for an arm that is no point of a dose.
        control: Name of the arm that is its control; None: the baseline is.
        schedule: How the dose rises; None: constant.
        learnable: One learned dose for the "model", or one a "layer" or "head"; None: the dose is given.
        alpha_lr: Peak learning rate of a learned dose.
        family: Label of the variant whose trend the arm belongs to; None for an arm outside any trend.
        nuisance: Number of its own dropout stream; 0: the seed's.
        seed_offset: Added to the seed it trains on; 0: it is paired.
        settings: What a function that trains is told.
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
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def training(self) -> Recipe:
        """The recipe of an arm that crossnorm trains itself."""
        assert self.recipe is not None
        return self.recipe


def arms_of(spec: StudySpec) -> tuple[Arm, ...]:
    """The arms of a study: the baseline, the grid of every variant with its controls, the further ones.

    Raises:
        BadInput: An unknown recipe, field, variant or control, two arms of one name, or nothing to compare.
    """
    recipe = study_recipe(spec)
    arms = [Arm(name="baseline", recipe=recipe, dose=0.0, settings=_plain_settings("settings", spec.settings))]
    for variant in spec.variants:
        with _within(f"variants.{variant.name}"):
            _add(arms, _grid(spec, variant, recipe))
    _add(arms, [_further(arm, spec, recipe) for arm in spec.arms])
    _check(arms, spec)
    return tuple(arms)


@contextmanager
def _within(where: str) -> Iterator[None]:
    """Name the place in the study of what is refused inside the block."""
    try:
        yield
    except BadInput as error:
        raise error.within(where) from None


def study_recipe(spec: StudySpec) -> Recipe | None:
    """The study's recipe, the number of epochs included; None where a function trains."""
    if spec.function is not None:
        return None
    given = spec.recipe if "recipe" in spec.model_fields_set else {}
    changes = {key: value for key, value in given.items() if key != "name"}
    if spec.epochs is not None:
        changes["epochs"] = spec.epochs
    return make_recipe(given.get("name", default_recipe(spec.model)), **changes)


def _add(arms: list[Arm], new: Iterable[Arm]) -> None:
    """Append what is not there yet: variants with the same control share it."""
    arms.extend(arm for arm in new if arm not in arms)


def _grid(spec: StudySpec, variant: VariantSpec, recipe: Recipe | None) -> list[Arm]:
    """The arms of one variant at every dose but 0, then those of its control."""
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
    """The schedule with α as its final dose."""
    return None if spec is None else AlphaSchedule(**spec.model_dump(), final=alpha)


def _further(arm: ArmSpec, spec: StudySpec, recipe: Recipe | None) -> Arm:
    settings = dict(arm.model_extra or {})
    if recipe is None:
        return _further_function(arm, spec, settings)
    _check_learnable(arm, settings)
    variant = _variant_of(arm, settings, spec.site)
    for name in settings:
        if name == "name" or name not in Recipe.model_fields:
            known = (set(Recipe.model_fields) | {"variant", *_VARIANT_FIELDS, *_ARM_FIELDS}) - {"name"}
            raise unknown_name(f"arms.{arm.name} (setting)", name, known)
    own = make_recipe(recipe.name, **(recipe.model_dump(exclude={"name"}) | settings))
    schedule = arm.alpha_schedule or spec.alpha_schedule
    alike = own == recipe and schedule == spec.alpha_schedule and not arm.nuisance and not arm.seed_offset
    return _with_variant(_plain_arm(arm, own), arm, spec, variant, alike)


def _further_function(arm: ArmSpec, spec: StudySpec, settings: dict[str, Any]) -> Arm:
    """An arm whose settings the function is told; with a variant among them, the variant's are taken out."""
    for name in ("nuisance", "alpha_schedule", "learnable_alpha", "alpha_lr"):
        if getattr(arm, name):
            raise BadInput(f"arms.{arm.name}.{name}", "none where a function trains", "one")
    variant = _variant_of(arm, settings, spec.site) if "variant" in settings else None
    plain = replace(_plain_arm(arm, None), settings=spec.settings | _plain_settings(f"arms.{arm.name}", settings))
    if variant is None and arm.dose is not None:
        serving = {other.control for other in spec.arms}
        plain = replace(plain, family="control" if arm.name in serving else "dose")
    return _with_variant(plain, arm, spec, variant, not settings and not arm.seed_offset)


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
    """A learned dose needs a variant and starts at 0; nothing else may give one. Puts that 0 into the settings."""
    if arm.learnable_alpha is None:
        if arm.alpha_lr is not None:
            raise BadInput(f"arms.{arm.name}.alpha_lr", "learnable_alpha beside it", "none")
        return
    if "variant" not in settings:
        raise BadInput(f"arms.{arm.name}", "a variant beside learnable_alpha", "none")
    given = [name for name in ("alpha",) if name in settings] + ["alpha_schedule"] * (arm.alpha_schedule is not None)
    if given:
        raise BadInput(f"arms.{arm.name}.learnable_alpha", f"no {given[0]} beside it: α is learned, from 0 on", "both")
    settings["alpha"] = 0.0


def _plain_settings(name: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """A function's settings, which must be what a study file can say.

    Raises:
        BadInput: Anything but nested lists and mappings of numbers, text, true, false and null.
    """
    try:
        plain: dict[str, Any] = json.loads(json.dumps(settings))
    except (TypeError, ValueError, RecursionError) as error:
        raise BadInput(name, "numbers, text, lists and mappings, as in YAML", str(error)) from None
    return plain


def _family(arm: ArmSpec, variant: Variant, alike: bool) -> str | None:
    """The trend a further arm belongs to: its variant's if it was given a dose; none if its training is its own."""
    if arm.dose is not None:
        return variant.name
    layers = None if variant.layers is None else list(variant.layers)
    label = VariantSpec(name=variant.name, gain=variant.gain, temperature=variant.temperature, layers=layers).label
    return label if alike else None


_ARM_FIELDS = ("alpha_lr", "alpha_schedule", "learnable_alpha", "nuisance", "seed_offset")
_VARIANT_FIELDS = ("alpha", "site", "layers", "gain", "temperature")


def _variant_of(arm: ArmSpec, settings: dict[str, Any], site: str) -> Variant | None:
    """Take the variant's fields out of an arm's settings."""
    fields = {key: settings.pop(key) for key in _VARIANT_FIELDS if key in settings}
    name = settings.pop("variant", None)
    if name is None:
        if fields:
            raise BadInput(f"arms.{arm.name}", f"a variant beside {', '.join(fields)}", "none")
        return None
    with _within(f"arms.{arm.name}"):
        return Variant(name=name, **{"site": site, **fields})


def _check(arms: Sequence[Arm], spec: StudySpec) -> None:
    names = [arm.name for arm in arms]
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise BadInput("arms", "every arm to have a name of its own", f"{', '.join(doubled)} twice")
    for arm in arms:
        if arm.control is not None and (arm.control not in names or arm.control == arm.name):
            raise unknown_name(f"arms.{arm.name}.control", arm.control, set(names) - {arm.name})
        shared = {seed + arm.seed_offset for seed in spec.seeds} & set(spec.seeds)
        if arm.seed_offset and shared:
            expected = "an offset that leads to seeds outside the study's, such as 1000"
            raise BadInput(f"arms.{arm.name}.seed_offset", expected, f"{arm.seed_offset}, which meets {min(shared)}")
    if len(arms) == 1 and not spec.keep_models:
        raise BadInput("alphas", "a dose other than 0, or further arms, to compare with the baseline", spec.alphas)

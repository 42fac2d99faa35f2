"""The options that change a study, the same for every command that takes one."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from crossnorm.cli.options import Device, allowed_modules, margin_of, numbers, settings_of, with_options, words
from crossnorm.errors import BadInput

if TYPE_CHECKING:
    from crossnorm.api import Study
    from crossnorm.study.spec.schema import StudySpec

__all__ = ["StudyName", "StudyOptions", "with_study_options"]

StudyName = Annotated[
    str, typer.Argument(help="A study file, a study's folder, the name of a built-in study, or module:function.")
]


@dataclass(frozen=True)
class StudyOptions:
    """What the options change in a study, and where and how it runs."""

    alphas: Annotated[str | None, typer.Option(help="Doses, separated by commas: 0,0.5,1.")] = None
    seeds: Annotated[int | None, typer.Option(help="Number of paired seeds.")] = None
    epochs: Annotated[int | None, typer.Option(help="Passes over the training set.")] = None
    recipe: Annotated[str | None, typer.Option(help="Recipe instead of the study's: crossnorm list recipes.")] = None
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="Change a field: lr=1e-3 (recipe), model.FIELD=VALUE, or a setting of a function."),
    ] = None
    train_examples: Annotated[int | None, typer.Option(help="Number of training examples to use.")] = None
    variants: Annotated[str | None, typer.Option(help="Variants, separated by commas: convex,matched.")] = None
    metric: Annotated[str | None, typer.Option(help="test_loss, test_accuracy, or what a function logs.")] = None
    direction: Annotated[str | None, typer.Option(help="Better direction of the metric: lower or higher.")] = None
    margin: Annotated[str | None, typer.Option(help='Largest difference that counts as "same": 0.02, or 1%.')] = None
    device: Device = "auto"
    workers: Annotated[int | None, typer.Option(help="Number of worker processes; default: one per core.")] = None
    out: Annotated[
        Path | None,
        typer.Option(help="Folder; default: crossnorm/<name>, with what options change."),
    ] = None
    data: Annotated[Path | None, typer.Option(help="Folder or zip of train/CLASS/*, test/CLASS/*; or text.")] = None
    imports: Annotated[
        list[str] | None,
        typer.Option("--import", help="Python module to import; its functions may be used by the study."),
    ] = None
    source: Annotated[str | None, typer.Option("--from", help="Pretrained model to start from.")] = None

    def study(self, name: str) -> Study:
        """The study of that name or file, changed by the options."""
        from crossnorm.api import Study
        from crossnorm.study.spec.arms import arms_of
        from crossnorm.study.spec.builtin_studies import find_study
        from crossnorm.study.spec.schema import parse_spec
        from crossnorm.study.storage.study_record import read_folder

        changes: dict[str, Any] = {
            "alphas": None if self.alphas is None else numbers("--alphas", self.alphas),
            "seeds": self.seeds,
            "epochs": self.epochs,
            "train_examples": self.train_examples,
            "variants": None if self.variants is None else words("--variants", self.variants),
            "metric": self.metric,
            "direction": self.direction,
            "margin": None if self.margin is None else margin_of(self.margin),
            "data": None if self.data is None else str(self.data),
        }
        given = {key: value for key, value in changes.items() if value is not None}
        written = find_study(name)
        unchanged = dict(written)
        if "metric" in given:
            written.pop("direction", None)
        if "variants" in given:
            if _same_variants(written.get("variants"), given["variants"]):
                del given["variants"]
            else:  # another question, another folder
                written["name"] = "-".join([str(written.get("name", "study")), *given["variants"]]).replace(":", ".")
        if self.source is not None:
            written["model"] = {"from": self.source}
        self._set(written)
        folder = self.folder(name)
        stored = None if folder is None else read_folder(folder)
        if stored is not None:  # the folder was named, so this continues or extends its study
            written["name"] = stored[0].spec.name
        spec = parse_spec(written | given, name)
        try:
            arms_of(spec)
        except BadInput as error:
            raise error.within(name) from None
        if stored is None:
            spec = _named(spec, unchanged)
        # Fields that were not set stay unset: the default recipe depends on the model.
        return Study.model_validate(spec.model_dump(exclude_unset=True))

    def _set(self, written: dict[str, Any]) -> None:
        """Apply ``--recipe`` and ``--set`` to the fields of a study."""
        changed, keywords = settings_of(self.settings or [], options={})
        function = written.get("function") is not None
        if not function:
            changed = with_options(changed, epochs=self.epochs)
            _check_arms(written.get("arms"), changed, self.recipe)
        if self.recipe is not None:
            held = written.get("recipe")
            kept = {"epochs": held["epochs"]} if isinstance(held, dict) and "epochs" in held else {}
            written["recipe"] = {"name": self.recipe} | kept
        if "epochs" in changed and not function:  # the study's own field takes precedence over the recipe's
            written["epochs"] = changed.pop("epochs")
        for part, changes in (("settings" if function else "recipe", changed), ("model", keywords)):
            held = written.get(part, {})
            if changes and isinstance(held, dict):  # another type is refused when the study is parsed
                written[part] = {**held, **changes}

    def folder(self, name: str) -> Path | None:
        """The study's folder: ``--out``, or the folder that was named as the study; None: the default."""
        from crossnorm.study.spec.builtin_studies import builtin_studies

        return self.out or (Path(name) if name not in builtin_studies() and Path(name).is_dir() else None)

    @property
    def execution(self) -> dict[str, Any]:
        """Keywords of `Study.run` and `Study.estimate`."""
        return {"workers": self.workers, "device": self.device, "imports": self.imports or []}


def _named(spec: StudySpec, unchanged: dict[str, Any]) -> StudySpec:
    """The study with a name, hence a default folder, that says what the options change beside arms and seeds.

    Args:
        spec: The study with the options.
        unchanged: The fields that the study has without them.
    """
    from crossnorm.study.spec.schema import parse_spec
    from crossnorm.study.spec.variation import variation

    required = spec.function is not None and "metric" not in unchanged  # a function's metric has no default
    told = {"metric": spec.metric, "direction": spec.direction} if required else {}
    try:
        other = variation(parse_spec(unchanged | told, spec.name), spec)
    except BadInput:  # only the options make the study valid
        return spec
    return spec.model_copy(update={"name": f"{spec.name}-{other}"}) if other else spec


def _check_arms(arms: object, changed: dict[str, Any], recipe: str | None) -> None:
    """Reject ``--set`` and ``--recipe`` for fields that an arm overrides: its name, such as "lr 2x", would be wrong.

    Raises:
        BadInput: An arm sets such a field.
    """
    from crossnorm.training.recipe.recipes import Recipe

    fields = Recipe.model_fields if recipe is not None else changed
    for arm in arms if isinstance(arms, list) else []:
        own = [field for field in fields if field != "name" and isinstance(arm, dict) and arm.get(field) is not None]
        if own:
            option = f"--set {own[0]}" if recipe is None else "--recipe"
            reason = f"arm {arm.get('name')!r} sets {', '.join(own)} itself"
            raise BadInput.because(option, reason, "Change the arms in a study file.")


def _same_variants(written: object, names: list[str]) -> bool:
    """Whether a study's variants are exactly those names, without further settings."""
    from pydantic import ValidationError

    from crossnorm.study.spec.arm_schema import VariantSpec

    if not isinstance(written, list):
        return False
    try:
        listed = [VariantSpec.model_validate({"name": v} if isinstance(v, str) else v) for v in written]
        return listed == [VariantSpec(name=name) for name in names]
    except ValidationError:
        return False  # reported when the study is parsed


def with_study_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of `StudyOptions` instead of its parameter ``options``."""
    names = [field.name for field in fields(StudyOptions)]
    hints = get_type_hints(StudyOptions, include_extras=True)
    signature = inspect.signature(command, eval_str=True)
    parameters: list[inspect.Parameter] = []
    for parameter in signature.parameters.values():
        if parameter.name == "options":
            parameters += [
                inspect.Parameter(
                    field.name, inspect.Parameter.KEYWORD_ONLY, default=field.default, annotation=hints[field.name]
                )
                for field in fields(StudyOptions)
            ]
        else:
            parameters.append(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY))

    @functools.wraps(command)
    def command_with_options(**given: Any) -> None:
        options = StudyOptions(**{name: given.pop(name) for name in names})
        options = replace(options, imports=allowed_modules(given.get("study", ""), options.imports or []))
        command(options=options, **given)

    command_with_options.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    command_with_options.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return command_with_options

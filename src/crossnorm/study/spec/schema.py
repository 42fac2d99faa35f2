"""The study file: its fields, their defaults, and its errors.

Values that depend on data or models, such as model keywords, are checked later, in `workload.validate`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, field_validator, model_validator

from crossnorm.errors import BadInput, shown, unknown_name
from crossnorm.metric import DIRECTIONS, Metric
from crossnorm.study.spec.arm_schema import MOST_SEED, ArmSpec, Finite, Name, ScheduleSpec, Strict, VariantSpec
from crossnorm.study.spec.yaml_reader import read_yaml
from crossnorm.training.recipe.recipes import Recipe

__all__ = [
    "FUNCTION",
    "RECORD",
    "StudySpec",
    "in_full",
    "parse_spec",
    "read_fields",
    "readable",
    "written_out",
]

FUNCTION = re.compile(r"[^\W\d][\w.]*:[^\W\d][\w.]*")
"""``package.module:function``."""

_MOST_SEEDS = 100_000

RECORD = "record"
"""The section that crossnorm adds to study.yaml; a study file may contain it, without effect."""


class StudySpec(Strict):
    """The fields of a study; only `task`, or `function` with `metric` and `direction`, is required.

    Attributes:
        format: Version of the study file.
        name: Default: the file's name, or the task, or module and function, and the first variant.
        task: A name of ``crossnorm list tasks``; beside a function, the function's ``run.task``.
        function: ``module:function``, a user's training function. It excludes `model`, `recipe`, `epochs` and
            `keep_models`; `data` and `train_examples` need a task.
        settings: The function's ``run.settings``; arms change them.
        data: Folder or zip of class folders, folder of labeled texts, or text file, to use instead of a download.
        train_examples: Number of training examples to use, the same for every run.
        model: Name and keywords of `create_model`; default: the task's. For text also `word_vectors`, a file
            (`train_words: false` keeps the vectors fixed). Or ``{from: …}``, a pretrained model for every arm: a
            checkpoint of crossnorm, a Hugging Face folder or name, or ``package:NAME/FOLDER``; for text also
            `max_tokens`.
        site: Where the variants act: attention, pool or both.
        variants: The variants of the grid; [] for none.
        control: Whether to run the control of every variant.
        alphas: The doses of the grid; 0 is added.
        arms: Additional arms.
        compare: Further pairs of arms to compare, such as ``[[mine, shrunk]]``: first − second. They are in one family
            with all other comparisons.
        seeds: A number of seeds, from 0, or a list.
        recipe: A recipe's name and any of its fields; default name: see `default_recipe`.
        epochs: Number of epochs instead of the recipe's.
        metric: The metric of the verdict: a name that the function logs, or test_loss or test_accuracy of a task, at
            the last evaluation; or that name followed by `_auc` (mean over training) or `_steps_to_<target>`.
        direction: Whether lower or higher is better; required for a function.
        margin: Differences inside ± margin count as "same": a number in the metric's unit, or "1 %" of the
            baseline's mean; null: never "same".
        confidence: Confidence level of every interval.
        stop: "fixed": train all seeds; "decided": add seeds until the sequential test decides every comparison.
        max_seeds: Maximum number of seeds of an open-ended study (stop: decided).
        keep_models: Whether every run keeps its trained model: ``model.safetensors``, or the folder ``model``.
        alpha_schedule: How α rises during training; null: constant.
    """

    format: Literal[1] = 1
    name: Name = ""
    task: Name | None = None
    function: Name | None = None
    settings: dict[str, Any] = Field(default_factory=dict)
    data: str | None = None
    train_examples: int | None = Field(default=None, ge=1)
    model: dict[str, Any] = Field(default_factory=dict)
    site: Literal["attention", "pool", "both"] = "attention"
    variants: list[VariantSpec] = Field(default_factory=lambda: [VariantSpec(name="convex")])
    control: bool = True
    alphas: list[Finite] = Field(default_factory=lambda: [0.0, 0.25, 0.5, 0.75, 1.0], min_length=1)
    arms: list[ArmSpec] = Field(default_factory=list)
    compare: list[Annotated[list[Name], Field(min_length=2, max_length=2)]] = Field(default_factory=list)
    seeds: list[int] = Field(default_factory=lambda: list(range(6)), min_length=1)
    recipe: dict[str, Any] = Field(default_factory=lambda: {"name": "quick"})
    epochs: int | None = Field(default=None, ge=1)
    metric: Name = "test_loss"
    direction: Literal["lower", "higher"] | None = None
    margin: Finite | str | None = None
    confidence: float = Field(default=0.95, gt=0.5, lt=1)
    stop: Literal["fixed", "decided"] = "fixed"
    max_seeds: int | None = Field(default=None, ge=1, le=_MOST_SEEDS)
    keep_models: bool = False
    alpha_schedule: ScheduleSpec | None = None

    @model_validator(mode="before")
    @classmethod
    def _short_forms(cls, fields: Any) -> Any:
        return in_full(fields) if isinstance(fields, dict) else fields

    @field_validator("alphas", mode="after")
    @classmethod
    def _with_zero_sorted(cls, value: list[float]) -> list[float]:
        return sorted({0.0, *(alpha + 0.0 for alpha in value)})  # + 0.0: -0 is 0

    @field_validator("seeds", mode="before")
    @classmethod
    def _count_is_range(cls, value: Any) -> Any:
        if isinstance(value, bool) or not isinstance(value, int):
            return value
        if not 1 <= value <= _MOST_SEEDS:
            raise ValueError(f"a count of at least 1 and at most {_MOST_SEEDS}, or a list of seeds")
        return list(range(value))

    @field_validator("seeds", mode="after")
    @classmethod
    def _different_seeds(cls, value: list[int]) -> list[int]:
        if len(set(value)) < len(value) or not 0 <= min(value) <= max(value) <= MOST_SEED:
            raise ValueError(f"different whole numbers from 0 to {MOST_SEED}")
        return value

    @field_validator("margin", mode="after")
    @classmethod
    def _margin_is_a_size(cls, value: float | str | None) -> float | str | None:
        number = value
        if isinstance(value, str):
            try:
                number = float(value.strip().removesuffix("%")) if value.strip().endswith("%") else math.nan
            except ValueError:
                number = math.nan
        if number is not None and not (math.isfinite(float(number)) and float(number) > 0):
            raise ValueError('a number above 0, "1 %" of the baseline\'s mean, or null')
        return value

    @model_validator(mode="after")
    def _complete(self) -> StudySpec:
        if self.task is None and self.function is None:
            raise ValueError("a task or a function")
        if self.function is None:
            self._check_task()
        else:
            self._check_function()
        if (self.stop == "decided") != (self.max_seeds is not None):
            raise ValueError("max_seeds if and only if stop is 'decided'")
        if self.max_seeds is not None and self.max_seeds < len(self.seeds):
            raise ValueError("max_seeds of at least the number of seeds")
        if not self.name:
            subject = self.task if self.function is None else self.function.removeprefix("__main__:").replace(":", "-")
            object.__setattr__(self, "name", "-".join([str(subject), *(v.label for v in self.variants[:1])]))
        return self

    def _check_task(self) -> None:
        if self.settings:
            raise ValueError("settings only with a function; a task has model and recipe")
        metric = Metric.parse(self.metric)
        if metric.base not in DIRECTIONS:
            raise ValueError(f"metric one of {', '.join(DIRECTIONS)}, or one followed by _auc or _steps_to_<target>")
        if self.direction not in (None, metric.direction):
            raise ValueError(f"direction {metric.direction} for {self.metric}")
        object.__setattr__(self, "metric", str(metric))  # steps_to_0.50 is steps_to_0.5
        object.__setattr__(self, "direction", metric.direction)

    def _check_function(self) -> None:
        if not FUNCTION.fullmatch(str(self.function)):
            raise ValueError("a function of the form package.module:function")
        for field in ("model", "recipe", "epochs", "keep_models"):
            if self._given(field):
                raise ValueError(f"no {field} with a function; use the field settings")
        for field in ("data", "train_examples"):
            if self.task is None and self._given(field):
                raise ValueError(f"no {field} without a task")
        if "metric" not in self.model_fields_set or self.direction is None:
            raise ValueError("metric and direction: a name that the function logs, and lower or higher")
        if self.arms and not {"variants", "alphas"} & self.model_fields_set:
            object.__setattr__(self, "variants", [])  # only its own arms

    def _given(self, field: str) -> bool:
        return bool(getattr(self, field) != type(self).model_fields[field].get_default(call_default_factory=True))

    @property
    def digested(self) -> str:
        """What the digest of the study is computed from, in words."""
        if self.function is None:
            return "data"
        return "code of the function" if self.task is None else "data or the code of the function"

    @property
    def endpoint(self) -> Metric:
        """The metric of the verdict; a function's is the column that it logs, whatever its name."""
        return Metric.parse(self.metric) if self.function is None else Metric(self.metric, direction=self.direction)


def in_full(fields: dict[str, Any]) -> dict[str, Any]:
    """The fields with short forms written out: ``model: NAME``, ``recipe: NAME``, one variant, one dose."""
    full = dict(fields)
    for field in ("model", "recipe"):
        if isinstance(full.get(field), str):
            full[field] = {"name": full[field]}
    variants = full.get("variants")
    if isinstance(variants, str | dict):
        variants = [variants]
    if isinstance(variants, list):
        full["variants"] = [{"name": each} if isinstance(each, str) else each for each in variants]
    dose = full.get("alphas")
    if isinstance(dose, int | float) and not isinstance(dose, bool):
        full["alphas"] = [dose]
    return full


def parse_spec(fields: object, source: str) -> StudySpec:
    """A study from the mapping of its fields.

    Args:
        fields: The content of the file.
        source: The file's name in errors.

    Raises:
        BadInput: Not a mapping, an unknown field, or an invalid value; names file and field.
    """
    if not isinstance(fields, dict) or not fields:
        raise _not_a_study(fields, source)
    try:
        return StudySpec.model_validate(fields)
    except ValidationError as error:
        raise readable(error, source) from None


def read_fields(path: Path) -> dict[str, Any]:
    """The fields of a study file in YAML; the name defaults to the file's.

    Raises:
        BadInput: The file cannot be read, is not YAML, or not a mapping.
    """
    fields = read_yaml(path, hint=f"Create it with: crossnorm new {path}")
    if not isinstance(fields, dict) or not fields:
        raise _not_a_study(fields, str(path))
    if RECORD in fields:
        fields = written_out(fields)
    return {"name": path.stem, **{key: value for key, value in in_full(fields).items() if key != RECORD}}


def written_out(fields: dict[str, Any]) -> dict[str, Any]:
    """The fields of a stored study with a complete recipe.

    study.yaml contains every recipe field that existed when it was written. Later fields get the default that has no
    effect, not the value that the recipe of that name has today.
    """
    recipe = fields.get("recipe")
    if not isinstance(recipe, dict) or not {"batch_size", "lr", "weight_decay"} <= set(recipe):
        return fields
    return {**fields, "recipe": Recipe().model_dump(exclude={"epochs"}) | recipe}


def _not_a_study(fields: object, source: str) -> BadInput:
    found = "nothing" if fields in (None, {}) else type(fields).__name__
    return BadInput(
        source,
        "a mapping with the field task or function",
        found,
        "crossnorm new FILE writes a study file to start from.",
    )


def readable(error: ValidationError, source: str) -> BadInput:
    """The first error of a validation, in terms of the study file."""
    fault = error.errors()[0]
    path = ".".join(str(part) for part in fault["loc"] if not str(part).startswith(("function-", "list[", "float")))
    name = f"{source}: {path}" if path else source
    if fault["type"] == "extra_forbidden":
        parent = VariantSpec if path.startswith("variants") else StudySpec
        return unknown_name(f"{name} (unknown field)", fault["loc"][-1], parent.model_fields)
    if fault["type"] == "missing":
        return BadInput.because(name, "the field is missing")
    if not path and not {"task", "function"} & set(fault["input"]):
        hint = "crossnorm list tasks shows the tasks."
        return BadInput.because(f"{source}: task", "one of the fields task and function is required", hint)
    expected = fault["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    return BadInput(name, expected, _short(fault["input"]) if path else _of_these(expected, fault["input"]))


def _of_these(expected: str, fields: Mapping[str, Any]) -> str:
    """The given values of the fields that an expectation names."""
    named = set(re.findall(r"\w+", expected))
    return ", ".join(f"{key}: {_short(value)}" for key, value in fields.items() if key in named) or "none of these"


def _short(value: object, limit: int = 80) -> str:
    text = shown(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"

"""The JSON schema of study files, for editors and for programs that write them."""

from __future__ import annotations

import inspect
import re
from typing import Any

from pydantic import BaseModel

from crossnorm.study.spec.arm_schema import ArmSpec, ScheduleSpec, VariantSpec
from crossnorm.study.spec.schema import StudySpec
from crossnorm.training.recipe.recipes import RECIPES, Recipe

__all__ = ["field_texts", "study_schema"]

_OF_A_VARIANT = ("alpha", "gain", "layers", "site", "temperature", "variant")


def study_schema() -> dict[str, Any]:
    """The JSON schema (draft 2020-12) of a study file, with the short forms that a file may use.

    What no schema can say, such as the models' keywords or which fields exclude each other, is checked when the study
    is read.
    """
    schema = StudySpec.model_json_schema()
    definitions = schema["$defs"]
    definitions["Recipe"] = Recipe.model_json_schema()
    for model in (VariantSpec, ScheduleSpec, ArmSpec, Recipe):
        _describe(definitions[model.__name__], model)
    _describe(schema, StudySpec)
    fields = schema["properties"]
    _also(fields["variants"], {"type": "string"}, definitions["VariantSpec"])
    _also(fields["alphas"], {"type": "number"})
    _also(fields["seeds"], {"type": "integer", "minimum": 1})
    _also(fields["model"], {"type": "string"})
    recipe = {
        key: _without_default(value) for key, value in definitions["Recipe"]["properties"].items() if key != "name"
    }
    named = {"enum": list(RECIPES)}
    fields["recipe"] |= {"properties": {"name": named, **recipe}, "additionalProperties": False}
    _also(fields["recipe"], named)
    fields["variants"]["anyOf"][0]["items"] = {"anyOf": [{"$ref": "#/$defs/VariantSpec"}, {"type": "string"}]}
    arm = definitions["ArmSpec"]
    arm["properties"] |= {name: {} for name in _OF_A_VARIANT} | recipe
    about = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "crossnorm study"}
    del definitions["Recipe"]
    return about | {key: value for key, value in schema.items() if key != "title"}


def _without_default(field: dict[str, Any]) -> dict[str, Any]:
    """A field whose default depends on the recipe's name."""
    return {key: value for key, value in field.items() if key != "default"}


def _also(field: dict[str, Any], *forms: dict[str, Any]) -> None:
    """Allow further forms of a field; its description and default stay where they are."""
    about = {key: field.pop(key) for key in ("title", "description", "default") if key in field}
    full = dict(field)
    field.clear()
    field |= about | {"anyOf": [full, *forms]}


def _describe(schema: dict[str, Any], model: type[BaseModel]) -> None:
    """Give every property the text that the model's docstring has for it."""
    schema["description"] = (inspect.getdoc(model) or "").partition("\n")[0]
    for name, text in field_texts(model).items():
        schema["properties"][name]["description"] = text


def field_texts(model: type[BaseModel]) -> dict[str, str]:
    """What the section "Attributes" of a model's docstring says of every field."""
    _, _, section = (inspect.getdoc(model) or "").partition("Attributes:\n")
    entries = re.findall(r"^    (\w+): (.*(?:\n {8,}.*)*)", section, flags=re.MULTILINE)
    return {name: " ".join(text.split()).replace("``", "`") for name, text in entries}

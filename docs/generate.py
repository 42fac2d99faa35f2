"""Write the pages that follow from the code: docs/cli.md and docs/study-file.md.

python -m docs.generate          write both
python -m docs.generate --check  exit with 1 if one is out of date
"""

from __future__ import annotations

import inspect
import sys
import typing
from enum import Enum
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).parent
NOTE = "<!-- Written by `python -m docs.generate`; edit the code instead. -->\n"


def cli_page() -> str:
    """Every command with its help, its examples and a table of its options."""
    from typer.main import get_command

    from crossnorm.cli import app

    group = get_command(app)
    parts = [
        "# Command line\n",
        NOTE,
        "Results go to standard output, progress and errors to standard error. Exit codes: 0 done, 1 some runs or the "
        "audit failed, 2 bad input, 3 the answer is none of --expect, 130 interrupted, 141 the reader of the output "
        "left.\n",
    ]
    for name in group.list_commands(None):  # type: ignore[attr-defined]
        command = group.commands[name]  # type: ignore[attr-defined]
        text, _, examples = (command.help or "").partition("\b")
        examples, _, more = examples.strip("\n").partition("\n\n")
        parts.append(f"## crossnorm {name}\n\n{_paragraphs(text)}\n")
        if examples:
            parts.append("```text\n" + inspect.cleandoc(examples) + "\n```\n")
        if more.strip():
            parts.append(_paragraphs(more) + "\n")
        annotations = {key: entry.annotation for key, entry in inspect.signature(command.callback).parameters.items()}
        rows = [_option(option, annotations.get(option.name)) for option in command.params if option.name != "help"]
        if rows:
            parts.append("| option | default | meaning |\n|---|---|---|\n" + "\n".join(rows) + "\n")
    return "\n".join(parts)


def _option(option: Any, annotation: Any) -> str:
    name = ", ".join(option.opts) if option.opts[0].startswith("-") else option.name.upper()
    kinds = [annotation, *typing.get_args(annotation)]
    kinds += [inner for kind in kinds for inner in typing.get_args(kind)]
    for kind in kinds:
        if isinstance(kind, type) and issubclass(kind, Enum):
            name += " " + "\\|".join(member.value for member in kind)
            break
    default = "required" if option.required else _cell(option.default)
    return f"| `{name}` | {default} | {_escaped(option.help or '')} |"


def _cell(value: object) -> str:
    value = getattr(value, "value", value)
    return "" if value in (None, (), [], False, "") or callable(value) else f"`{value}`"


def study_file_page() -> str:
    """Every field of a study file: type, default, meaning; then those of variants, arms, schedules and recipes."""
    from crossnorm.study.spec.arm_schema import ArmSpec, ScheduleSpec, VariantSpec
    from crossnorm.study.spec.schema import StudySpec
    from crossnorm.training.recipe.recipes import Recipe

    sections = (
        ("Fields of a study", "", StudySpec),
        ("Variants", "An entry of `variants`: a name, or a mapping with these fields.", VariantSpec),
        (
            "Arms",
            "An entry of `arms`; it may also set fields of a variant, any field of the recipe, and fields of the "
            "model: `{name: deep, model: {num_layers: 4}}`.",
            ArmSpec,
        ),
        ("α schedule", "The field `alpha_schedule` of a study or an arm.", ScheduleSpec),
        ("Recipe", "The field `recipe`: a name of `crossnorm list recipes` and any of these fields.", Recipe),
    )
    parts = [
        "# Study file\n",
        NOTE,
        "A study file is YAML. Only `task`, or `function` with `metric` and `direction`, is required. Unknown fields "
        "are errors. `crossnorm new FILE` writes a commented file to start from.\n",
    ]
    for title, text, model in sections:
        parts.append(f"## {title}\n" + (f"\n{text}\n" if text else ""))
        parts.append("| field | type | default | meaning |\n|---|---|---|---|\n" + "\n".join(_fields(model)) + "\n")
    return "\n".join(parts)


def _fields(model: Any) -> list[str]:
    from crossnorm.study.spec.json_schema import field_texts

    described = field_texts(model)
    rows = []
    for name, field in model.model_fields.items():
        if field.is_required():
            default = "required"
        else:
            value = field.get_default(call_default_factory=True)
            value = [getattr(entry, "name", entry) for entry in value] if isinstance(value, list) else value
            default = "" if value is None or value == "" else f"`{_yaml(value)}`"
        rows.append(f"| `{name}` | {_type(field.annotation)} | {default} | {_escaped(described.get(name, ''))} |")
    return rows


def _yaml(value: Any) -> str:
    """A value as YAML writes it on one line."""
    return yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=200).removesuffix("...\n").strip()


def _type(annotation: Any) -> str:
    """The type in words of YAML."""
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Literal:
        return " \\| ".join(f"`{arg}`" for arg in args)
    if origin is typing.Annotated:
        return _type(args[0])
    if origin in (list, tuple):
        return f"list of {_type(args[0])}" if args else "list"
    if origin is dict or annotation is dict:
        return "mapping"
    if args:
        return " or ".join(_type(arg) for arg in args if arg is not type(None))
    names = {int: "whole number", float: "number", str: "text", bool: "`true` \\| `false`"}
    return names.get(annotation, "mapping" if hasattr(annotation, "model_fields") else str(annotation))


def _paragraphs(text: str) -> str:
    return "\n\n".join(" ".join(part.split()) for part in inspect.cleandoc(text).split("\n\n") if part.strip())


def _escaped(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("``", "`")


PAGES = {"cli.md": cli_page, "study-file.md": study_file_page}


def main() -> int:
    """Write the pages, or compare them."""
    stale = [name for name, page in PAGES.items() if not (HERE / name).exists() or (HERE / name).read_text() != page()]
    if "--check" in sys.argv:
        print("\n".join(f"docs/{name} is out of date: python -m docs.generate" for name in stale) or "up to date")
        return 1 if stale else 0
    for name in stale:
        (HERE / name).write_text(PAGES[name](), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

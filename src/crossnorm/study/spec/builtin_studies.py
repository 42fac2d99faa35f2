"""The built-in studies: study files that come with the package."""

from __future__ import annotations

from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

from crossnorm.data import list_tasks
from crossnorm.errors import BadInput, unknown_name
from crossnorm.study.spec.schema import FUNCTION, read_fields

__all__ = ["builtin_studies", "builtin_study", "find_study"]


def builtin_studies() -> dict[str, str]:
    """Name → summary: the first comment line of each file."""
    found = {p.name: p for p in (files("crossnorm.study.spec") / "builtin").iterdir() if p.name.endswith(".yaml")}
    texts = {name: found[name].read_text(encoding="utf-8") for name in sorted(found) if not name.startswith("_")}
    return {name.removesuffix(".yaml"): text.partition("\n")[0].lstrip("# ") for name, text in texts.items()}


def find_study(study: str) -> dict[str, Any]:
    """The fields of a study.

    Args:
        study: The name of a built-in study, ``module:function``, a YAML file, or a study's folder.

    Raises:
        BadInput: There is no such name or file, or the file is not a study.
    """
    names = builtin_studies()
    if FUNCTION.fullmatch(study) and not Path(study).exists():
        return {"function": study}
    if study in names:  # takes precedence over a data folder called cifar10
        return builtin_study(study)
    path = Path(study)
    if path.is_dir():
        path = path / "study.yaml"
    if path.suffix in (".yaml", ".yml") or path.is_file():
        return read_fields(path)
    error = unknown_name("study", study, names)
    hint = f"{study} is a task: write 'task: {study}' into a study file." if study in list_tasks() else error.hint
    raise BadInput(error.name, f"a YAML file, module:function, or {error.expected}", error.got, hint)


def builtin_study(name: str) -> dict[str, Any]:
    """The fields of a built-in study, whatever files the working directory has."""
    with as_file(files("crossnorm.study.spec") / "builtin" / f"{name}.yaml") as path:
        return read_fields(path)

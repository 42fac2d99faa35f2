"""The text of a new study file: commented fields to start from, or a copy of a study."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path

import yaml

from crossnorm.study.spec.builtin_studies import builtin_studies, find_study

__all__ = ["study_template"]


def study_template(source: str | None = None) -> str:
    """The text of a study file without a name, so that it takes the file's.

    Args:
        source: The study to copy: the name of a built-in study, with its comments; a file, or a study's folder. None:
            every field with its default, commented.

    Raises:
        BadInput: There is no such study.
    """
    folder = files("crossnorm.study.spec") / "builtin"
    if source is None:
        return (folder / "_template.yaml").read_text(encoding="utf-8")
    if source in builtin_studies():
        return _unnamed((folder / f"{source}.yaml").read_text(encoding="utf-8"))
    path = Path(source)
    if path.is_file():
        find_study(source)
        return _unnamed(path.read_text(encoding="utf-8"))
    fields = {key: value for key, value in find_study(source).items() if key != "name"}
    copied = yaml.safe_dump(fields, sort_keys=False, allow_unicode=True, width=120)
    return f"# Copied from {source}, every setting written out.\n{copied}"


def _unnamed(text: str) -> str:
    """A study file without its name and without the line that names its schema."""
    return re.sub(r"^(name:|# yaml-language-server:).*\n", "", text, flags=re.MULTILINE)

"""Ready studies: study files that come with the package.

Knows their names and where they lie; knows nothing of what they say.
"""

from __future__ import annotations

from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

from crossnorm.data import list_tasks
from crossnorm.errors import BadInput, unknown_name
from crossnorm.study.spec.schema import FUNCTION, read_fields

__all__ = ["find_study", "ready_studies", "ready_study", "study_template"]


def ready_studies() -> dict[str, str]:
    """Name → what it asks: the first comment line of each file."""
    found = {p.name: p for p in (files("crossnorm.study.spec") / "builtin").iterdir() if p.name.endswith(".yaml")}
    texts = {name: found[name].read_text(encoding="utf-8") for name in sorted(found) if not name.startswith("_")}
    return {name.removesuffix(".yaml"): text.partition("\n")[0].lstrip("# ") for name, text in texts.items()}


def study_template() -> str:
    """A commented study file to start from."""
    return (files("crossnorm.study.spec") / "builtin" / "_template.yaml").read_text(encoding="utf-8")


def find_study(study: str) -> dict[str, Any]:
    """The fields of a study given as a YAML file, a study's folder, a ready study's name, or ``module:function``.

    Raises:
        BadInput: There is no such file or name, or the file is not a study.
    """
    names = ready_studies()
    if FUNCTION.fullmatch(study) and not Path(study).exists():
        return {"function": study}
    if study in names:  # whatever lies beside it: a data folder may well be called cifar10
        return ready_study(study)
    path = Path(study)
    if path.is_dir():
        path = path / "study.yaml"
    if path.suffix in (".yaml", ".yml") or path.is_file():
        return read_fields(path)
    error = unknown_name("study", study, names)
    hint = f"{study} is a task: write 'task: {study}' into a study file." if study in list_tasks() else error.hint
    raise BadInput(error.name, f"a YAML file, module:function, or {error.expected}", error.got, hint)


def ready_study(name: str) -> dict[str, Any]:
    """The fields of the ready study of that name, whatever lies in the working directory."""
    with as_file(files("crossnorm.study.spec") / "builtin" / f"{name}.yaml") as ready:
        return read_fields(ready)

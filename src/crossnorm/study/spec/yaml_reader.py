"""Read YAML files: a bounded, plain value without repeated keys, or an error that names the line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from crossnorm.errors import BadInput
from crossnorm.io import regular_file

__all__ = ["read_yaml"]

_MOST_BYTES = 10_000_000
_MOST_VALUES = 1_000_000
_MERGE = "tag:yaml.org,2002:merge"


def read_yaml(path: Path, hint: str = "") -> Any:
    """The value of a YAML file.

    Args:
        path: The file.
        hint: What to do if there is no such file.

    Raises:
        BadInput: The file cannot be read, is too large, is not YAML, or has a key twice in one mapping.
    """
    try:
        text = regular_file(path, most=_MOST_BYTES, hint=hint).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise BadInput(str(path), "a YAML file in UTF-8", "a file that is not text") from None
    try:
        value = yaml.load(text, _Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"line {mark.line + 1}: " if mark is not None else ""
        raise BadInput.because(str(path), f"not valid YAML: {where}{error.problem or 'not readable'}") from None
    except RecursionError:
        raise BadInput.because(str(path), "not valid YAML: too deeply nested") from None
    except (yaml.YAMLError, ValueError):
        reason = "not valid YAML: a character that is not allowed, or a number or date out of range"
        raise BadInput.because(str(path), reason) from None
    if not _bounded(value):
        raise BadInput(str(path), f"at most {_MOST_VALUES} values", "more, or one that contains itself")
    return value


class _Loader(yaml.SafeLoader):
    """A safe loader that refuses a key given twice, of which YAML would silently take the last."""

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Check the keys, then merge what `<<` names, each key once: nested merges would double their number."""
        lines: dict[object, int] = {}
        for key, _ in node.value:
            name = _identity(key)
            if name in lines and key.tag != _MERGE:
                problem = f"the key {key.value!r} is there twice (first in line {lines[name]})"
                raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
            lines[name] = key.start_mark.line + 1
        super().flatten_mapping(node)
        node.value = list({_identity(key): (key, value) for key, value in node.value}.values())


def _identity(key: yaml.Node) -> object:
    return (key.tag, key.value) if isinstance(key, yaml.ScalarNode) else id(key)


def _bounded(value: object) -> bool:
    """Whether a nested value has few enough entries: with aliases, a short YAML file can be very large."""
    todo = [value]
    for _ in range(_MOST_VALUES):
        if not todo:
            return True
        last = todo.pop()
        if isinstance(last, dict):
            todo += [*last.keys(), *last.values()]
        elif isinstance(last, list | tuple | set):
            todo += last
    return False

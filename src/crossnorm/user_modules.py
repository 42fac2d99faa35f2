"""Import the modules that the user names, and nothing else, from folders that are not on Python's path."""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.machinery import PathFinder
from importlib.util import module_from_spec
from pathlib import Path
from types import ModuleType

__all__ = ["home_of", "import_named"]


def import_named(name: str, home: str | None) -> ModuleType:
    """Import a module, from the folder `home` if it is there, else from Python's path.

    The folder is then put at the end of the path: the module finds its neighbors, and no file of the folder replaces an
    installed library.

    Args:
        name: The module, perhaps inside packages: ``package.module``.
        home: The folder to look in first.

    Raises:
        Exception: Whatever the module raises.
    """
    top = name.partition(".")[0]
    found = None if home is None or top in sys.modules else PathFinder.find_spec(top, [home])
    if found is not None and home is not None:
        if home not in sys.path:
            sys.path.append(home)
        if found.has_location and found.loader is not None:  # not for a folder without __init__.py, as Python does
            module = sys.modules[top] = module_from_spec(found)
            try:
                found.loader.exec_module(module)
            except BaseException:
                sys.modules.pop(top, None)
                raise
    return import_module(name)


def home_of(name: str) -> str | None:
    """The folder that an imported module, or the package around it, was found in; None if it is in no file."""
    module = sys.modules.get(name.partition(".")[0])
    file = getattr(module, "__file__", None)
    if not file:
        return None
    path = Path(file).resolve()
    return str(path.parent.parent if hasattr(module, "__path__") else path.parent)

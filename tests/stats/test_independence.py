"""The statistics stand alone: numpy and scipy, no torch, nothing of the package but its errors and metrics."""

import ast
import subprocess
import sys
from pathlib import Path

import crossnorm.stats

FOLDER = Path(crossnorm.stats.__file__).parent
ALLOWED = {"numpy", "scipy", "crossnorm.errors", "crossnorm.metric", "crossnorm.stats"}


def imported(source):
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module


def foreign(source):
    roots = {
        ".".join(name.split(".")[:2]) if name.startswith("crossnorm") else name.split(".")[0]
        for name in imported(source)
    }
    return roots - ALLOWED - set(sys.stdlib_module_names)


def test_nothing_but_numpy_and_scipy_is_imported():
    assert {path.name: foreign(path.read_text("utf-8")) for path in FOLDER.glob("*.py")} == {
        path.name: set() for path in FOLDER.glob("*.py")
    }


def test_the_check_can_fail():
    assert foreign("import torch.nn\nfrom crossnorm.models import x") == {"torch", "crossnorm.models"}


def test_importing_the_statistics_loads_no_torch():
    code = "import sys, types; sys.modules['crossnorm'] = m = types.ModuleType('crossnorm'); "
    code += f"m.__path__ = [{str(FOLDER.parent)!r}]; import crossnorm.stats; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_everything_exported_exists():
    assert all(hasattr(crossnorm.stats, name) for name in crossnorm.stats.__all__)

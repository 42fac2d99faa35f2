"""The shape of the package: data flows one way, statistics know no torch, every module says what it is."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

import crossnorm
from crossnorm import integrations

PACKAGE = Path(crossnorm.__file__).parent
ROWS = (
    ("_lazy", "_version", "errors"),
    ("io", "metric", "rng", "user_modules"),
    ("stats",),
    ("functional",),
    ("models",),
    ("adapters",),
    ("data",),
    ("training",),
    ("study",),
    ("integrations", "report"),
    ("api",),
    ("cli",),
    ("__main__",),
)
RANK = {name: rank for rank, row in enumerate(ROWS) for name in row}
MODULES = sorted(PACKAGE.rglob("*.py"))
FOLDERS = sorted({path.parent for path in MODULES})
MOST_MODULES = 13
CALLED_FROM_OUTSIDE = {"_repr_html_", "main", "resume", "to_pandas", "train_batches"}  # by notebooks, scripts, users


def room(module: Path) -> str:
    return module.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_rooms(source: str) -> set[str]:
    """First components of what a module imports from crossnorm, wherever in the file the import stands."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    parts = (name.split(".") for name in names)
    return {p[1] for p in parts if p[0] == "crossnorm" and len(p) > 1 and p[1] in RANK}


def against_the_flow(own: str, source: str) -> set[str]:
    return {other for other in imported_rooms(source) if other != own and RANK[other] >= RANK[own]}


@pytest.mark.parametrize("module", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_go_one_way(module):
    if module == PACKAGE / "__init__.py":
        return  # the front door: resolves names on first use
    assert against_the_flow(room(module), module.read_text(encoding="utf-8")) == set()


def test_the_flow_test_can_fail():
    assert against_the_flow("stats", "from crossnorm.models import create_model") == {"models"}
    assert against_the_flow("training", "def f():\n    import crossnorm.study.spec.plan") == {"study"}
    assert against_the_flow("study", "from crossnorm.training.loop.cohort import x") == set()


@pytest.mark.parametrize("module", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_every_module_says_what_it_is(module):
    assert ast.get_docstring(ast.parse(module.read_text(encoding="utf-8")))


def test_every_room_is_in_the_flow():
    assert {room(module) for module in MODULES} - {"__init__"} <= set(RANK)


def test_a_folder_holds_at_most_13_modules():
    folders = {folder: [p for p in MODULES if p.parent == folder and p.name != "__init__.py"] for folder in FOLDERS}
    assert {str(f.relative_to(PACKAGE)): len(found) for f, found in folders.items() if len(found) > MOST_MODULES} == {}


def test_no_two_modules_share_a_name():
    stems = Counter(path.stem for path in MODULES if not path.stem.startswith("__"))
    assert [stem for stem, count in stems.items() if count > 1] == []


def used_names(tree: ast.AST) -> Counter[str]:
    """Names that a module's code refers to; not those that it defines, exports or only imports."""
    found: Counter[str] = Counter()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            found[node.id] += 1
        elif isinstance(node, ast.Attribute):
            found[node.attr] += 1
    return found


def unreached(sources: dict[str, str], public: set[str]) -> list[str]:
    """Functions, classes and methods without decorators that no code of the sources refers to."""
    trees = {name: ast.parse(source) for name, source in sources.items()}
    used: Counter[str] = sum((used_names(tree) for tree in trees.values()), Counter())
    found = []
    for name, tree in trees.items():
        nodes = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.ClassDef) and not n.decorator_list]
        foreign = {method for n in ast.walk(tree) if isinstance(n, ast.ClassDef) and n.bases for method in n.body}
        for node in nodes:
            hidden = node.name.startswith("__") or node in foreign  # called by Python or by a library's base class
            if not hidden and not used[node.name] and node.name not in public:
                found.append(f"{name}:{node.name}")
    return found


def test_nothing_is_reached_by_tests_alone():
    sources = {str(p.relative_to(PACKAGE)): p.read_text(encoding="utf-8") for p in MODULES}
    assert unreached(sources, {*crossnorm.__all__, *integrations.__all__} | CALLED_FROM_OUTSIDE) == []


def test_the_test_of_reach_can_fail():
    sources = {"a.py": "def used(): ...\ndef lost(): ...", "b.py": "from a import lost, used\nused()"}
    assert unreached(sources, set()) == ["a.py:lost"]


def loaded_after(statement: str) -> set[str]:
    code = f"import sys; {statement}; print(*sys.modules, sep='\\n')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_statistics_need_no_torch():
    loaded = loaded_after("import crossnorm.stats")
    assert "numpy" in loaded
    assert "torch" not in loaded


def test_importing_crossnorm_is_light():
    assert loaded_after("import crossnorm.cli") & {"torch", "numpy", "matplotlib", "plotly", "transformers"} == set()


def loaded_by_listing(what: str) -> set[str]:
    return loaded_after(f"from crossnorm.cli.list_command import _LISTS; assert len(_LISTS['{what}']()) > 3")


@pytest.mark.parametrize("what", ["tasks", "variants", "recipes", "studies"])
def test_what_needs_no_tensors_is_listed_without_torch(what):
    assert loaded_by_listing(what) & {"torch", "numpy", "matplotlib", "transformers"} == set()


def test_models_are_counted_without_a_compiler():
    loaded = loaded_by_listing("models")
    assert "torch" in loaded
    assert loaded & {"torch._dynamo", "torch._inductor", "triton", "sympy"} == set()


def test_no_subpackage_has_the_name_of_a_public_function():
    rooms = {path.name.removesuffix(".py") for path in PACKAGE.iterdir()}
    assert rooms & set(crossnorm.__all__) == set()


def test_every_public_name_resolves_and_is_documented():
    for name in crossnorm.__all__:
        thing = getattr(crossnorm, name)
        assert name == "__version__" or thing.__doc__
    with pytest.raises(AttributeError, match="no attribute 'no_such_name'"):
        _ = crossnorm.no_such_name

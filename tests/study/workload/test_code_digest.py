"""The digest of the user's code: what changes it, and what does not."""

from __future__ import annotations

import ast
import hashlib
import linecache
import sys
from importlib import import_module, invalidate_caches

import pytest

from crossnorm.study.spec.plan import make_plan
from crossnorm.study.spec.schema import parse_spec
from crossnorm.study.workload.code_digest import code_digests, function_digest, source_digest


@pytest.fixture
def folder(tmp_path, monkeypatch):
    home = tmp_path / "mine"
    home.mkdir()
    monkeypatch.syspath_prepend(str(home))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    before = {*sys.modules}
    yield home
    for name in {*sys.modules} - before:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", None)):
            del sys.modules[name]


def imported(folder, files):
    """The module `mine` among these files."""
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
        sys.modules.pop(name.removesuffix(".py").removesuffix("/__init__").replace("/", "."), None)
    invalidate_caches()
    return import_module("mine")


def digest(folder, files, name="train"):
    files = {"mine.py": files} if isinstance(files, str) else files
    found = imported(folder, files)
    for part in name.split("."):
        found = getattr(found, part)
    return source_digest(f"mine:{name}", found)


USES = "\ndef train(run):\n    return CONFIG, LOSSES, Box, helper\n"
START = "import contextlib, sys\nCONFIG, LOSSES = {}, {}\nclass Box: lr = 0\n"
REGISTER = "def register(name):\n    def add(loss): LOSSES[name] = loss; return loss\n    return add\n"
DECORATOR = """
import functools
def decorated(lr):
    def wrap(function):
        @functools.wraps(function)
        def inner(run): return lr, VALUE
        return inner
    return wrap
"""
OBJECT = """
class Trainer:
    __slots__ = ("lr",)
    def __init__(self, lr): self.lr = lr
    def __call__(self, run): return self.lr
train = Trainer(VALUE)
"""
SUBCLASS = """
class Base:
    def __init_subclass__(cls): Base.last = cls
class Other(Base): lr = VALUE
def train(run): return Base.last.lr
"""

COUNTED = {  # modules with a VALUE, whose change counts
    "the function": "def train(run): return VALUE",
    "a lambda": "train = lambda run: VALUE",
    "a default": "def train(run, lr=[VALUE]): return lr",
    "a helper of a helper": "def a(): return VALUE\ndef helper(): return a()\n" + USES,
    "a constant": "helper = VALUE\n" + USES,
    "a constant that is not mentioned": "other = VALUE\n" + USES,
    "an item": START + "CONFIG['lr'] = VALUE" + USES,
    "an attribute": START + "Box.lr = VALUE" + USES,
    "an operator": START + "CONFIG |= {'lr': VALUE}" + USES,
    "a method": START + "CONFIG.update(lr=VALUE)" + USES,
    "a method of what is imported": "from configs import CONFIG\nCONFIG.update(lr=VALUE)" + USES,
    "if": START + "if sys.version_info >= (3, 8):\n    CONFIG.update(lr=VALUE)" + USES,
    "for": START + "for lr in (2, VALUE):\n    CONFIG.update(lr=lr)" + USES,
    "try": START + "try:\n    CONFIG.update(lr=VALUE)\nexcept ValueError: pass" + USES,
    "with": START + "with contextlib.suppress(ValueError):\n    CONFIG.update(lr=VALUE)" + USES,
    "assert": START + "assert CONFIG.update(lr=VALUE) is None" + USES,
    "match": START + "match 1:\n    case lr: helper = VALUE" + USES,
    "del": START + "CONFIG.update({1: 0, 5: 0})\ndel CONFIG[VALUE]" + USES,
    "a comprehension": START + "[CONFIG.setdefault('lr', VALUE) for _ in range(2)]" + USES,
    "a call whose result is kept": START + "_ = CONFIG.update(lr=VALUE)" + USES,
    "a call inside a call": START + "str(CONFIG.update(lr=VALUE))" + USES,
    "a method of a class": START + "dict.update(CONFIG, lr=VALUE)" + USES,
    "setattr": START + "setattr(Box, 'lr', VALUE)" + USES,
    "a walrus": "[helper := VALUE]" + USES,
    "exec": "exec('helper = VALUE')" + USES,
    "the call of a function": START + "def setup(lr): CONFIG['lr'] = lr\nsetup(VALUE)" + USES,
    "the body of a called function": START + "def setup(): CONFIG['lr'] = VALUE\nsetup()" + USES,
    "a global statement": "def setup():\n    global helper\n    helper = VALUE\nsetup()" + USES,
    "a decorated function": START + REGISTER + "@register('a')\ndef _a(): return VALUE" + USES,
    "the default of an unused function": START + "def unused(lr=CONFIG.update(lr=VALUE)): pass" + USES,
    "the body of an unused class": START + "class Unused: CONFIG['lr'] = VALUE" + USES,
    "a class in an unused class": START + "class Unused:\n    class Inner: CONFIG.update(lr=VALUE)" + USES,
    "a class that its base knows": SUBCLASS,
    "an attribute set on a class": "class C: pass\nC.f = lambda self: VALUE\ndef train(run): return C().f()",
    "a name in a text": "def a(): return VALUE\ndef train(run): return globals()['a']()",
    "a computed name": "def loss_a(): return VALUE\ndef train(run): return globals()['loss_' + run.name]()",
    "a computed attribute": "import mine\ndef a(): return VALUE\ndef train(run): return getattr(mine, run.name)()",
    "its own module": "import sys\nme = sys.modules[__name__]\ndef a(): return VALUE\ndef train(run): return me.a()",
    "an import of itself": "LR = VALUE\ndef train(run):\n    import mine\n    return mine.LR",
    "a hook of the module": "def __getattr__(name): return VALUE\ndef train(run): pass",
    "another test of the name": START + "if __name__ != '__main__':\n    CONFIG['lr'] = VALUE" + USES,
    "else of a script": START + "if __name__ == '__main__':\n    pass\nelse:\n    CONFIG['lr'] = VALUE" + USES,
    "a script before the end": "if __name__ == '__main__':\n    helper = VALUE\nother = 2" + USES,
    "a function that makes it": "def make(v):\n    def train(run): return v\n    return train\ntrain = make(VALUE)",
    "a decorator": DECORATOR + "@decorated(2)\ndef train(run): pass",
    "a decorator's argument": DECORATOR + "@decorated(VALUE)\ndef train(run): pass",
    "a decorator of a library": "import torch\n@torch.no_grad()\ndef train(run): return VALUE",
    "a partial": "import functools\ndef f(run, lr): return lr\ntrain = functools.partial(f, lr=VALUE)",
    "an object that is called": OBJECT,
    "the class of an object": "class T:\n    def __call__(self, run): return VALUE\ntrain = T()",
    "a static method": "class T:\n    @staticmethod\n    def train(run): return VALUE\ntrain = T.train",
}
REPLACED = [
    ("def train(run): return 2", "return 2", "return 2.0"),
    ("from math import sin as f\ndef train(run): return f(1)", "sin", "cos"),
    ("from math import *\ndef train(run): return exp(1)", "math", "cmath"),
    ("from configs import *\ndef train(run): return CONFIG", "configs", "others"),
    ("import sys\nsys.intern('lr')\ndef train(run): pass", "intern", "audit"),
    ("match 1:\n    case None: helper = 1" + USES, "None", "False"),
    (DECORATOR + "def train(run): return 1", "def train", "@decorated(2)\ndef train"),
]
NOT_COUNTED = [
    ("def unused(): return 1" + USES, "return 1", "return 2"),
    ("async def unused(lr=1): return 1" + USES, "lr=1", "lr=2"),
    ("class Unused:\n    lr: int = 1\n    def f(self): pass" + USES, "lr: int = 1", "lr: int = 2"),
    ("import torch" + USES, "import torch", "import math, torch.nn"),
    ("from math import sin\nhelper = sin" + USES, "import sin", "import sin, cos"),
    ("__all__ = ['train']" + USES, "['train']", "['train', 'unused']"),
    ('"""A module."""\nhelper = 1' + USES, "A module", "Another module"),
    ("class Box:\n    'A box.'\n    def f(self):\n        'A method.'" + USES, "'A box.'", "'The box.'  # of"),
    ('def helper():\n    """Text."""\n    return 1' + USES, '"""Text."""', ""),
    ("helper = 1" + USES, "helper = 1", "\n\nhelper  =  (1)  # one"),
    ("helper = 1" + USES + "if __name__ == '__main__':\n    helper = 1\n    print(2)", "print(2)", "print(3)"),
    ("helper = 1" + USES + "if '__main__' == __name__:\n    import math", "import math", "import json"),
    ("helper = 1" + USES, USES, USES + "\ndef another(run):\n    return helper\n"),
    ("def train(run): return getattr(run, 'seed', 1)\n", "def train", "def unused(): pass\ndef train"),
    ("def train(run): return run.model.eval()\n", "def train", "def unused(): pass\ndef train"),
]
BESIDE = {"configs.py": "CONFIG = {}\n", "others.py": "CONFIG = {}\n"}


@pytest.mark.parametrize("case", COUNTED)
def test_what_the_function_can_depend_on_counts(folder, case):
    one, again, other = (BESIDE | {"mine.py": COUNTED[case].replace("VALUE", value)} for value in "115")
    assert digest(folder, one) == digest(folder, again)
    assert digest(folder, one) != digest(folder, other)


@pytest.mark.parametrize(("module", "old", "new"), REPLACED)
def test_what_replaces_it_counts(folder, module, old, new):
    module = module.replace("VALUE", "1")
    replaced = module.replace(old, new)
    assert replaced != module
    assert digest(folder, BESIDE | {"mine.py": module}) != digest(folder, BESIDE | {"mine.py": replaced})


@pytest.mark.parametrize(("module", "old", "new"), NOT_COUNTED)
def test_what_it_cannot_depend_on_does_not_count(folder, module, old, new):
    replaced = module.replace(old, new)
    assert replaced != module
    assert digest(folder, module) == digest(folder, replaced)


LR = "def lr(): return VALUE\ndef unused(): return 0\n"
NEIGHBORS = {  # files with a VALUE, whose change counts
    "a module": {"mine.py": "import lib\ndef train(run): return lib.lr()", "lib.py": LR},
    "a name of it": {"mine.py": "from lib import lr\ndef train(run): return lr()", "lib.py": LR},
    "all of it": {"mine.py": "from lib import *\ndef train(run): return lr()", "lib.py": LR},
    "inside the function": {"mine.py": "def train(run):\n    import lib\n    return lib.lr()", "lib.py": LR},
    "for its effect": {"mine.py": "import lib\ndef train(run): pass", "lib.py": "import os\nos.x = VALUE"},
    "if": {"mine.py": "if 1:\n    import lib\ndef train(run): return lib.lr()", "lib.py": LR},
    "by a text": {
        "mine.py": "from importlib import import_module\ndef train(run): return import_module('lib').lr()",
        "lib.py": LR,
    },
    "by another": {
        "mine.py": "import lib\ndef train(run): return lib.f()",
        "lib.py": "def f():\n    from inner import lr\n    return lr()",
        "inner.py": LR,
    },
    "a module of a package": {
        "mine.py": "import pkg.lib\ndef train(run): return pkg.lib.lr()",
        "pkg/__init__.py": "",
        "pkg/lib.py": LR,
    },
    "the package of a module": {
        "mine.py": "import pkg.lib\ndef train(run): return pkg.lib.lr()",
        "pkg/__init__.py": "import os\nos.x = VALUE",
        "pkg/lib.py": "def lr(): return 2",
    },
    "relative": {
        "mine.py": "def train(run):\n    from pkg import lib\n    return lib.lr()",
        "pkg/__init__.py": "",
        "pkg/lib.py": "from .inner.deep import rate\nfrom . import more\ndef lr(): return rate()",
        "pkg/inner/__init__.py": "from . import deep",
        "pkg/inner/deep.py": "from ..more import rate",
        "pkg/more.py": "def rate(): return VALUE",
    },
    "a folder without __init__": {
        "mine.py": "from exps import lib\ndef train(run): return lib.lr()",
        "exps/lib.py": LR,
    },
    "a function from there": {"mine.py": "from lib import train", "lib.py": "def train(run): return VALUE"},
    "what changes a function from there": {
        "mine.py": "import lib\nfrom lib import train\nlib.CONFIG.update(lr=VALUE)",
        "lib.py": "CONFIG = {}\ndef train(run): return CONFIG",
    },
    "the class of an object": {
        "mine.py": "import functools, lib\ndef f(run, model): pass\ntrain = functools.partial(f, model=lib.Model())",
        "lib.py": "class Model:\n    def forward(self): return VALUE",
    },
    "a base of a class": {
        "mine.py": "import lib\nmodel = lib.Model()\ndef train(run): return model",
        "lib.py": "import base\nclass Model(base.Base): pass",
        "base.py": "class Base:\n    def forward(self): return VALUE",
    },
}


@pytest.mark.parametrize("case", NEIGHBORS)
def test_modules_beside_it_that_are_imported_count(folder, case):
    def filled(value):
        return {name: text.replace("VALUE", value) for name, text in NEIGHBORS[case].items()}

    first = digest(folder, filled("1"))
    assert digest(folder, filled("1")) == first
    assert digest(folder, filled("5")) != first
    assert (
        digest(folder, {name: f"# 5\n{text}\ndef never(): return 5\n" for name, text in filled("1").items()}) == first
    )


def test_modules_are_found_without_importing_them(folder):
    files = {"mine.py": "def train(run):\n    import lib\n    return lib.lr()", "lib.py": "import missing\nlr = 1"}
    first = digest(folder, files)
    assert "lib" not in sys.modules
    assert digest(folder, files | {"lib.py": "import missing\nlr = 5"}) != first


@pytest.mark.parametrize("place", ["mine/site-packages", "elsewhere"])
def test_installed_modules_and_modules_elsewhere_do_not_count(tmp_path, folder, monkeypatch, place):
    monkeypatch.syspath_prepend(str(tmp_path / place))
    (tmp_path / place).mkdir(parents=True)
    found = set()
    for lr in (1, 5):
        sys.modules.pop("lib", None)
        (tmp_path / place / "lib.py").write_text(f"lr = {lr}")
        found.add(digest(folder, "import lib\ndef train(run): return lib.lr"))
    assert len(found) == 1


def test_a_file_that_is_no_python_text_counts_by_its_bytes(folder):
    module = imported(folder, {"mine.py": "def train(run): pass"})
    found = set()
    for text in ("def train(run): return (", "def train(run): return ["):
        (folder / "mine.py").write_text(text)
        found.add(source_digest("mine:train", module.train))
    assert len(found) == 2


CELL = """
import math
LR = 1
def helper(): return LR, TEXT
class Box: lr = 2
def train(run): return helper(), Box.lr, 3
"""


def executed(text, filename="<cell>", known=False, **scope):
    """The function `train` of code without a source file; `known`: its text can be looked up, as in a notebook."""
    if known:
        linecache.cache[filename] = (len(text), None, text.splitlines(keepends=True), filename)
    space = {"__name__": "__main__", "TEXT": ""} | scope
    exec(compile(text, filename, "exec"), space)
    found = source_digest("__main__:train", space["train"])
    linecache.cache.pop(filename, None)
    return found


@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize(
    ("old", "new", "counts"),
    [
        ("3", "5", True),
        ("LR = 1", "LR = 5", True),
        ("return LR", "return -LR", True),
        ("lr = 2", "lr = 5", True),
        ("import math", "other = 5", False),
        ("def helper()", "def unused(): pass\ndef helper()", False),
        ("TEXT\n", "TEXT  # 1\n", False),
    ],
)
def test_code_without_a_file_counts_with_the_globals_that_it_mentions(known, old, new, counts):
    names = ("/tmp/kernel_1/2.py", "/tmp/kernel_3/4.py") if known else ("<stdin>", "<stdin>")
    assert executed(CELL, names[0], known) == executed(CELL, names[1], known)
    changed = CELL.replace(old, new)
    assert changed != CELL
    assert (executed(changed, names[1], known) != executed(CELL, names[0], known)) is counts


def test_cells_that_call_each_other_count(folder):
    def cells(value):
        text = "def even(n): return n == 0 or odd(n - 1)\ndef odd(n): return n != VALUE and even(n - 1)\ntrain = even"
        return executed(text.replace("VALUE", value))

    assert cells("0") == cells("0")
    assert cells("0") != cells("5")


@pytest.mark.parametrize("use", ["lib.lr()", "getattr(lib, 'lr')()", "getattr(lib, name)()"])
def test_modules_that_a_cell_uses_count(folder, monkeypatch, use):
    monkeypatch.chdir(folder)
    found = []
    for value in "115":
        imported(folder, {"mine.py": "", "lib.py": LR.replace("VALUE", value)})
        sys.modules.pop("lib", None)
        lib = import_module("lib")
        found.append(
            executed(f"def train(run): return {use}", lib=lib, name="lr")
            + executed(f"def train(run):\n    import lib\n    return {use}", name="lr")
        )
    assert found[0] == found[1]
    assert found[0][:64] != found[2][:64]
    assert found[0][64:] != found[2][64:]


def test_the_digest_of_the_function_itself_stays_what_version_0_2_stored(folder):
    text = "def train(run):\n    'Text.'\n    return 1  # one\n"
    module = imported(folder, {"mine.py": text})
    expected = hashlib.sha256(ast.dump(ast.parse(text)).encode()).hexdigest()
    assert function_digest(module.train) == expected
    module = imported(folder, {"mine.py": "train = dict(\n    f=lambda run: 1)['f']\n"})  # whose line is no syntax
    assert function_digest(module.train) == hashlib.sha256(b"f=lambda run: 1)['f']\n").hexdigest()


def test_the_digest_of_a_function_without_a_file_covers_its_constants():
    one, again, other = (eval(f"lambda run: {value}") for value in "115")
    assert function_digest(one) == function_digest(again)
    assert function_digest(one) != function_digest(other)


def test_every_function_of_a_plan_has_a_digest(folder):
    text = "def scaled(value, *, alpha, visible): return value\ndef unrelated(run): pass\n"
    imported(folder, {"mine.py": text})
    fields = {"function": "mine:unrelated", "metric": "loss", "direction": "lower", "alphas": [0, 1]}
    plan = make_plan(parse_spec(fields | {"variants": ["mine:scaled", "convex"]}, "x"))
    found = code_digests(plan, sys.modules["mine"].unrelated)
    expected = [digest(folder, text, name) for name in ("scaled", "unrelated")]
    assert list(found) == ["mine:scaled", "mine:unrelated"]
    assert list(found.values()) == expected

"""The digest of the user's code: what changes it, and what does not."""

from __future__ import annotations

import functools
import sys
from importlib import import_module, invalidate_caches

import numpy as np
import pytest
import torch

from crossnorm.study.spec.plan import make_plan
from crossnorm.study.spec.schema import parse_spec
from crossnorm.study.workload.carried_values import carried_values
from crossnorm.study.workload.code_digest import code_digests, source_digest

MODULE = """
import math
from math import tau

FACTOR = 2
OTHER = 3

def factor(alpha):
    return 1 + helper(alpha) * FACTOR

def helper(alpha):
    return alpha * tau

def unrelated():
    return OTHER

def scaled(value, *, alpha, visible):
    return value * factor(alpha)
"""


def digest(folder, text, name="scaled"):
    folder.mkdir(exist_ok=True)
    (folder / "digested.py").write_text(text, encoding="utf-8")
    sys.modules.pop("digested", None)
    invalidate_caches()
    return source_digest(f"digested:{name}", getattr(import_module("digested"), name))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield tmp_path
    sys.modules.pop("digested", None)


@pytest.mark.parametrize(
    ("old", "new", "changes"),
    [
        ("value * factor", "value / factor", True),
        ("FACTOR = 2", "FACTOR = 4", True),
        ("alpha * tau", "alpha * 2 * tau", True),  # a helper of a helper
        ("from math import tau", "from numpy import pi as tau", True),
        ("FACTOR = 2", "FACTOR = 2.0", True),
        ("OTHER = 3", "OTHER = 5", False),
        ("return OTHER", "return -OTHER", False),
        ("FACTOR = 2", "FACTOR  =  2  # twice", False),
        ("import math\n", "import math\nimport json\n\n\n", False),
    ],
)
def test_what_the_function_uses_counts_and_nothing_else(folder, old, new, changes):
    before = digest(folder, MODULE)
    assert digest(folder, MODULE.replace(old, new)) == digest(folder, MODULE.replace(old, new))
    assert (digest(folder, MODULE.replace(old, new)) != before) is changes


def test_local_names_and_the_script_below_are_not_used(folder):
    """A script may keep its result in a name that the function has as a local one, and start itself below."""
    module = MODULE + "\ndef train(run):\n    result = factor(run)\n    return result\n"
    script = '\nresult = {}\n\nif __name__ == "__main__":\n    for factor in ({}, 2):\n        pass\n'
    first = digest(folder, module + script.format(3, 1), "train")
    assert digest(folder, module + script.format(5, 7), "train") == first
    assert digest(folder, module.replace("FACTOR = 2", "FACTOR = 4") + script.format(3, 1), "train") != first


CONFIGURED = """
import json
CONFIG = {"lr": 1.0}
class Box: lr = 1.0
box = Box()
%s

def train(run):
    json.dumps(CONFIG)
    return CONFIG["lr"] * box.lr
"""


@pytest.mark.parametrize(
    ("old", "new", "changes"),
    [
        ('CONFIG["lr"] = 2.0', 'CONFIG["lr"] = 7.0', True),
        ("CONFIG.update(lr=2.0)", "CONFIG.update(lr=7.0)", True),
        ("box.lr = 2.0", "box.lr = 7.0", True),
        ("Box.lr = 2.0", "Box.lr = 7.0", True),
        ("CONFIG |= {'lr': 2.0}", "CONFIG |= {'lr': 7.0}", True),
        ("for k in (1, 2): CONFIG['lr'] = k", "for k in (1, 3): CONFIG['lr'] = k", True),
        ("print(CONFIG)", "print(CONFIG, 2)", False),
        ("json.dumps(3)", "json.dumps(4)", False),
        ("x = dict(CONFIG)", "x = list(CONFIG)", False),
    ],
)
def test_statements_that_change_what_the_function_uses_count(folder, old, new, changes):
    assert (digest(folder, CONFIGURED % old, "train") != digest(folder, CONFIGURED % new, "train")) is changes


def carriers(lr):
    """Functions that carry a value: in a partial, a closure, an object, a lambda's default, a method."""

    class Trainer:
        def __init__(self):
            self.settings = {"lr": np.array([lr])}

        def __call__(self, run):
            return self.settings

        def train(self, run):
            return self.settings

    def closed(run):
        return lr

    def train(run, lr=0.0):
        return lr

    return [functools.partial(train, lr=torch.tensor(lr)), closed, Trainer(), lambda run, x=lr: x, Trainer().train]


@pytest.mark.parametrize("kind", range(5))
def test_values_that_the_function_carries_count(kind):
    one, again, other = (source_digest("m:train", carriers(lr)[kind]) for lr in (1.0, 1.0, 5.0))
    assert one == again
    assert one != other


def test_a_function_that_carries_nothing_carries_nothing():
    assert carried_values(carriers) == ""
    assert carried_values(print) == ""


def test_a_name_that_stands_for_a_partial_includes_its_arguments(folder):
    text = MODULE + "\nimport functools\ndef times(value, factor, **rest):\n    return value\n"
    doubled, tripled = (text + f"twice = functools.partial(times, factor={n})\n" for n in (2, 3))
    assert digest(folder, doubled, "twice") != digest(folder, tripled, "twice")


def test_an_object_that_is_called_counts_by_its_class(folder):
    text = "class Twice:\n    def __call__(self, value, **rest):\n        return 2 * value\n\ntwice = Twice()\n"
    assert digest(folder, text, "twice") == digest(folder, text, "twice")
    assert digest(folder, text, "twice") != digest(folder, text.replace("2", "3"), "twice")


def test_every_function_of_a_plan_has_a_digest(folder):
    digest(folder, MODULE)
    fields = {"function": "digested:unrelated", "metric": "loss", "direction": "lower", "alphas": [0, 1]}
    plan = make_plan(parse_spec(fields | {"variants": ["digested:scaled", "convex"]}, "x"))
    found = code_digests(plan, sys.modules["digested"].unrelated)
    expected = [digest(folder, MODULE, name) for name in ("scaled", "unrelated")]
    assert list(found) == ["digested:scaled", "digested:unrelated"]
    assert list(found.values()) == expected

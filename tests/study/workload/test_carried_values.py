"""The digest of the values that a function carries: equal for equal values in every process."""

from __future__ import annotations

import array
import collections
import dataclasses
import datetime
import decimal
import enum
import fractions
import functools
import operator
import os
import pathlib
import re
import subprocess
import sys
import threading
import types

import numpy as np
import pandas as pd
import pytest
import torch

from crossnorm.study.workload.code_digest import source_digest


@dataclasses.dataclass(frozen=True, slots=True)
class Slots:
    lr: float


@dataclasses.dataclass
class Fields:
    lr: float


class Color(enum.Enum):
    RED = 1
    BLUE = 5


class Text(str):
    pass


Named = collections.namedtuple("Named", "lr")


def train(run, value=None):
    return value


def nested(value, levels):
    for _ in range(levels):
        value = {"inner": [value]}
    return value


def digest(value):
    return source_digest("m:train", functools.partial(train, value=value))


def structured(value):
    return np.array([(value, {"a": value})], dtype=[("x", "f8"), ("y", object)])


def local_class(value):
    class Local:
        lr = value

        @property
        def rate(self):
            return value

    return Local


def looped(value):
    inner = [value]
    inner.append({"outer": inner})
    return inner


VALUES = {
    "bool": bool,
    "number": lambda n: n,
    "long number": lambda n: n * 10**5000,
    "float": float,
    "complex": complex,
    "text": str,
    "surrogate": lambda n: "\ud800" * n,
    "bytes": lambda n: bytes([n]),
    "bytearray": lambda n: bytearray([n]),
    "array": lambda n: array.array("d", [n]),
    "range": range,
    "slice": slice,
    "list": lambda n: [1, n],
    "order": lambda n: [n, 5 - n],
    "set": lambda n: {1, 7, n},
    "frozenset": lambda n: frozenset({n}),
    "dict": lambda n: {"a": n},
    "key": lambda n: {n: 1},
    "OrderedDict": lambda n: collections.OrderedDict(a=n),
    "defaultdict": lambda n: collections.defaultdict(int, a=n),
    "mappingproxy": lambda n: types.MappingProxyType({"a": n}),
    "deque": lambda n: collections.deque([n]),
    "deep": lambda n: nested(n, 8),
    "very deep": lambda n: nested(n, 3000),
    "loop": looped,
    "slots": Slots,
    "fields": Fields,
    "namedtuple": Named,
    "namespace": lambda n: types.SimpleNamespace(lr=n),
    "enum": lambda n: Color(n or 1),
    "subclass of str": lambda n: Text(n),
    "Path": lambda n: pathlib.Path(str(n)),
    "Fraction": lambda n: fractions.Fraction(n, 7),
    "Decimal": decimal.Decimal,
    "datetime": lambda n: datetime.datetime(2020, 1, 1 + n),
    "timedelta": datetime.timedelta,
    "re": lambda n: re.compile(f"a{n}"),
    "itemgetter": operator.itemgetter,
    "lambda": lambda n: (lambda: 1) if n == 1 else (lambda: 5),
    "closure": lambda n: lambda: n,
    "function": lambda n: looped if n == 1 else nested,
    "builtin": lambda n: len if n == 1 else sum,
    "method of a value": lambda n: [n].append,
    "method": lambda n: Slots(n).__eq__,
    "cached function": lambda n: functools.lru_cache(looped if n == 1 else nested),
    "class": lambda n: dict if n == 1 else list,
    "local class": local_class,
    "object of a local class": lambda n: local_class(n)(),
    "module": lambda n: re if n == 1 else os,
    "ndarray": lambda n: np.arange(10.0) + n,
    "ndarray of objects": lambda n: np.array([{"a": n}], dtype=object),
    "structured ndarray": structured,
    "masked array": lambda n: np.ma.array([1, 2], mask=[n == 1, False]),
    "numpy number": np.float32,
    "numpy dtype": lambda n: np.dtype(f"f{4 if n == 1 else 8}"),
    "numpy generator": np.random.default_rng,
    "DataFrame": lambda n: pd.DataFrame({"a": [n], "b": ["x"]}),
    "Series": lambda n: pd.Series([n]),
    "tensor": torch.tensor,
    "half": lambda n: torch.full((2,), n, dtype=torch.bfloat16),
    "shape": lambda n: torch.ones(n, 5),
    "no elements": lambda n: torch.ones(n, 0),
    "stride": lambda n: torch.arange(6).reshape(2, 3).T + n,
    "conjugate": lambda n: torch.tensor([n * 1j]).conj(),
    "sparse": lambda n: (n * torch.eye(2)).to_sparse(),
    "sparse rows": lambda n: (n * torch.eye(2)).to_sparse_csr(),
    "quantized": lambda n: torch.quantize_per_tensor(torch.tensor([float(n)]), 1.0, 0, torch.qint8),
    "meta": lambda n: torch.ones(n, device="meta"),
    "torch dtype": lambda n: torch.float32 if n == 1 else torch.float64,
    "torch device": lambda n: torch.device("cpu", n),
    "torch generator": lambda n: torch.Generator().manual_seed(n),
    "torch function": lambda n: torch.relu if n == 1 else torch.tanh,
    "layer": lambda n: torch.nn.Linear(n, 1, bias=False).requires_grad_(False).apply(ones),
    "activation": lambda n: torch.nn.Sequential(torch.nn.ReLU() if n == 1 else torch.nn.Tanh()),
    "partial of a library": lambda n: functools.partial(torch.optim.SGD, lr=n),
    "DataLoader": lambda n: torch.utils.data.DataLoader([1, 2, 3], batch_size=n),
}


def ones(layer):
    torch.nn.init.ones_(layer.weight)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", VALUES)
def test_values_that_the_function_carries_count(kind):
    one, again, other = (digest(VALUES[kind](n)) for n in ((0, 0, 1) if kind == "bool" else (1, 1, 5)))
    assert one == again
    assert one != other


def carriers(lr):
    """Functions that carry a value: in a partial, a closure, an object, a lambda's default, a method, an attribute."""

    class Trainer:
        def __init__(self):
            self.settings = {"lr": np.array([lr])}

        def __call__(self, run):
            return self.settings

        def train(self, run):
            return self.settings

    def closed(run):
        return lr

    def marked(run):
        return marked.lr

    def given(run, *, lr=lr):
        return lr

    marked.lr = lr
    partial = functools.partial(train, value=torch.tensor(lr))
    return [partial, closed, Trainer(), lambda run, x=lr: x, Trainer().train, marked, given]


@pytest.mark.parametrize("kind", range(7))
def test_every_way_to_carry_a_value_counts(kind):
    one, again, other = (source_digest("m:train", carriers(lr)[kind]) for lr in (1.0, 1.0, 5.0))
    assert one == again
    assert one != other


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        ({1, 2, 3, 8}, {8, 3, 2, 1}),
        ([[1], [1]], [[1]] * 2),
        (torch.arange(6).reshape(2, 3).T, torch.arange(6).reshape(2, 3).T.contiguous()),
        (threading.Lock(), threading.Lock()),
    ],
)
def test_what_is_no_difference_does_not_count(one, other):
    assert digest(one) == digest(other)


def test_loops_of_different_shape_differ():
    short, long = [1], [1]
    short.append(short)
    long.append([1, long])
    other = [1]
    other.append([5, other])
    assert digest(long) != digest(other)
    assert digest(short) == digest(long)  # whoever walks through them finds the same


def test_values_that_all_contain_each_other_take_no_longer_than_others():
    people = [types.SimpleNamespace(age=age) for age in range(50)]
    for one in people:
        one.friends = set()
    objects = [Fields(age) for age in range(60)]
    for one in objects:
        one.others = objects
    assert digest(objects) == digest(objects[:])


SCRIPT = """
import dataclasses, enum, functools, sys
import cloudpickle, torch
import lib
from crossnorm.study.workload.code_digest import source_digest
KINDS = {"a", "b", "c", "d"}
@dataclasses.dataclass
class Config:
    names: set
    layer: torch.nn.Module
    def rate(self): return len(self.names)
class Kind(enum.Enum):
    ONE = 1
def helper(run):
    return run in {"x", "y", "z"} and KINDS
def train(run, config, **rest):
    return helper(run), Kind.ONE, lib.lr, config.rate()
def bound():
    layer = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Dropout())
    for parameter in layer.parameters():
        torch.nn.init.ones_(parameter)
    return functools.partial(train, config=Config({"e", "f", "g"}, layer), kinds=[KINDS, lib.Base, object()])
if __name__ == "__main__":
    print(source_digest("__main__:train", bound()))
    open(sys.argv[1], "wb").write(cloudpickle.dumps(bound()))
"""
WORKER = """
import sys, cloudpickle
from crossnorm.study.workload.code_digest import source_digest
function = cloudpickle.loads(open(sys.argv[1], "rb").read())
print(source_digest("__main__:train", function))
"""


@pytest.mark.slow
@pytest.mark.parametrize("has_file", [True, False])
def test_the_digest_is_equal_in_every_process(tmp_path, has_file):
    (tmp_path / "script.py").write_text(SCRIPT)
    (tmp_path / "lib.py").write_text("lr = 1\nclass Base: pass\n")
    found = []
    for seed in ("1", "2"):
        environment = os.environ | {"PYTHONHASHSEED": seed}
        arguments = ["script.py"] if has_file else ["-c", SCRIPT]
        for command in ([*arguments, f"pickled{seed}"], ["-c", WORKER, f"pickled{seed}"]):
            done = subprocess.run(
                [sys.executable, *command], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
            )
            found.append(done.stdout)
    assert len(found[0].strip()) == 64
    assert found == found[:1] * 4

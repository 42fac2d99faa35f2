"""What lies in the working directory is imported only if it is named."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import crossnorm as library
from crossnorm.study.executors import process_pool
from crossnorm.user_modules import home_of, import_named

STRANGER = "open('executed', 'a').write(__name__ + '\\n')\nraise SystemExit('a file of the working directory')\n"
TRAIN = """
import neighbor, yaml

def train(run):
    for step in range(3):
        run.log(step, loss=yaml.safe_load("1") / (1 + step) + neighbor.SHIFT * run.dose + run.seed / 100)
"""


@pytest.fixture
def foreign(tmp_path, monkeypatch):
    """The working directory of somebody else, whose files have the names of libraries."""
    for name in ("pydantic", "yaml", "numpy", "torch", "typer", "safetensors"):
        (tmp_path / f"{name}.py").write_text(STRANGER, encoding="utf-8")
    (tmp_path / "its_own.py").write_text(TRAIN, encoding="utf-8")
    (tmp_path / "neighbor.py").write_text("SHIFT = 0.25\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(Path(library.__file__).parents[1]))
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield tmp_path
    for name in ("its_own", "neighbor"):
        sys.modules.pop(name, None)


def called(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *words], capture_output=True, text=True, timeout=60)


def test_the_command_line_imports_nothing_from_the_working_directory(foreign):
    done = called("-m", "crossnorm", "list", "tasks", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    assert not (foreign / "executed").exists()


def test_a_worker_imports_nothing_from_the_working_directory(foreign):
    root = str(Path(library.__file__).parents[1])
    with subprocess.Popen(
        [sys.executable, "-c", process_pool._START, root], stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as worker:
        worker.stdin.write("no job\n")
        worker.stdin.flush()
        errors = worker.stderr.read()
    assert "decode" in errors
    assert not (foreign / "executed").exists()


@pytest.mark.slow
@pytest.mark.parametrize("more", [(), ("--ray", "local")], ids=["local", "ray"])
def test_a_study_of_a_named_module_imports_no_other_file(foreign, more):
    if more:
        pytest.importorskip("ray")
    words = ("its_own:train", "--alphas", "0,1", "--seeds", "2", "--metric", "loss", "--direction", "lower")
    done = called("-m", "crossnorm", "plot", *words, "--workers", "1", "--out", "out", *more)
    assert done.returncode == 0, done.stderr
    assert not (foreign / "executed").exists()
    assert len(list(foreign.glob("out/runs/*/*/result.json"))) == 6


def test_a_named_module_is_taken_from_its_folder_and_libraries_are_not(foreign):
    module = import_named("its_own", str(foreign))
    assert module.__file__ == str(foreign / "its_own.py")
    assert sys.path[-1] == str(foreign)
    assert home_of("its_own") == str(foreign.resolve())
    assert module.neighbor.SHIFT == 0.25
    assert not (foreign / "executed").exists()


def test_a_named_module_precedes_a_library_of_its_name(foreign):
    (foreign / "this.py").write_text("ZEN = 1\n", encoding="utf-8")  # of Python's own library
    try:
        assert import_named("this", str(foreign)).ZEN == 1
    finally:
        sys.modules.pop("this", None)


def test_modules_in_packages_and_elsewhere(foreign):
    (foreign / "pack" / "inner").mkdir(parents=True)
    (foreign / "pack" / "__init__.py").touch()
    (foreign / "pack" / "inner" / "deep.py").write_text("X = 2\n", encoding="utf-8")
    (foreign / "json").mkdir()  # a folder without __init__.py replaces nothing
    try:
        assert import_named("pack.inner.deep", str(foreign)).X == 2
        assert home_of("pack.inner.deep") == str(foreign.resolve())
        assert import_named("wave", str(foreign)).__file__.startswith(str(Path(os.__file__).parent))
        assert import_named("json", str(foreign)).dumps([]) == "[]"
    finally:
        for name in ("pack", "pack.inner", "pack.inner.deep"):
            sys.modules.pop(name, None)
    assert home_of("sys") is None
    assert home_of("nowhere_at_all") is None


def test_a_module_that_fails_is_not_left_behind(foreign):
    (foreign / "broken_one.py").write_text("raise RuntimeError('no')\n", encoding="utf-8")
    with pytest.raises(RuntimeError, match="no"):
        import_named("broken_one", str(foreign))
    assert "broken_one" not in sys.modules

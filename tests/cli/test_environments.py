"""Commands in a hostile environment: one line and an exit code, or normal work, never a traceback."""

from __future__ import annotations

import errno
import os
import subprocess
import sys

import pytest
import typer

from crossnorm.cli.app import guarded
from crossnorm.io import encoded_name
from tests.repository import ROOT


def started(folder, command):
    """Runs a shell command in which ``crossnorm`` is this one."""
    start = f'crossnorm() {{ {sys.executable} -m crossnorm "$@"; }}; '
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    return subprocess.run(
        ["bash", "-c", start + command], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    ("command", "code", "words"),
    [
        ("crossnorm schema > /dev/full", 1, "crossnorm: input or output: No space left on device.\n"),
        ("crossnorm schema >&-", 0, ""),
        ("crossnorm list tasks 2>/dev/full; exit $?", 0, ""),
        ("crossnorm plan quick 2>/dev/full >/dev/null; exit $?", 1, ""),
        ("crossnorm plan nothing 2>/dev/full; exit $?", 2, ""),
        ("crossnorm list tasks | true; exit ${PIPESTATUS[0]}", 141, ""),
        ("crossnorm plan quick 2>/dev/null | true; exit ${PIPESTATUS[0]}", 141, ""),
        ("mkdir d; cd d; rmdir ../d; crossnorm schema", 1, "crossnorm: the working directory does not exist"),
    ],
)
def test_output_and_folder(tmp_path, command, code, words):
    done = started(tmp_path, command)
    assert done.returncode == code
    assert done.stderr.startswith(words)
    assert done.stderr.count("\n") == bool(words)


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (OSError(errno.EMFILE, "Too many open files", "a.csv"), "crossnorm: a.csv: Too many open files.\n"),
        (PermissionError(errno.EACCES, "Permission denied", "b"), "crossnorm: b: Permission denied.\n"),
        (MemoryError(), "crossnorm: out of memory. Use a smaller model, batch or table, or fewer workers.\n"),
        (RecursionError(), "crossnorm: a value of the input is nested too deeply.\n"),
    ],
)
def test_errors_of_the_machine_are_one_line(capsys, error, line):
    @guarded
    def command() -> None:
        raise error

    with pytest.raises(typer.Exit) as caught:
        command()
    assert caught.value.exit_code == 1
    assert capsys.readouterr().err == line


def test_a_bug_stays_a_traceback():
    @guarded
    def command() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        command()


def test_a_name_that_the_locale_cannot_decode_is_the_same_folder():
    name = "ελλ"
    escaped = name.encode().decode("ascii", "surrogateescape")
    assert encoded_name(escaped) == encoded_name(name) == "%CE%B5%CE%BB%CE%BB"


def test_a_wrong_backend_of_matplotlib_is_not_obeyed(tmp_path):
    code = "import sys; sys.argv = ['crossnorm', '--version']\nfrom crossnorm.cli import main\n"
    code += "try: main()\nexcept SystemExit: pass\nimport matplotlib; print(matplotlib.get_backend())"
    command = [sys.executable, "-c", code]
    environment = os.environ | {"MPLBACKEND": "nonsense"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "agg"

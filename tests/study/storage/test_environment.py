"""The revision that a study stores is crossnorm's own, not that of a repository it is installed in."""

from __future__ import annotations

import shutil
import subprocess

import pytest

import crossnorm as library
from crossnorm.study.storage.environment import describe_environment


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_the_repository_around_an_environment_is_not_asked(tmp_path, monkeypatch):
    installed = tmp_path / ".venv" / "lib" / "python" / "site-packages" / "crossnorm"
    installed.mkdir(parents=True)
    hook = tmp_path / "hook.sh"
    hook.write_text(f"#!/bin/sh\ntouch {tmp_path}/executed\n", encoding="utf-8")
    hook.chmod(0o755)
    who = ("-c", "user.name=a", "-c", "user.email=a@example.org")
    for words in (("init", "-q"), (*who, "commit", "-q", "--allow-empty", "-m", "x")):
        subprocess.run(["git", "-C", str(tmp_path), *words], check=True)
    subprocess.run(["git", "-C", str(tmp_path), "config", "core.fsmonitor", str(hook)], check=True)
    monkeypatch.setattr(library, "__file__", str(installed / "__init__.py"))
    monkeypatch.setattr("crossnorm.study.storage.environment.__file__", str(installed / "environment.py"))
    assert describe_environment()["revision"] == "release"
    assert not (tmp_path / "executed").exists()

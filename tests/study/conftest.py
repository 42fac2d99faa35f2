"""Makes ``study_cases`` importable wherever pytest is started, and keeps the tests' data in a cache of their own."""

from __future__ import annotations

import pytest

from tests.study.study_cases import crossnorm, write_study


@pytest.fixture(scope="session")
def answered(tmp_path_factory):
    """A tiny study, run once by the command line: its folder, and what was printed."""
    home = tmp_path_factory.mktemp("answered")
    done = crossnorm("plot", write_study(home), "--out", "out", cwd=home)
    return home / "out", done

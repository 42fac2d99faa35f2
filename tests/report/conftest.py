from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from crossnorm.stats import Table, Verdict
from tests.report.report_studies import STATES, judged


@pytest.fixture(params=list(STATES))
def state(request: pytest.FixtureRequest) -> tuple[Table, Verdict]:
    make, options = STATES[request.param]
    table = make()
    return table, judged(table, **options)


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("no chromium on this machine")
    with sync_api.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        yield opened
        opened.close()

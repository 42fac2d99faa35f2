"""What axe-core says of a page."""

from __future__ import annotations

from typing import Any

import pytest


def serious_faults(page: Any) -> list[str]:
    """Rules that the page breaks seriously or critically, each with the number of its places."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
    found = axe.Axe().run(page).response
    assert found["passes"], "axe-core looked at nothing"
    return [f"{v['id']}: {len(v['nodes'])}" for v in found["violations"] if v["impact"] in ("serious", "critical")]

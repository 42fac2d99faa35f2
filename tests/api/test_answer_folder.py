"""The folder of a study takes the declared answer of this study, and no other result."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from crossnorm.api import audit, load
from crossnorm.cli import app
from crossnorm.errors import BadInput
from tests.api.stored_studies import begun, trained
from tests.study.study_cases import contents


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two finished studies with their answers, `one` and `other`; the second is returned."""
    for name in ("one", "other"):
        plan = begun(tmp_path / name, name=name)
        trained(tmp_path / name, plan, len(plan.runs))
        load(tmp_path / name).save(tmp_path / name)
    return tmp_path / "other"


def _refused(folder: Path, *arguments: object) -> None:
    before = contents(folder)
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert (done.exit_code, done.stdout) == (2, ""), done.output
    assert "the folder of a study, which keeps the declared answer" in " ".join(done.stderr.split())
    assert contents(folder) == before


def test_the_answer_of_another_study(folder: Path) -> None:
    one = folder.parent / "one"
    _refused(folder, "report", one, "--out", folder)
    _refused(
        folder,
        "report",
        "--from",
        one / "table.csv",
        *["--metric", "test_loss", "--direction", "lower", "--out"],
        folder,
    )
    _refused(folder, "audit", one, "--out", folder)
    _refused(folder, "audit", "--out", folder)
    with pytest.raises(BadInput, match="keeps the declared answer"):
        load(one).save(folder)
    with pytest.raises(BadInput, match="keeps the declared answer"):
        audit(one, out=folder)


@pytest.mark.parametrize(
    "question",
    [["--metric", "test_accuracy"], ["--margin", "0.5"], ["--metric", "test_loss_auc", "--direction", "lower"]],
)
def test_another_question(folder: Path, question: list[str]) -> None:
    _refused(folder, "report", folder, *question, "--out", folder)


def test_a_single_run(folder: Path) -> None:
    result = load(folder / "runs" / "convex-1" / "0")
    before = contents(folder)
    with pytest.raises(BadInput, match="keeps the declared answer"):
        result.save(folder)
    assert contents(folder) == before
    assert (result.save(folder.parent / "elsewhere") / "verdict.json").exists()


def test_the_declared_answer_under_any_name_of_its_folder(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    before = contents(folder)
    (tmp_path / "link").symlink_to(folder)
    monkeypatch.chdir(folder.parent)
    for name in ("other", "./other/", "link", folder):
        assert CliRunner().invoke(app, ["report", str(folder), "--out", str(name)]).exit_code == 0
        load("other").save(name)
    assert contents(folder) == before

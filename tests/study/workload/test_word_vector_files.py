"""Files of word vectors are part of what a study is trained on: a changed one is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from crossnorm.errors import BadInput
from crossnorm.study.spec.schema import parse_spec
from crossnorm.study.storage.run_folder import RunFolder
from crossnorm.study.storage.study_folder import open_folder
from crossnorm.study.workload.workload import Workload, open_workload
from crossnorm.training.loop.outcome import Outcome, RunStatus

CLASSES = ("ABBR", "DESC", "ENTY", "HUM", "LOC", "NUM")


@pytest.fixture
def vectors(tmp_path: Path) -> Path:
    """Two files of word vectors beside the texts of a small task; the first is returned."""
    lines = [f"{CLASSES[i % 6]}:x {CLASSES[i % 6].lower()} of the word{i % 5}" for i in range(60)]
    (tmp_path / "data").mkdir()
    for name in ("train_5500.label", "TREC_10.label"):
        (tmp_path / "data" / name).write_text("\n".join(lines) + "\n")
    for name, value in (("vectors.txt", 0.1), ("others.txt", 0.2)):
        words = ("the", "of", *map(str.lower, CLASSES), *(f"word{i}" for i in range(5)))
        (tmp_path / name).write_text("".join(f"{word} {value} {i} 0 1\n" for i, word in enumerate(words)))
    return tmp_path / "vectors.txt"


def compiled(vectors: Path, **arm: object) -> Workload:
    fields = {"task": "trec", "data": str(vectors.parent / "data"), "variants": [], "seeds": 3, "epochs": 1}
    model = {"word_vectors": str(vectors), "num_layers": 1, "embedding_dim": 8}
    arms = [{"name": "mine", "variant": "convex", "alpha": 0.9} | arm]
    return open_workload(parse_spec(fields | {"model": model, "arms": arms}, "words"))


def opened(folder: Path, workload: Workload, code: dict[str, str] | None = None) -> None:
    open_folder(folder, workload.plan, workload.digest, workload.code if code is None else code)


def test_a_changed_file_is_refused(vectors: Path, tmp_path: Path) -> None:
    before, folder = compiled(vectors), tmp_path / "A"
    folder.mkdir()
    opened(folder, before)
    opened(folder, compiled(vectors))
    vectors.write_bytes((tmp_path / "others.txt").read_bytes())
    opened(folder, compiled(vectors))  # nothing was trained on the old one
    plan, _ = open_folder(folder, before.plan, before.digest, before.code)
    RunFolder(folder, plan.runs[0], plan).finish(Outcome(RunStatus.COMPLETE), {})
    with pytest.raises(BadInput, match=r"the data of model\.word_vectors changed since the study started"):
        opened(folder, compiled(vectors))


def test_the_file_of_an_arm_too(vectors: Path, tmp_path: Path) -> None:
    other = tmp_path / "others.txt"
    before = compiled(vectors, model={"word_vectors": str(other)})
    assert len(set(before.code.values())) == 2
    other.write_text(other.read_text().replace("0.2", "0.3"))
    assert compiled(vectors, model={"word_vectors": str(other)}).code != before.code


def test_a_study_that_has_no_digest_of_it_goes_on(vectors: Path, tmp_path: Path) -> None:
    workload, folder = compiled(vectors), tmp_path / "A"
    folder.mkdir()
    opened(folder, workload, code={})
    opened(folder, workload)
    opened(folder, workload)

"""Studies of texts and language: sizes from the task, word vectors from a file, errors that name the setting."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from crossnorm import Study
from crossnorm.data import load_task
from crossnorm.errors import BadInput
from crossnorm.study.spec.plan import make_plan
from crossnorm.study.workload.build_model import build_model, model_keywords
from tests.study.study_cases import crossnorm, refused

QUESTIONS = ["LOC:x Where is Ohio ?", "HUM:x Who is Ohio ?", "NUM:x When was Ohio ?"] * 7


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("CROSSNORM_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def trec(tmp_path):
    folder = tmp_path / "trec"
    folder.mkdir()
    for name in ("TREC.train", "TREC.test"):
        (folder / name).write_text("\n".join(QUESTIONS))
    return folder


@pytest.fixture
def letters(tmp_path):
    path = tmp_path / "letters.txt"
    path.write_text("".join("abc \n"[k] for k in np.random.default_rng(1).integers(0, 5, 2591)))
    return path


@pytest.fixture
def vectors(tmp_path):
    path = tmp_path / "vectors.txt"
    path.write_text("ohio 1 2 3 4 5 6\nwhere 6 5 4 3 2 1\nelsewhere 0 0 0 0 0 0\n")
    return path


def built(study, **model):
    plan = make_plan(study)
    return build_model(plan.arms[0], dict(study.model) | model, load_task(study.task, data=study.data), 0)


def test_another_model_takes_the_task_s_sizes(trec):
    task = load_task("trec", data=trec)
    for name in ("text_transformer_2", "text_vit_2"):
        keywords = model_keywords({"name": name}, task)
        assert (keywords["vocab_size"], keywords["seq_len"], keywords["num_classes"]) == (len(task.vocabulary), 40, 6)
        assert not {"kernel_size", "word_embedding_dim"} & set(keywords)


@pytest.mark.parametrize("trained", [True, False])
@pytest.mark.filterwarnings("ignore:.*words have no vector")
def test_word_vectors_from_a_file(trec, vectors, trained):
    study = Study(task="trec", data=str(trec), model={"word_vectors": str(vectors), "train_words": trained})
    plan, task = study.plan(), load_task("trec", data=trec)
    weights = [build_model(plan.arms[0], plan.spec.model, task, seed).embedder.embeddings.weight for seed in (0, 0, 1)]
    ohio, where, is_ = (task.vocabulary.index(word) for word in ("ohio", "where", "is"))
    assert weights[0][ohio].tolist() == [1, 2, 3, 4, 5, 6]
    assert weights[2][where].tolist() == [6, 5, 4, 3, 2, 1]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0][is_], weights[2][is_])  # not in the file: drawn for the seed
    assert weights[0].requires_grad is trained
    assert plan.spec.model["word_vectors"] == str(vectors)


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ({"name": "cct_2_3x2_32"}, "model.name: expected a model for trec, such as text_transformer_2"),
        ({"name": "gpt_2"}, "model.name"),
        ({"name": "text_cct_9"}, "Did you mean 'text_cct_"),
        ({"seq_len": 39}, "model.seq_len: expected at least 40, the length of trec"),
        ({"vocab_size": 3}, "model.vocab_size: expected at least"),
        ({"word_vectors": 3}, "model.word_vectors: expected a file path"),
        ({"word_vectors": "absent.txt"}, "absent.txt: no such file"),
    ],
)
def test_a_model_that_does_not_fit_the_texts(trec, model, words):
    with pytest.raises(BadInput, match=words):
        Study(task="trec", data=str(trec), model=model).plan()


@pytest.mark.filterwarnings("ignore:.*words have no vector")
def test_a_width_beside_the_file_s_must_be_the_file_s(trec, vectors):
    model = {"word_vectors": str(vectors), "word_embedding_dim": 5}
    with pytest.raises(BadInput, match="vectors: expected shape"):
        Study(task="trec", data=str(trec), model=model).plan()


def test_a_model_that_does_not_fit_the_language(letters, vectors):
    for model, words in (
        ({"name": "text_cct_2"}, "model.name: expected a model for shakespeare, such as gpt_2"),
        ({"word_vectors": str(vectors)}, "shakespeare has no words"),
        ({"seq_len": 127}, "at least 128"),
    ):
        with pytest.raises(BadInput, match=words):
            Study(task="shakespeare", data=str(letters), model=model).plan()
    with pytest.raises(BadInput, match="site"):
        Study(task="shakespeare", data=str(letters), site="pool").plan()
    with pytest.raises(BadInput, match=r"recipe.augmentation: expected 'task' or 'none'"):
        Study(task="shakespeare", data=str(letters), recipe={"augmentation": "crop-flip"}).plan()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("task", "site", "variants"), [("trec", "both", ["signed"]), ("shakespeare", "attention", ["matched"])]
)
def test_a_whole_study(task, site, variants, trec, letters, tmp_path):
    data = trec if task == "trec" else letters
    study = {"task": task, "site": site, "variants": variants, "alphas": [0, 1], "seeds": 3, "epochs": 2}
    study |= {"model": {"embedding_dim": 8}, "recipe": {"batch_size": 5}}
    (tmp_path / "s.yaml").write_text(json.dumps(study))
    done = crossnorm("plot", "s.yaml", "--data", data, "--out", "out", "--workers", "1", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    verdict = json.loads((tmp_path / "out" / "verdict.json").read_text())
    assert verdict["complete"]
    assert len({row["mean"] for row in verdict["arms"]}) == len(verdict["arms"])
    rows = (tmp_path / "out" / "runs" / "baseline" / "0" / "metrics.jsonl").read_text().splitlines()
    first = json.loads(rows[0])["test_loss"]
    assert first == pytest.approx(np.log(6), abs=0.3)  # six classes; five characters and the unknown one


def test_files_that_are_missing_end_with_one_line(tmp_path):
    refused(crossnorm("plot", "trec", "--data", "absent", cwd=tmp_path), "TREC.train", "no such folder")

"""Tasks of labeled texts, from files in their usual formats and from the hub's package."""

from __future__ import annotations

import sys
import types
from pathlib import Path

import pytest
import torch

from crossnorm.data import list_tasks, load_task, prepare
from crossnorm.data.task_registry import find_task
from crossnorm.data.text.readers import find_files, read_texts
from crossnorm.errors import BadInput
from tests.data import data_texts

TASKS = {name for name in list_tasks() if find_task(name).kind == "text"}


def read(path, name):
    spec = find_task(name).text
    return read_texts(find_files(path, spec.format), spec.format, spec.classes), spec.classes


@pytest.mark.parametrize("names", [("TREC.train", "TREC.test"), ("train_5500.label", "TREC_10.label")])
def test_trec(tmp_path, names):
    texts, classes = read(data_texts.trec(tmp_path / "t", names), "trec")
    for split, lines in data_texts.QUESTIONS.items():
        assert [(classes[label], text) for label, text in texts[split]] == [(a.split(":")[0], b) for a, b in lines]


@pytest.mark.parametrize("heading", ["", "Class Index,Title,Description\n"])
def test_a_table_of_topics(tmp_path, heading):
    texts, _ = read(data_texts.table(tmp_path, heading), "ag-news")
    assert texts == {
        "train": [(2, 'Stocks "fall" a band of cynics, again'), (0, "Peace two\nlines")],
        "test": [(3, "Robots they come"), (1, "A, B win"), (0, "x y")],
    }


def test_reviews_in_folders_one_level_down_too(tmp_path):
    data_texts.reviews(tmp_path / "aclImdb")
    texts, classes = read(tmp_path, "imdb")
    assert classes == ("neg", "pos")
    assert texts["train"] == [(0, "train neg film 0"), (1, "train pos film 0"), (1, "train pos film 1")]
    assert [label for label, _ in texts["test"]] == [0, 0, 0, 1]


def test_sentences_are_tested_on_the_published_dev_set(tmp_path):
    texts, _ = read(data_texts.sentences(tmp_path), "sst2")
    assert texts == {"train": [(1, 'a "fine" film'), (0, "dull")], "test": [(1, "fine")]}


def test_a_task_of_texts(tmp_path):
    task = load_task("trec", data=data_texts.trec(tmp_path / "t"))
    assert (task.kind, task.image_size, task.n_classes) == ("text", (1, 40), 6)
    # words of the training set seen twice, by frequency and then the alphabet; "zirconium" is nowhere
    assert task.vocabulary == ("<unk>", "<pad>", "?", "is", "ohio", "what", "in")
    assert task.train.inputs.dtype == task.train.targets.dtype == torch.int64
    assert task.train.inputs.shape == (5, 40)
    assert task.test.inputs[0, :5].tolist() == [5, 3, 0, 2, 1]
    assert task.test.targets.tolist() == [1, 2]
    assert task.model["vocab_size"] == 7
    assert task.model["seq_len"] == 40
    assert task.model["num_classes"] == 6
    assert task.augmentation == "none"


def test_batches_lose_only_columns_of_padding(tmp_path):
    task = load_task("trec", data=data_texts.trec(tmp_path / "t"))
    ready = prepare(task.train.inputs, task)
    longest = max(len(question.split()) for _, question in data_texts.QUESTIONS["train"])
    assert ready.shape == (5, longest)
    assert torch.equal(ready, task.train.inputs[:, :longest])
    assert (task.train.inputs[:, longest:] == 1).all()


def test_the_vocabulary_and_the_digest_follow_the_files(tmp_path):
    folder = data_texts.trec(tmp_path / "t")
    before = load_task("trec", data=folder)
    assert load_task("trec", data=folder).digest == before.digest
    few = load_task("trec", data=folder, train_examples=3)
    assert few.vocabulary == before.vocabulary
    assert few.digest != before.digest
    assert len(few.train) == 3
    (folder / "TREC.test").write_text("LOC:x Where is zirconium zirconium ?\n")
    changed = load_task("trec", data=folder)
    assert changed.vocabulary == before.vocabulary  # the test set teaches no word
    assert changed.digest != before.digest


@pytest.mark.parametrize(
    ("name", "file", "content", "words"),
    [
        ("trec", "TREC.train", "LOC:city Where ?\nPLACE:city Where ?\n", r"TREC.train, line 2: .*got 'PLACE'"),
        ("trec", "TREC.train", "\n", "at least one example"),
        ("ag-news", "train.csv", "1,a,b\n5,a,b\n", r"line 2: expected one of the classes 1, 2, 3, 4, got '5'"),
        ("ag-news", "train.csv", "1\n", "class,title,description"),
        ("sst2", "train.tsv", "sentence\tlabel\nno label\n", r"line 2: expected sentence<tab>label"),
        ("sst2", "dev.tsv", "sentence\tlabel\nx\t2\n", "one of the classes 0, 1, got '2'"),
    ],
)
def test_a_damaged_line_is_named(tmp_path, name, file, content, words):
    make = {"trec": data_texts.trec, "ag-news": data_texts.table, "sst2": data_texts.sentences}[name]
    (make(tmp_path / "d") / file).write_text(content)
    with pytest.raises(BadInput, match=words):
        load_task(name, data=tmp_path / "d")


def test_bytes_that_are_no_text(tmp_path):
    (data_texts.sentences(tmp_path) / "train.tsv").write_bytes(b"sentence\tlabel\n\xff\xfe\t1\n")
    with pytest.raises(BadInput, match=r"train.tsv: expected a text file in UTF-8"):
        load_task("sst2", data=tmp_path)


@pytest.mark.parametrize("name", sorted(TASKS))
def test_a_folder_without_the_files_is_told_which(tmp_path, name):
    with pytest.raises(BadInput, match=r"expected a folder with .*train.*, got a folder without them"):
        load_task(name, data=tmp_path)
    with pytest.raises(BadInput, match="got no such folder"):
        load_task(name, data=tmp_path / "absent")


@pytest.mark.parametrize("name", sorted(TASKS))
def test_without_the_package_the_way_out_is_told(monkeypatch, name):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(BadInput, match=rf"task {name}: .*crossnorm\[hf\].* Or set data to a local copy"):
        load_task(name)


class Rows(dict):
    """A split as the package gives it: columns, and features with the names of the classes."""

    def __init__(self, columns, label, names):
        super().__init__(columns)
        self.features = {label: types.SimpleNamespace(names=names)}


def fake_hub(monkeypatch, load):
    monkeypatch.setitem(sys.modules, "datasets", types.SimpleNamespace(load_dataset=load))


def test_the_hub_s_classes_are_put_in_the_catalogue_s_order(monkeypatch, tmp_path: Path):
    names, asked = ["ABBR", "ENTY", "DESC", "HUM", "LOC", "NUM"], []
    lines = data_texts.QUESTIONS

    def load(repository, subset, **how):
        asked.append((repository, how["revision"]))
        return {
            split: Rows(
                {"text": [b for _, b in rows], "coarse_label": [names.index(a.split(":")[0]) for a, _ in rows]},
                "coarse_label",
                names,
            )
            for split, rows in lines.items()
        }

    fake_hub(monkeypatch, load)
    hub = load_task("trec")
    local = load_task("trec", data=data_texts.trec(tmp_path / "t"))
    assert asked == [("CogComp/trec", "refs/convert/parquet")]
    assert hub.digest == local.digest
    assert hub.vocabulary == local.vocabulary


def test_a_hub_out_of_reach_or_with_other_classes_is_one_error(monkeypatch):
    def offline(*_, **__):
        raise ConnectionError("no route\nto host")

    fake_hub(monkeypatch, offline)
    with pytest.raises(BadInput, match=r"task imdb: .*failed \(no route to host\)\. Or set data"):
        load_task("imdb")
    rows = Rows({"text": ["x"], "label": [0]}, "label", ["good", "bad"])
    fake_hub(monkeypatch, lambda *_, **__: {"train": rows, "test": rows})
    with pytest.raises(BadInput, match="expected classes neg, pos, got good, bad"):
        load_task("imdb")


def test_a_text_that_would_fill_the_memory(tmp_path):
    for name in ("TREC.train", "TREC.test"):
        (tmp_path / name).write_text("DESC:x " + "word " * 250_000, encoding="latin-1")
    with pytest.raises(BadInput, match=r"expected texts of at most 1000000 characters, got 1249999"):
        load_task("trec", data=tmp_path)

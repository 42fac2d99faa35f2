"""The JSON schema of study files, against an independent validator and against what crossnorm itself reads."""

from __future__ import annotations

import json
import os
from importlib.resources import files

import pytest
import yaml
from jsonschema import Draft202012Validator
from typer.testing import CliRunner

from crossnorm.cli import app
from crossnorm.errors import BadInput
from crossnorm.study.spec.json_schema import study_schema
from crossnorm.study.spec.schema import StudySpec, in_full, parse_spec

SCHEMA = study_schema()
FILES = [path for path in (files("crossnorm.study.spec") / "builtin").iterdir() if path.name.endswith(".yaml")]


def accepted(fields):
    return Draft202012Validator(SCHEMA).is_valid(fields)


def test_the_schema_is_one():
    Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_study_files_that_come_with_the_package(path):
    assert accepted(yaml.safe_load(path.read_text(encoding="utf-8")))


def test_what_a_study_folder_stores_is_accepted():
    spec = parse_spec({"task": "digits", "arms": [{"name": "hot", "variant": "convex", "alpha": 0.5, "lr": 0.1}]}, "x")
    assert accepted(json.loads(spec.model_dump_json()))


TASK = {"task": "digits"}


@pytest.mark.parametrize(
    "fields",
    [
        {"model": "cct_4_3x2_32"},
        {"model": {"name": "cct_4_3x2_32", "num_layers": 3}},
        {"recipe": "paper"},
        {"recipe": {"name": "paper", "lr": 0.1}},
        {"variants": "convex"},
        {"variants": ["convex", {"name": "matched", "gain": 3}]},
        {"variants": {"name": "matched", "temperature": 5}},
        {"alphas": 0.5},
        {"alphas": [0, 0.5]},
        {"seeds": 7},
        {"seeds": [3, 5]},
        {"margin": "1 %"},
        {"margin": 0.02},
    ],
    ids=str,
)
def test_forms_that_crossnorm_reads(fields):
    parse_spec(TASK | fields, "study.yaml")
    assert accepted(TASK | fields)


@pytest.mark.parametrize(
    "fields",
    [
        {"epoch": 3},
        {"model": 3},
        {"recipe": {"learning_rate": 0.1}},
        {"variants": [3]},
        {"alphas": "half"},
        {"seeds": 0},
        {"stop": "never"},
        {"arms": [{"dose": 1}]},
    ],
    ids=str,
)
def test_forms_that_are_refused(fields):
    assert not accepted(TASK | fields)
    if "recipe" not in fields:  # checked with the recipe, later
        with pytest.raises(BadInput):
            parse_spec(TASK | fields, "study.yaml")


def test_every_field_is_described():
    assert all(SCHEMA["properties"][name].get("description") for name in StudySpec.model_fields)
    assert "Peak learning rate." in json.dumps(SCHEMA["properties"]["recipe"])


def test_short_forms_mean_the_long_ones():
    short = parse_spec(TASK | {"model": "cct_4_3x2_32", "recipe": "paper", "variants": "matched", "alphas": 0.5}, "x")
    assert short.model == {"name": "cct_4_3x2_32"}
    assert short.recipe == {"name": "paper"}
    assert [variant.name for variant in short.variants] == ["matched"]
    assert short.alphas == [0.0, 0.5]


def run(*arguments):
    return CliRunner().invoke(app, list(map(str, arguments)))


def test_the_commands(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert json.loads(run("schema").stdout) == SCHEMA
    assert run("new", "mine.yaml").exit_code == 0
    assert json.loads((tmp_path / "study.schema.json").read_text()) == SCHEMA
    assert (tmp_path / "mine.yaml").read_text().startswith("# yaml-language-server: $schema=study.schema.json\n")
    done = run("schema", "--out", "none/x.json")
    assert (done.exit_code, done.stderr) == (2, "crossnorm: none/x.json: cannot write: No such file or directory.\n")


def states(folder):
    """What is in a folder, apart from the times at which it was read."""
    found = [(path.name, path.lstat()) for path in folder.iterdir()]
    return sorted((name, state.st_mode, state.st_ino, state.st_size, state.st_mtime_ns) for name, state in found)


@pytest.mark.parametrize("kind", ["link", "dangling link", "file", "named pipe", "folder"])
def test_the_schema_replaces_nothing_but_a_schema(kind, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    place, other = tmp_path / "study.schema.json", tmp_path / "precious.json"
    text = json.dumps(SCHEMA) if kind == "link" else '{"title": "mine"}'
    make = {"named pipe": lambda: os.mkfifo(place), "folder": place.mkdir, "file": lambda: place.write_text(text)}
    make.get(kind, lambda: place.symlink_to(other))()
    if kind == "link":
        other.write_text(text)
    before = states(tmp_path)
    for arguments in (["new", "mine.yaml"], ["schema", "--out", place.name]):
        done = run(*arguments)
        assert (done.exit_code, done.stdout) == (2, "")
        assert done.stderr.startswith("crossnorm: study.schema.json: ")
    assert states(tmp_path) == before


def test_an_older_schema_is_replaced(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "study.schema.json").write_text(json.dumps(SCHEMA | {"properties": {}}))
    assert run("new", "mine.yaml").exit_code == 0
    assert json.loads((tmp_path / "study.schema.json").read_text()) == SCHEMA


@pytest.mark.parametrize("source", ["quick", "stored", "file.yaml"])
def test_a_copy_of_a_study_has_its_fields_and_another_name(source, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    quick = next(path for path in FILES if path.name == "quick.yaml").read_text(encoding="utf-8")
    (tmp_path / "stored").mkdir()
    for copy in ("stored/study.yaml", "file.yaml"):
        (tmp_path / copy).write_text(quick, encoding="utf-8")
    assert run("new", "mine.yaml", "--from", source).exit_code == 0
    fields = yaml.safe_load(quick)
    del fields["name"]
    assert in_full(yaml.safe_load((tmp_path / "mine.yaml").read_text(encoding="utf-8"))) == in_full(fields)


def test_a_copy_of_nothing_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = run("new", "mine.yaml", "--from", "nothing")
    assert done.exit_code == 2
    assert "study: expected a YAML file" in done.stderr
    assert list(tmp_path.iterdir()) == []

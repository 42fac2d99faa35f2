"""The study file: defaults, and one clear error for whatever is wrong."""

from __future__ import annotations

import pytest

from crossnorm.errors import BadInput
from crossnorm.study.spec.builtin_studies import builtin_studies, find_study
from crossnorm.study.spec.plan import make_plan
from crossnorm.study.spec.schema import parse_spec, read_fields
from crossnorm.study.spec.study_template import study_template


def spec(**fields):
    return parse_spec({"task": "mnist1d", **fields}, "my.yaml")


def test_defaults_are_those_of_the_contract():
    found = spec()
    assert (found.name, found.site, found.metric, found.direction) == (
        "mnist1d-convex",
        "attention",
        "test_loss",
        "lower",
    )
    assert found.alphas == [0, 0.25, 0.5, 0.75, 1]
    assert found.seeds == [0, 1, 2, 3, 4, 5]
    assert (found.control, found.margin, found.confidence, found.stop) == (True, None, 0.95, "fixed")


def test_zero_is_added_once_and_doses_are_sorted():
    assert spec(alphas=[1, -0.5, 1, -0.0]).alphas == [-0.5, 0, 1]


def test_seeds_are_a_count_or_a_list():
    assert spec(seeds=4).seeds == [0, 1, 2, 3]
    assert spec(seeds=[7, 3]).seeds == [7, 3]


def test_direction_follows_the_metric():
    assert spec(metric="test_accuracy").direction == "higher"


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"sedes": 3}, ["my.yaml: sedes (unknown field)", "Did you mean 'seeds'"]),
        ({"seeds": -1}, ["my.yaml: seeds", "at least 1", "-1"]),
        ({"seeds": 0}, ["my.yaml: seeds", "at least 1"]),
        ({"seeds": True}, ["my.yaml: seeds"]),
        ({"seeds": [1, 1]}, ["my.yaml: seeds", "different whole numbers"]),
        ({"seeds": [-1]}, ["different whole numbers from 0"]),
        ({"seeds": [2**63]}, ["different whole numbers from 0 to 9223372036854775807"]),
        ({"seeds": [10**5000]}, ["my.yaml: seeds", "too large to be shown"]),
        ({"alphas": [1e60]}, ["my.yaml: alphas", "1e-50 to 1e50"]),
        ({"alphas": []}, ["my.yaml: alphas"]),
        ({"alphas": ["x"]}, ["my.yaml: alphas.0", "'x'"]),
        ({"alphas": [float("nan")]}, ["my.yaml: alphas.0", "finite"]),
        ({"epochs": 0}, ["my.yaml: epochs"]),
        ({"epochs": 2.5}, ["my.yaml: epochs"]),
        ({"margin": -1.0}, ["my.yaml: margin", "a number above 0"]),
        ({"margin": "lots"}, ["my.yaml: margin", "'lots'"]),
        ({"margin": "x %"}, ["my.yaml: margin"]),
        ({"confidence": 1.0}, ["my.yaml: confidence"]),
        ({"format": 2}, ["my.yaml: format"]),
        ({"metric": "accuracy"}, ["metric", "test_accuracy"]),
        ({"metric": "test_loss", "direction": "higher"}, ["direction lower"]),
        ({"site": "pol"}, ["my.yaml: site"]),
        ({"variants": [{"name": "convex", "gian": 2}]}, ["unknown field", "Did you mean 'gain'"]),
        ({"metric": "test_loss_steps_to_"}, ["metric one of"]),
        ({"metric": "test_accuracy_steps_to_0.8", "direction": "higher"}, ["direction lower"]),
        ({"stop": "decided"}, ["max_seeds if and only if stop is"]),
        ({"max_seeds": 9}, ["max_seeds if and only if stop is"]),
        ({"stop": "decided", "seeds": 6, "max_seeds": 5}, ["max_seeds of at least"]),
        ({"name": "a\nb"}, ["my.yaml: name", "control characters"]),
        ({"name": "a\x9b31mb"}, ["my.yaml: name", "control characters"]),
        ({"arms": [{"name": "a\u202eb"}]}, ["my.yaml: arms.0.name", "control characters"]),
        ({"metric": "\ud800"}, ["my.yaml: metric", "control characters"]),
        ({"alpha_schedule": {"kind": "wild"}}, ["my.yaml: alpha_schedule.kind"]),
    ],
)
def test_each_fault_names_file_and_field(fields, words):
    with pytest.raises(BadInput) as caught:
        spec(**fields)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize("fields", [None, {}, [], "text", 3])
def test_what_is_no_mapping_is_no_study(fields):
    with pytest.raises(BadInput, match="a mapping with the field task"):
        parse_spec(fields, "my.yaml")


def test_task_is_required():
    with pytest.raises(BadInput, match="my.yaml: task: one of the fields task and function is required"):
        parse_spec({"seeds": 3}, "my.yaml")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "nothing"),
        (b"\x89PNG\r\n\x1a\n\x00\xff\xfe", "a YAML file in UTF-8"),
        (b"task: [unclosed", "not valid YAML"),
        (b"- a\n- b\n", "list"),
        (b"!!python/object/apply:os.system [echo]", "not valid YAML"),
        (b"task: mnist1d\n  name: x", "line 2"),
    ],
)
def test_files_that_are_no_study(tmp_path, content, words):
    path = tmp_path / "bad.yaml"
    path.write_bytes(content)
    with pytest.raises(BadInput) as caught:
        read_fields(path)
    assert words in str(caught.value)
    assert "bad.yaml" in str(caught.value)


def test_name_defaults_to_the_files(tmp_path):
    (tmp_path / "hello.yaml").write_text("task: digits\n")
    assert read_fields(tmp_path / "hello.yaml") == {"name": "hello", "task": "digits"}


def test_builtin_studies_are_studies_with_a_description():
    ready = builtin_studies()
    assert {"quick", "cifar10", "seven-runs"} <= set(ready)
    for name, description in ready.items():
        assert parse_spec(find_study(name), name).name == name
        assert len(description) > 20


def test_the_template_is_a_study_and_says_the_defaults(tmp_path):
    path = tmp_path / "new.yaml"
    path.write_text(study_template(), encoding="utf-8")
    assert parse_spec(read_fields(path), "t") == parse_spec({"task": "mnist1d", "name": "new", "epochs": 10}, "t")


@pytest.mark.parametrize(
    ("fields", "name", "epochs"),
    [
        ({}, "quick", 10),
        ({"model": {"from": "cct/model.safetensors"}}, "anneal", 10),
        ({"model": {"from": "bert-base-uncased"}, "task": "trec"}, "finetune-text", 3),
        ({"model": {"from": "bert-base-uncased"}, "task": "trec", "recipe": {"name": "quick"}}, "quick", 10),
        ({"model": {"name": "cct_7_3x1_32", "pretrained": True}, "task": "cifar10"}, "anneal", 10),
    ],
)
def test_what_was_trained_before_is_trained_gently_unless_the_study_says_otherwise(fields, name, epochs):
    recipe = make_plan(parse_spec({"task": "digits"} | fields, "t")).arms[0].training
    assert (recipe.name, recipe.epochs) == (name, epochs)


def test_unknown_study_offers_the_nearest():
    with pytest.raises(BadInput, match="Did you mean 'quick'"):
        find_study("quik")

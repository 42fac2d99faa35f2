"""Arms that change fields of the model: what is built, what is shared, what is refused."""

from __future__ import annotations

import pytest
import torch

from crossnorm.errors import BadInput
from crossnorm.study.spec.plan import make_plan
from crossnorm.study.spec.schema import parse_spec, read_fields
from crossnorm.study.workload import validate
from crossnorm.study.workload.build_model import build_model
from crossnorm.study.workload.validate import load_study_task, resolve
from tests.repository import ROOT
from tests.study.study_cases import TINY

DEEP = {"name": "deep", "model": {"num_layers": 3}}


def resolved(*arms, **fields):
    spec = parse_spec(TINY | {"variants": [], "arms": list(arms)} | fields, "x")
    task = load_study_task(spec)
    plan = resolve(spec, task)
    return plan, {arm.name: build_model(arm, plan.spec.model, task, 5) for arm in plan.arms}


def test_an_arm_has_its_own_layers_and_the_rest_of_the_study():
    convex = {**DEEP, "name": "deep-convex", "variant": "convex", "alpha": 0.5, "control": "deep"}
    plan, models = resolved(DEEP, convex)
    assert [len(model.classifier.blocks) for model in models.values()] == [1, 3, 3]
    assert {model.classifier.blocks[0].linear1.in_features for model in models.values()} == {8}
    first, second = models["deep"].state_dict(), models["deep-convex"].state_dict()
    assert first.keys() == second.keys()
    assert all(torch.equal(first[key], second[key]) for key in first)  # one initialization: they are paired
    assert (plan.arm("deep-convex").control, plan.arm("deep").control) == ("deep", None)
    assert plan.arm("deep-convex").family is None  # in no trend, for it is not trained as the grid


def test_another_model_takes_the_tasks_sizes_only():
    _, models = resolved({"name": "vit", "model": {"name": "vit_2_4_32"}})
    blocks = models["vit"].classifier.blocks
    assert (len(blocks), blocks[0].linear1.in_features) == (2, 128)


def test_the_stored_study_is_the_same_study():
    plan, _ = resolved(DEEP)
    assert make_plan(parse_spec(plan.spec.model_dump(mode="json"), "x")) == plan
    other, _ = resolved({"name": "deep", "model": {"num_layers": 2}})
    assert other.arm("deep") != plan.arm("deep")


@pytest.mark.parametrize(
    ("arm", "fields", "words"),
    [
        ({"name": "deep", "model": 4}, {}, "arms.deep.model: expected a mapping"),
        ({"name": "deep", "model": {"layers": 4}}, {}, "arm deep: .*layers"),
        ({"name": "deep", "model": {"variant": "convex"}}, {}, "arms.deep.model.variant"),
        ({"name": "deep", "model": {"weights": "a.safetensors"}}, {}, "arms.deep.model.weights"),
        ({"name": "deep", "model": {"num_classes": 7}}, {}, "arm deep: model.num_classes: expected 10"),
        (DEEP, {"model": {"from": "somewhere"}}, "starts from trained weights"),
        (DEEP, {"model": {"weights": "a.safetensors"}}, "starts from trained weights"),
    ],
)
def test_what_cannot_hold_is_refused(arm, fields, words):
    spec = parse_spec(TINY | {"variants": [], "arms": [arm]} | fields, "x")
    with pytest.raises(BadInput, match=words):
        make_plan(spec) and resolve(spec, load_study_task(spec))


def test_a_function_keeps_a_setting_of_that_name():
    fields = {
        "function": "m:train",
        "metric": "loss",
        "direction": "lower",
        "arms": [{"name": "big", "model": "large"}],
    }
    assert make_plan(parse_spec(fields, "x")).arm("big").settings == {"model": "large"}


def test_the_example_compiles():
    plan = make_plan(parse_spec(read_fields(ROOT / "examples" / "deeper.yaml"), "x"))
    assert [(arm.name, dict(arm.model), arm.control) for arm in plan.arms] == [
        ("baseline", {}, None),
        ("convex", {}, None),
        ("deep", {"num_layers": 4}, None),
        ("deep-convex", {"num_layers": 4}, "deep"),
    ]


def test_a_model_is_built_once_for_arms_that_differ_in_recipe_or_dose(monkeypatch):
    built = []
    monkeypatch.setattr(validate, "build_model", lambda arm, *rest: built.append(arm.name) or build_model(arm, *rest))
    arms = [{"name": f"lr-{i}", "lr": 0.1 + i} for i in range(4)]
    arms = [{"name": "deep", "model": {"num_layers": 3}}, *arms]
    resolved(*arms, variants=["convex"], alphas=[0.25, 0.5, 1])
    assert built == ["baseline", "convex-0.25", "attenuated-0.25", "deep", "lr-0"]

"""study.yaml is a study file; what it holds is read as it was written, or refused."""

from __future__ import annotations

import pytest

from crossnorm.errors import BadInput
from crossnorm.study.spec.plan import make_plan
from crossnorm.study.spec.schema import parse_spec, read_fields
from crossnorm.study.storage.study_record import Record, read_folder, write_record
from crossnorm.training.recipe.recipes import make_recipe


def written(folder, **fields):
    spec = parse_spec({"task": "digits", "seeds": 3, "alphas": [0, 1], "epochs": 2, "name": "s"} | fields, "my.yaml")
    plan = make_plan(spec)
    write_record(folder, plan.spec, Record(digest="digest", environment={}))
    return plan


def test_study_yaml_is_itself_a_study_file(tmp_path):
    plan = written(tmp_path)
    assert parse_spec(read_fields(tmp_path / "study.yaml"), "x") == plan.spec
    found = read_folder(tmp_path)
    assert found is not None
    assert found[0] == plan


def test_a_recipe_field_that_came_after_a_study_has_no_effect_on_it(tmp_path):
    complete = {**make_recipe("quick").model_dump(exclude={"epochs"}), "lr": 0.005}
    del complete["optimizer"]
    written(tmp_path, recipe=complete)
    found = read_folder(tmp_path)
    assert found is not None
    for spec in (found[0].spec, parse_spec(read_fields(tmp_path / "study.yaml"), "x")):
        recipe = make_plan(spec).arms[0].training
        assert (recipe.optimizer, recipe.lr, recipe.epochs) == ("adamw", 0.005, 2)


@pytest.mark.parametrize("text", ["", "record: 3", "[", "task: digits", "record: {extensions: [{}]}", "\x00"])
def test_a_damaged_study_yaml_is_named(tmp_path, text):
    (tmp_path / "study.yaml").write_text(text)
    with pytest.raises(BadInput, match="the file is damaged"):
        read_folder(tmp_path)

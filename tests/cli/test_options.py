"""What the flags make of a study: the same folder grown, and errors that say where."""

from __future__ import annotations

import pytest

from crossnorm.api import read_result
from crossnorm.cli.options import allowed_modules
from crossnorm.cli.study_options import StudyOptions
from crossnorm.errors import BadInput
from crossnorm.study.spec.plan import make_plan
from crossnorm.study.storage.study_folder import open_folder
from crossnorm.study.storage.study_record import read_folder
from crossnorm.training.recipe.recipes import make_recipe
from tests.study.study_cases import contents, refused, write_study
from tests.study.study_cases import crossnorm as called


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A study of `convex` that has begun."""
    monkeypatch.chdir(tmp_path)
    write_study(tmp_path)
    (tmp_path / "out").mkdir()
    open_folder(tmp_path / "out", make_plan(StudyOptions().study("tiny.yaml")), "digest")
    return tmp_path / "out"


@pytest.mark.parametrize("variants", ["convex", "convex,matched", "convex, signed"])
@pytest.mark.parametrize("named", [("out", None), ("tiny.yaml", "out")])
def test_a_folder_that_is_named_grows_by_variants(folder, variants, named):
    name, out = named
    plan = make_plan(StudyOptions(variants=variants, out=out and folder).study(name))
    _, record = open_folder(folder, plan, "digest")
    arms = [f"{added.strip()}-1" for added in variants.split(",")[1:]]
    assert [extension["arms"] for extension in record.extensions] == ([arms] if arms else [])
    assert read_folder(folder)[0].spec.name == "tiny"


def test_other_variants_are_another_study_elsewhere(folder):
    assert StudyOptions(variants="matched").study("tiny.yaml").name == "tiny-matched"
    write_study(folder.parent, variants=["convex"])
    assert StudyOptions(variants="convex").study("tiny.yaml").name == "tiny"
    write_study(folder.parent, variants=[{"name": "convex", "gain": 7.0}])
    assert StudyOptions(variants="convex").study("tiny.yaml").name == "tiny-convex"


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"seeds": 9, "alphas": "0,1,3"}, "tiny"),
        ({"epochs": 2, "margin": "0.5"}, "tiny"),  # as in the file
        ({"epochs": 3}, "tiny-epochs-3"),
        ({"epochs": 3, "variants": "matched"}, "tiny-matched-epochs-3"),
        ({"settings": ["lr=0.5", "model.num_layers=2"]}, "tiny-lr-0.5-num-layers-2"),
        ({"margin": "1%"}, "tiny-margin-1pct"),
    ],
)
def test_options_that_make_another_study_name_it(folder, options, name):
    assert StudyOptions(**options).study("tiny.yaml").name == name
    assert StudyOptions(**options).study("out").name == "tiny"  # the folder was named


def test_functions_of_one_name_in_two_modules_have_two_folders(folder):
    names = [StudyOptions(metric="loss", direction="lower").study(name).name for name in ("one:train", "two.a:train")]
    assert names == ["one-train-convex", "two.a-train-convex"]


def test_a_study_of_another_name_is_continued(folder):
    before = read_folder(folder)
    renamed = make_plan(StudyOptions().study("tiny.yaml").model_copy(update={"name": "another"}))
    assert open_folder(folder, renamed, "digest")[1] == before[1]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"variants": ["nope"]}, "tiny.yaml: variants.nope: variant: expected one of additive"),
        ({"arms": [{"name": "x", "variant": "nope"}]}, "tiny.yaml: arms.x: variant: expected one of additive"),
        ({"arms": [{"name": "x", "variant": ["convex"]}]}, r"arms.x: variant: .*, got \['convex'\]"),
        ({"recipe": {"name": ["quick"]}}, r"tiny.yaml: recipe: expected one of .*, got \['quick'\]"),
        ({"metric": "accuracy"}, "tiny.yaml: expected metric one of test_loss, .*, got metric: 'accuracy'"),
        ({"max_seeds": 7}, "tiny.yaml: expected max_seeds if and only if stop is 'decided', got .*max_seeds: 7"),
        ({"function": "m:f"}, "tiny.yaml: expected no model with a function; use the field settings, got "),
        ({"recipe": {"name": "quikc"}}, "tiny.yaml: recipe: .* Did you mean 'quick'"),
    ],
)
def test_errors_say_the_file_and_the_place(tmp_path, monkeypatch, changes, words):
    monkeypatch.chdir(tmp_path)
    write_study(tmp_path, **changes)
    with pytest.raises(BadInput, match=words):
        StudyOptions().study("tiny.yaml")


def test_an_unknown_tracker_is_refused_before_any_file_is_written(folder):
    before = contents(folder.parent)
    with pytest.raises(BadInput, match="track: expected one of tensorboard, trackio, wandb, got 'diary'"):
        StudyOptions().study("tiny.yaml").run(folder.parent / "else", track="diary", progress=False)
    assert contents(folder.parent) == before


def test_a_study_that_is_named_in_place_of_its_folder_is_found(folder):
    with pytest.raises(BadInput, match="Create a study with: crossnorm plot STUDY"):
        read_result("tiny")
    (folder.parent / "crossnorm").mkdir()
    folder.rename(folder.parent / "crossnorm" / "tiny")
    with pytest.raises(BadInput, match="Did you mean crossnorm/tiny?"):
        read_result("tiny")


@pytest.mark.parametrize("name", ["tiny.yaml", "out"])
def test_fields_of_recipe_and_model_are_set_beside_those_of_the_study(folder, name):
    settings = ["lr=1e-3", "optimizer=adamw", "epochs=5", "model.num_layers=3"]
    plan = make_plan(StudyOptions(settings=settings).study(name))
    recipe = plan.arms[0].training
    assert (recipe.lr, recipe.optimizer, recipe.epochs, recipe.batch_size) == (0.001, "adamw", 5, 31)
    assert (plan.spec.model["num_layers"], plan.spec.model["embedding_dim"]) == (3, 8)


def test_another_recipe_replaces_that_of_the_study_but_not_its_epochs(folder):
    recipe = make_plan(StudyOptions(recipe="paper", settings=["beta2=0.95"]).study("tiny.yaml")).arms[0].training
    assert recipe == make_recipe("paper", beta2=0.95, epochs=2)
    write_study(folder.parent, recipe={"name": "quick", "lr": 0.5, "epochs": 3}, epochs=None)
    recipe = make_plan(StudyOptions(recipe="paper").study("tiny.yaml")).arms[0].training
    assert recipe == make_recipe("paper", epochs=3)


@pytest.mark.parametrize("settings", [None, ["clip_norm=1.0"]])
@pytest.mark.parametrize(("source", "name"), [("cct/model.safetensors", "anneal"), ("bert", "finetune-text")])
def test_what_was_trained_before_is_trained_gently_from_the_command_line_too(folder, source, name, settings):
    (folder.parent / "own.yaml").write_text(f"{{task: digits, model: {{from: {source}}}}}")
    recipe = make_plan(StudyOptions(settings=settings).study("own.yaml")).arms[0].training
    assert recipe == make_recipe(name, **({"clip_norm": 1.0} if settings else {}))


def test_what_a_study_leaves_open_stays_so(folder):
    """Its name, its direction and, beside arms of its own, no grid."""
    (folder.parent / "own.yaml").write_text(
        "{function: mine:train, metric: loss, direction: lower, arms: [{name: hot, settings: {heat: 2}}]}"
    )
    study = StudyOptions(seeds=3).study("own.yaml")
    assert (study.name, study.variants, study.direction, len(study.seeds)) == ("own", [], "lower", 3)
    assert StudyOptions(metric="test_accuracy").study("tiny.yaml").direction == "higher"


def test_what_is_set_for_a_function_are_its_settings(folder):
    (folder.parent / "own.yaml").write_text(
        "{function: mine:train, metric: loss, direction: lower, seeds: 3, settings: {lr: 1.0, depth: 7},"
        " arms: [{name: hot, settings: {heat: 2}}]}"
    )
    study = StudyOptions(settings=["lr=0.5", "schedule=cosine"]).study("own.yaml")
    assert study.settings == {"lr": 0.5, "depth": 7, "schedule": "cosine"}
    with pytest.raises(BadInput, match="no recipe with a function"):
        StudyOptions(recipe="paper").study("own.yaml")


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("lr=-1", "tiny.yaml: recipe.lr: expected .*greater than 0, got -1"),
        ("rate=1", "tiny.yaml: recipe field"),
        ("optimizer=mouon", "tiny.yaml: recipe.optimizer: .* Did you mean 'muon'"),
        ("lr", "--set: expected FIELD=VALUE"),
        ("lr=" + "[" * 90_000, "--set: the value of lr is nested too deeply"),
        ("name=paper", "--set: the recipe's name cannot be changed with --set. Use --recipe."),
    ],
)
def test_settings_that_do_not_fit_are_named(folder, setting, words):
    with pytest.raises(BadInput, match=words):
        StudyOptions(settings=[setting]).study("tiny.yaml")


@pytest.mark.parametrize(
    ("changes", "option"), [({"settings": ["beta2=0.9", "lr=0.5"]}, "--set lr"), ({"recipe": "paper"}, "--recipe")]
)
def test_what_an_arm_sets_itself_is_not_changed_beneath_it(folder, changes, option):
    write_study(folder.parent, arms=[{"name": "lr 2x", "lr": 0.01}])
    words = f"{option}: arm 'lr 2x' sets lr itself. Change the arms"
    with pytest.raises(BadInput, match=words):
        StudyOptions(**changes).study("tiny.yaml")
    assert make_plan(StudyOptions(settings=["beta2=0.9"]).study("tiny.yaml")).arm("lr 2x").training.beta2 == 0.9


def test_epochs_are_given_once(folder):
    with pytest.raises(BadInput, match="--set: epochs is given twice, by --set epochs=5 and by --epochs"):
        StudyOptions(epochs=3, settings=["epochs=5"]).study("tiny.yaml")


def test_a_recipe_that_is_none_is_refused_beside_settings_too(folder):
    write_study(folder.parent, recipe=None)
    for settings in (None, ["lr=1e-3"]):
        with pytest.raises(BadInput, match="tiny.yaml: recipe"):
            StudyOptions(settings=settings).study("tiny.yaml")


def test_no_variants_are_no_names(folder):
    with pytest.raises(BadInput, match="--variants: expected names separated by commas"):
        StudyOptions(variants="convex,").study("tiny.yaml")


def test_outputs_that_cannot_be_written_are_said_before_the_work(tmp_path):
    rows = [f"{arm},{seed},1,{loss}" for arm, loss in (("a", 2), ("b", 3)) for seed in range(3)]
    (tmp_path / "runs.csv").write_text("\n".join(["arm,seed,step,loss", *rows]) + "\n")
    (tmp_path / "taken").write_text("mine")
    before = contents(tmp_path)
    report = called(
        *("report", "--from", "runs.csv", "--metric", "loss", "--direction", "lower", "--out", "taken"), cwd=tmp_path
    )
    refused(report, "taken: expected a folder that can be written")
    refused(called("picture", "--out", "taken", cwd=tmp_path), "taken: expected a folder that can be written")
    refused(called("audit", "--out", "taken", cwd=tmp_path), "taken: expected a folder that can be written")
    assert contents(tmp_path) == before


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_study_that_is_called_like_a_function_imports_nothing(tmp_path, monkeypatch, kind):
    monkeypatch.chdir(tmp_path)
    place = tmp_path / "demo:study.yaml"
    assert allowed_modules(place.name, []) == ["demo"]
    place.touch() if kind == "file" else place.mkdir()
    assert allowed_modules(place.name, []) == []
    assert allowed_modules(place.name, ["mine"]) == ["mine"]

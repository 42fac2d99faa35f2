"""`crossnorm finetune` and studies of pretrained models, as a person meets them."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace

import pytest
import torch
import yaml
from typer.testing import CliRunner

from crossnorm.adapters.model_source import kept_model, locate
from crossnorm.api import Study
from crossnorm.cli import app
from crossnorm.cli.study_options import StudyOptions
from crossnorm.data import load_task
from crossnorm.errors import BadInput
from crossnorm.models import load_model
from crossnorm.study.spec.builtin_studies import builtin_studies, builtin_study
from crossnorm.study.spec.plan import make_plan
from crossnorm.study.spec.schema import parse_spec
from crossnorm.study.workload.build_model import build_member
from crossnorm.study.workload.pretrained import load_pretrained, pretrained_keywords
from crossnorm.study.workload.validate import load_study_task, resolve
from tests.study.study_cases import TINY

SMALL = ["--task", "digits", "--train-examples", "67", "--epochs", "2", "--set", "batch_size=31"]


def here(*arguments):
    return CliRunner().invoke(app, list(map(str, arguments)))


def rows(folder):
    """The learning curve of a run's folder, or of the only run in a study's."""
    (curve,) = [*folder.glob("metrics.jsonl"), *folder.glob("runs/*/*/metrics.jsonl")]
    lines = map(json.loads, curve.read_text().splitlines())
    return [{key: value for key, value in row.items() if key != "seconds"} for row in lines]


def refused(done, *words):
    assert (done.exit_code, done.stdout) == (2, ""), done.stderr
    assert all(word in done.stderr for word in words), done.stderr


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    home = tmp_path_factory.mktemp("trained")
    shape = ["--set", "model.embedding_dim=8", "--set", "model.num_layers=1"]
    assert here("train", *SMALL, *shape, "--out", home / "run").exit_code == 0
    return home / "run" / "runs" / "baseline" / "0" / "model.safetensors"


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    pytest.importorskip("transformers")
    from tests.pretrained_cases import write_bert, write_questions

    home = tmp_path_factory.mktemp("bert")
    return write_bert(home / "bert", layers=1), write_questions(home / "trec")


def test_the_folder_of_a_study_of_one_run_is_its_model(checkpoint):
    assert here("eval", checkpoint.parents[3], "--task", "digits").exit_code == 0
    for folder in (checkpoint.parents[3], checkpoint.parent):
        assert locate(str(folder)) == checkpoint
        fields = {"task": "digits", "model": {"from": str(folder)}, "alphas": [0, 1]}
        spec = parse_spec(fields, "x")
        (digest,) = {resolve(spec, load_study_task(spec)).spec.model["sha256"]}
        assert digest == hashlib.sha256(checkpoint.read_bytes()).hexdigest()


def test_a_checkpoint_goes_on_while_alpha_rises(checkpoint, tmp_path):
    done = here(
        "finetune", "--from", checkpoint, *SMALL, "--alpha-to", "0.8", "--ramp-end", "0.5", "--out", tmp_path / "up"
    )
    assert done.exit_code == 0, done.stderr
    curve = rows(tmp_path / "up")
    assert [row["alpha"] for row in curve] == [0.0, 0.8, 0.8]
    assert curve[0]["test_loss"] == pytest.approx(rows(checkpoint.parent)[-1]["test_loss"], abs=1e-6)
    model = load_model(kept_model(tmp_path / "up"))
    assert model.classifier.blocks[0].self_attn.crossnorm.read() == 0.8
    stored = yaml.safe_load((tmp_path / "up" / "study.yaml").read_text())
    assert (stored["alphas"], stored["alpha_schedule"]["end"]) == ([0.0, 0.8], 0.5)
    assert len(stored["model"]["sha256"]) == 64
    words = ("a different study: alpha_schedule (end: 0.5 → 1.0)",)
    refused(here("finetune", "--from", checkpoint, *SMALL, "--out", tmp_path / "up"), *words)


@pytest.mark.parametrize("learned", ["layer", "head"])
def test_what_was_learned_is_kept(checkpoint, tmp_path, learned):
    run = tmp_path / "run"
    done = here(
        "finetune", "--from", checkpoint, *SMALL, "--learn-alpha", learned, "--set", "precision=fp32", "--out", run
    )
    assert done.exit_code == 0, done.stderr
    last = rows(run)[-1]
    assert last["alpha"] == last["alpha_mean"] == last["alpha_attention0"]
    kept = torch.as_tensor(load_model(kept_model(run)).classifier.blocks[0].self_attn.crossnorm.read())
    assert float(kept.float().mean()) == pytest.approx(last["alpha_attention0"])
    assert here("eval", run, "--task", "digits", "--out", run).exit_code == 0
    assert json.loads((run / "evaluation.json").read_text())["loss"] == pytest.approx(last["test_loss"], abs=1e-5)


def test_new_classes_get_a_new_head_from_the_seed(checkpoint):
    task = load_task("digits")
    heads = []
    for seed in (0, 0, 1):
        with pytest.warns(UserWarning, match="the head keeps its fresh weights"):
            model = load_pretrained(str(checkpoint), replace(task, n_classes=7), seed)
        heads.append(model.classifier.fc.weight)
    assert heads[0].shape == (7, 8)
    assert torch.equal(heads[0], heads[1])
    assert not torch.equal(heads[0], heads[2])


def test_a_model_of_another_kind_is_named(checkpoint):
    with pytest.raises(BadInput, match="a model for text inputs, as task digits has"):
        load_pretrained(str(checkpoint), replace(load_task("digits"), kind="text"), 0)


def test_bert_learns_questions_by_its_own_tokens(bert, tmp_path):
    model, data = bert
    run = tmp_path / "run"
    plain = ["--from", model, "--task", "trec", "--data", data, "--epochs", "2", "--set", "precision=fp32"]
    done = here("finetune", *plain, "--alpha-to", "0.5", "--out", run)
    assert done.exit_code == 0, done.stderr
    assert [row["alpha"] for row in rows(run)] == [0.0, 0.25, 0.5]
    done = here("eval", run, "--task", "trec", "--data", data, "--out", tmp_path)
    assert done.exit_code == 0, done.stderr
    found = json.loads((tmp_path / "evaluation.json").read_text())
    assert found["loss"] == pytest.approx(rows(run)[-1]["test_loss"], abs=1e-5)
    assert here("finetune", *plain, "--alpha-to", "0.5", "--out", run).stdout.splitlines() != []
    refused(here("finetune", "--from", model, *SMALL), "has no texts")


def test_every_arm_of_a_seed_starts_alike(bert):
    model, data = bert
    arms = [{"name": "learned", "variant": "convex", "learnable_alpha": "layer"}]
    study = Study(task="trec", data=str(data), model={"from": str(model)}, alphas=[0, 1], arms=arms, seeds=2)
    plan = study.plan()
    assert plan.spec.model.keys() == {"from", "max_tokens", "sha256"}
    task = load_task("trec", data=data, encoder=_encoder(model))
    members = [build_member(arm, plan.spec.model, task, 1, torch.device("cpu")) for arm in plan.arms]
    heads = [member.model.head.weight for member in members]
    assert [arm.name for arm in plan.arms] == ["baseline", "convex-1", "attenuated-1", "learned"]
    assert all(torch.equal(head, heads[0]) for head in heads)


def _encoder(model):
    from crossnorm.adapters.hf_text_classifier import load_text_encoder

    return load_text_encoder(model)


@pytest.mark.slow
def test_a_study_of_ramps_ends_at_its_doses_and_draws_them(checkpoint, tmp_path):
    fields = {key: value for key, value in TINY.items() if key != "model"}
    arms = [{"name": "learned", "variant": "convex", "learnable_alpha": "model", "alpha_lr": 0.1}]
    spec = fields | {"name": "ramps", "model": {"from": str(checkpoint)}, "alpha_schedule": {}, "arms": arms}
    (tmp_path / "ramps.yaml").write_text(yaml.safe_dump(spec))
    done = here("plot", tmp_path / "ramps.yaml", "--workers", "1", "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    assert [row["alpha"] for row in rows(tmp_path / "out" / "runs" / "convex-1" / "0")] == [0.0, 0.5, 1.0]
    assert [row["alpha"] for row in rows(tmp_path / "out" / "runs" / "baseline" / "0")] == [0.0, 0.0, 0.0]
    assert "alpha_mean" in rows(tmp_path / "out" / "runs" / "learned" / "2")[-1]
    starts = {row["test_loss"] for row in (rows(f)[0] for f in (tmp_path / "out" / "runs").glob("*/1"))}
    assert len(starts) == 1
    assert (tmp_path / "out" / "curves-alpha.png").read_bytes().startswith(b"\x89PNG")
    verdict = json.loads((tmp_path / "out" / "verdict.json").read_text())
    assert {row["arm"]: row["alpha"] for row in verdict["arms"]}["convex-1"] == 1.0


def test_other_weights_under_the_same_name_are_refused(checkpoint, tmp_path):
    copied = tmp_path / "model.safetensors"
    copied.write_bytes(checkpoint.read_bytes())
    settings = pretrained_keywords({"from": str(copied)})
    copied.write_bytes(checkpoint.read_bytes() + b"\0")
    with pytest.raises(BadInput, match=r"weights with SHA-256 .* Restore the file"):
        pretrained_keywords(settings)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("package:no_such_package/model", ["pip install no-such-package"]),
        ("./no/such/folder", ["no such folder"]),
        ("no.safetensors", ["no file no.safetensors", "crossnorm train"]),
        ("", ["model.from"]),
    ],
)
def test_a_model_that_is_not_there_is_named(tmp_path, source, words):
    refused(here("finetune", "--from", source, *SMALL, "--out", tmp_path / "run"), *words)
    assert not (tmp_path / "run").exists()


def test_a_name_that_cannot_be_fetched_is_one_message(tmp_path, monkeypatch):
    hub = pytest.importorskip("huggingface_hub")

    def offline(*names, **settings):
        raise OSError("no route to host")

    monkeypatch.setattr(hub, "snapshot_download", offline)
    refused(here("finetune", "--from", "some/model", *SMALL, "--out", tmp_path), "some/model", "no route to host")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--learn-alpha", "layer", "--alpha-to", "1"], ["--learn-alpha"]),
        (["--learn-alpha", "layer", "--ramp-end", "0.5"], ["--learn-alpha"]),
        (["--variant", "batch", "--set", "accumulate=2"], ["variant batch"]),
        (["--ramp", "constant", "--ramp-end", "0.5"], ["--ramp constant"]),
        (["--ramp-start", "0.7", "--ramp-end", "0.3"], ["start < end"]),
        (["--set", "model.max_tokens=3"], ["model.max_tokens"]),
        (["--set", "model.num_layers=3"], ["num_layers", "from, max_tokens"]),
    ],
)
def test_settings_that_do_not_fit_are_named(checkpoint, tmp_path, arguments, words):
    refused(here("finetune", "--from", checkpoint, *SMALL, *arguments, "--out", tmp_path / "run"), *words)


@pytest.mark.parametrize(
    ("arm", "words"),
    [
        ({"variant": "convex", "learnable_alpha": "layer", "alpha": 0.5}, "cannot be combined with alpha:"),
        (
            {"variant": "convex", "learnable_alpha": "layer", "alpha_schedule": {}},
            "cannot be combined with alpha_schedule:",
        ),
        ({"learnable_alpha": "layer"}, "a variant is required with learnable_alpha"),
        ({"variant": "convex", "alpha_lr": 0.1}, "no effect without learnable_alpha"),
        ({"variant": "convex", "learnable_alpha": "token"}, "learnable_alpha"),
    ],
)
def test_a_learned_dose_is_given_by_nothing_else(arm, words):
    with pytest.raises(BadInput, match=words):
        make_plan(parse_spec({"task": "digits", "arms": [{"name": "x", **arm}]}, "the study"))


def test_arms_of_another_schedule_leave_the_trend():
    held = {"name": "held", "variant": "convex", "alpha": 1, "alpha_schedule": {"kind": "constant"}}
    learned = {"name": "learned", "variant": "convex", "learnable_alpha": "layer"}
    fields = {"task": "digits", "alphas": [1], "alpha_schedule": {"end": 0.5}, "arms": [held, learned]}
    plan = make_plan(parse_spec(fields, "the study"))
    assert plan.arm("convex-1").schedule.end == 0.5
    assert (plan.arm("held").schedule.kind, plan.arm("held").family) == ("constant", None)
    assert (plan.arm("learned").schedule, plan.arm("learned").dose, plan.arm("learned").family) == (None, None, None)
    assert plan.arm("convex-1").family == "convex"


@pytest.mark.parametrize("name", ["cct-anneal", "gpt-shakespeare", "minilm-trec"])
def test_builtin_studies_compile(name):
    assert name in builtin_studies()
    plan = make_plan(parse_spec(builtin_study(name), name))
    assert any(arm.schedule is not None or arm.learnable for arm in plan.arms)


def test_the_command_line_names_another_starting_point():
    assert StudyOptions(source="mine.safetensors").study("cct-anneal").model == {"from": "mine.safetensors"}
    assert StudyOptions().study("cct-anneal").model == {"from": "cct"}

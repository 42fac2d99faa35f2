"""Fine-tuning a small BERT: its tokens, its head, the bits at α = 0, ramps, and doses that are learned."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from crossnorm.errors import BadInput
from crossnorm.functional import Variant
from crossnorm.models import create_model
from crossnorm.rng import addressed
from crossnorm.training.checkpoint.checkpoints import load_checkpoint, save_checkpoint
from crossnorm.training.checkpoint.file_format import read_state
from crossnorm.training.loop.cohort import train_cohort
from crossnorm.training.loop.run_state import make_member
from crossnorm.training.recipe.recipes import make_recipe
from crossnorm.training.recipe.schedules import AlphaSchedule
from tests.training.training_cases import CPU, Listener, same_bits, weights

pytest.importorskip("transformers")

from crossnorm.adapters import convert
from crossnorm.adapters.hf_checkpoint import load_saved_texts, save_texts
from crossnorm.adapters.hf_text_classifier import NO_TOKEN, load_text_classifier, load_text_encoder
from crossnorm.data import load_task, prepare
from crossnorm.models.site_alpha import site_alphas
from tests.pretrained_cases import write_bert, write_questions

LINEAR = AlphaSchedule(kind="linear", final=1.0)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("pretrained")


@pytest.fixture(scope="module")
def bert(home):
    return write_bert(home / "bert")


@pytest.fixture(scope="module")
def questions(home, bert):
    folder = write_questions(home / "trec")
    return load_task("trec", data=folder, encoder=load_text_encoder(bert), cache=home / "cache")


def started(bert, variant=None, learnable=None, schedule=None, **changes):
    with addressed(0, "init"):
        model = load_text_classifier(bert, 6)
    if variant is not None:
        convert(model.body, variant, learnable=learnable)
    recipe = make_recipe(
        "finetune-text", **({"batch_size": 17, "epochs": 2, "lr": 3e-3, "precision": "fp32"} | changes)
    )
    alpha_lr = 0.3 if learnable else None
    return make_member("m", model, recipe, CPU, schedule=schedule, alpha_lr=alpha_lr)


def trained(member, questions):
    listener = Listener()
    train_cohort([member], questions, seed=0, device=CPU, observer=listener)
    assert listener.failures == {}
    return listener.rows["m"]


def test_texts_are_the_tokenizers_ids(bert, questions):
    from transformers import AutoTokenizer

    oracle = AutoTokenizer.from_pretrained(bert)
    first = oracle("who is the king of spain ?")["input_ids"]
    assert first == [2, 4, 8, 9, 10, 11, 12, 17, 3]
    ids = load_text_encoder(bert)(["who is the king of spain ?", "moons"])
    assert ids.tolist() == [first, [2, 16, 14, 3] + [NO_TOKEN] * 5]
    assert load_text_encoder(bert, 5)(["who is the king of spain ?"]).tolist() == [[2, 4, 8, 9, 3]]
    assert questions.padding == NO_TOKEN
    assert questions.vocabulary == ()
    assert len(questions.train) == 67
    assert prepare(questions.train.inputs[:2], questions).shape[1] <= questions.train.inputs.shape[1]


def test_logits_are_a_head_on_the_mean_of_the_real_tokens(bert, questions):
    from transformers import AutoModel

    model, oracle = load_text_classifier(bert, 6).eval(), AutoModel.from_pretrained(bert).eval()
    ids = questions.test.inputs[:5]
    with torch.no_grad():
        found = model(ids)
        for row, logits in zip(ids, found, strict=True):
            real = row[row != NO_TOKEN]
            tokens = oracle(input_ids=real[None]).last_hidden_state[0].double().numpy()
            head = model.head.weight.double().numpy()
            np.testing.assert_allclose(logits.numpy(), head @ tokens.mean(0), atol=1e-5)


def test_a_head_of_its_own_is_kept_for_as_many_classes(home):
    folder = write_bert(home / "headed", architectures=["BertForSequenceClassification"])
    same, other = load_text_classifier(folder, 6), load_text_classifier(folder, 5)
    from safetensors.torch import load_file

    stored = load_file(folder / "model.safetensors")["classifier.weight"]
    assert torch.equal(same.body.classifier.weight, stored)
    assert other.body.classifier.weight.shape == (5, 12)
    assert same(torch.tensor([[2, 4, 3, NO_TOKEN], [2, 4, 5, 3]])).shape == (2, 6)


def test_alpha_kept_at_zero_is_the_unconverted_model_to_the_bit(bert, questions):
    plain = started(bert)
    rows = trained(plain, questions)
    for schedule in (None, AlphaSchedule(kind="constant", final=0.0)):
        converted = started(bert, Variant(name="convex", alpha=0.0), schedule=schedule)
        assert trained(converted, questions) == rows
        assert same_bits(weights(converted), weights(plain))


def test_a_small_dose_changes_little_so_dropout_stays_paired(bert, questions):
    rows = trained(started(bert), questions)
    near = trained(started(bert, Variant(name="attenuated", alpha=1e-7)), questions)
    assert [row["test_loss"] for row in near] == pytest.approx([row["test_loss"] for row in rows], abs=1e-3)


def test_a_ramp_puts_its_dose_into_the_sites(bert, questions):
    member = started(bert, Variant(name="convex", alpha=1.0), schedule=LINEAR, ema=0.5)
    rows = trained(member, questions)
    assert [row["alpha"] for row in rows] == [0.0, 0.5, 1.0]
    assert member.handle.alpha == member.average_handle.alpha == 1.0
    assert all(alpha.read() == 1.0 for alpha in site_alphas(member.average).values())
    assert {"share_attention0", "share_attention1"} <= rows[1].keys()


@pytest.mark.parametrize("learnable", ["model", "layer", "head"])
def test_a_learned_dose_starts_at_zero_and_moves_without_decay(bert, questions, learnable):
    member = started(bert, Variant(name="matched", alpha=0.0), learnable, weight_decay=0.9)
    rows = trained(member, questions)
    assert rows[0]["alpha_mean"] == 0.0
    group = member.optimizer.param_groups[-1]
    assert (group["weight_decay"], len(group["params"])) == (0.0, {"model": 1, "layer": 2, "head": 2}[learnable])
    last = rows[-1]
    assert (
        last["alpha"] == last["alpha_mean"] == pytest.approx((last["alpha_attention0"] + last["alpha_attention1"]) / 2)
    )
    assert 0 <= last["alpha_least"] <= last["alpha_mean"] <= last["alpha_largest"] <= 1
    assert any(float(p.detach().abs().max()) > 0 for p in group["params"])


def test_the_learned_dose_has_a_rate_of_its_own(bert, questions):
    member = started(bert, Variant(name="convex", alpha=0.0), "model", min_lr=1e-3)
    trained(member, questions)
    decayed, kept, dose = (group["lr"] for group in member.optimizer.param_groups)
    assert decayed == kept == pytest.approx(1e-3)
    assert dose == pytest.approx(100 * kept)


def test_a_resumed_run_has_the_same_bits(bert, questions, tmp_path):
    whole = started(bert, Variant(name="matched", alpha=0.0), "layer")
    rows = trained(whole, questions)

    class Saving(Listener):
        def evaluated(self, member, row):
            super().evaluated(member, row)
            if member.step == 3:
                save_checkpoint(member, tmp_path / "checkpoint.safetensors")

    train_cohort(
        [started(bert, Variant(name="matched", alpha=0.0), "layer")], questions, seed=0, device=CPU, observer=Saving()
    )
    again = started(bert, Variant(name="matched", alpha=0.0), "layer")
    load_checkpoint(again, read_state(tmp_path / "checkpoint.safetensors"), "checkpoint")
    assert trained(again, questions) == rows[2:]
    assert same_bits(weights(again), weights(whole))


@pytest.mark.parametrize("learnable", [None, "head"])
def test_a_kept_model_computes_what_it_did(bert, questions, tmp_path, learnable):
    variant = Variant(name="matched", alpha=0.0 if learnable else 0.3)
    member = started(bert, variant, learnable)
    trained(member, questions)
    ids = prepare(questions.test.inputs, questions)
    with torch.no_grad():
        before = member.model.eval()(ids)
    save_texts(member.model, load_text_encoder(bert), 6, tmp_path / "model")
    model, encoder = load_saved_texts(tmp_path / "model")
    with torch.no_grad():
        assert torch.equal(model.eval()(ids), before)
    assert encoder(["who ?"]).tolist() == load_text_encoder(bert)(["who ?"]).tolist()
    assert torch.equal(load_text_classifier(tmp_path / "model", 6).head.weight, member.model.head.weight)


def test_parts_of_a_batch_are_refused_to_a_converted_variant_that_needs_it_whole(bert, questions):
    member = started(bert, Variant(name="batch", alpha=0.5), accumulate=2)
    with pytest.raises(BadInput, match="variant batch"):
        train_cohort([member], questions, seed=0, device=CPU, observer=Listener())


def test_a_copy_of_a_member_turns_its_own_dose(bert):
    member = started(bert, Variant(name="convex", alpha=1.0), schedule=LINEAR)
    other = copy.deepcopy(member)
    other.step = 1
    other.set_alpha(4)
    assert (member.handle.alpha, other.handle.alpha) == (1.0, 0.25)


def test_learned_doses_of_compact_models(task):
    with addressed(0, "init"):
        model = create_model(
            "cct_2_3x2_32", img_size=(7, 5), n_input_channels=2, num_classes=3, n_conv_layers=1, embedding_dim=8
        )
    convert(model, Variant(name="matched", alpha=0.0, site="both"), learnable="layer")
    recipe = make_recipe("quick", batch_size=17, epochs=2, precision="fp32")
    member = make_member("m", model, recipe, CPU, alpha_lr=0.1)
    listener = Listener()
    train_cohort([member], task, seed=0, device=CPU, observer=listener)
    assert listener.failures == {}
    assert {"alpha_attention0", "alpha_attention1", "alpha_pool"} <= listener.rows["m"][0].keys()


def test_what_cannot_be_loaded_is_named(bert, tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(
        BadInput, match=r"model.from: cannot load a pretrained Transformer .* from .*: Unrecognized model"
    ):
        load_text_classifier(tmp_path, 6)
    with pytest.raises(BadInput, match=r"model.max_tokens: expected at most 19"):
        load_text_encoder(bert, 20)
    with pytest.raises(BadInput, match="a folder that crossnorm finetune wrote"):
        load_saved_texts(bert)

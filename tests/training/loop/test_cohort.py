"""The loop: the same bits alone, together, repeated and resumed; failures leave the others untouched."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from crossnorm.data.augment.batch import augment
from crossnorm.data.batches import steps_per_epoch, train_batch
from crossnorm.errors import BadInput
from crossnorm.functional import Variant
from crossnorm.rng import addressed, generator
from crossnorm.training.checkpoint.checkpoints import load_checkpoint, save_checkpoint
from crossnorm.training.checkpoint.file_format import read_state
from crossnorm.training.loop.cohort import train_cohort
from crossnorm.training.recipe.schedules import AlphaSchedule
from tests.training.training_cases import CPU, Listener, convex, member, same_bits, weights


def train(members, task, seed=0):
    listener = Listener()
    train_cohort(members, task, seed=seed, device=CPU, observer=listener)
    return listener


def arms():
    doses = (None, convex(0.5), convex(1.0), Variant(name="additive", alpha=-1.0, site="pool"))
    return [member(f"arm{i}", variant=variant) for i, variant in enumerate(doses)]


def test_a_run_has_the_same_bits_alone_in_a_cohort_and_repeated(task):
    together = arms()
    rows = train(together, task).rows
    for alone, beside in zip(arms(), together, strict=True):
        assert train([alone], task).rows[alone.name] == rows[alone.name]
        assert same_bits(weights(alone), weights(beside))


def test_arms_differ_and_seeds_differ(task):
    rows = train(arms(), task).rows
    finals = {name: row[-1]["test_loss"] for name, row in rows.items()}
    assert len(set(finals.values())) == len(finals)
    other = train([member("arm0", seed=1)], task, seed=1).rows["arm0"][-1]["test_loss"]
    assert other != finals["arm0"]


def test_variant_none_and_dose_zero_train_alike_to_the_bit(task):
    plain, zero = member("plain"), member("zero", variant=convex(0.0, site="both"))
    train([plain, zero], task)
    assert same_bits(weights(plain), weights(zero))


def test_a_resumed_run_has_the_bits_of_an_undisturbed_one(task, tmp_path):
    whole = train([member(variant=convex(0.5))], task).rows["m"]

    class Saving(Listener):
        def evaluated(self, trained, row):
            super().evaluated(trained, row)
            if row["epoch"] == 1:
                save_checkpoint(trained, tmp_path / "checkpoint.safetensors")

    saving = Saving()
    first = member(variant=convex(0.5))
    train_cohort([first], task, seed=0, device=CPU, observer=saving)
    resumed = member(variant=convex(0.5))
    load_checkpoint(resumed, read_state(tmp_path / "checkpoint.safetensors"), "checkpoint")
    assert resumed.step == 3
    assert train([resumed], task).rows["m"] == whole[2:]
    assert same_bits(weights(resumed), weights(first))


def test_members_at_different_steps_share_a_cohort(task, tmp_path):
    whole = {m.name: m for m in arms()}
    train(list(whole.values()), task)
    behind = arms()
    path = tmp_path / "c.safetensors"

    class Stop(Exception):
        pass

    class Interrupting(Listener):
        def evaluated(self, trained, row):
            if row["epoch"] == 1:
                save_checkpoint(trained, path)
                raise Stop

    ahead = behind[1]
    with pytest.raises(Stop):
        train_cohort([ahead], task, seed=0, device=CPU, observer=Interrupting())
    fresh = arms()
    load_checkpoint(fresh[1], read_state(path), "checkpoint")
    train(fresh, task)
    for trained in fresh:
        assert same_bits(weights(trained), weights(whole[trained.name]))


def test_one_step_equals_a_plain_loop(task):
    settings = {"lr": 0.01, "weight_decay": 0.03, "warmup_epochs": 0.0}
    trained = member(optimizer="adamw", label_smoothing=0.1, epochs=1, **settings)
    reference = copy.deepcopy(trained.model)
    decayed = [p for n, p in reference.named_parameters() if p.ndim > 1 and "positional_emb" not in n]
    kept = [p for n, p in reference.named_parameters() if not (p.ndim > 1 and "positional_emb" not in n)]
    groups = [{"params": decayed, "weight_decay": 0.03}, {"params": kept, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=0.01, fused=True)

    order = torch.randperm(53, generator=generator(4, "order", 0))[:17]
    images = augment(task.train.inputs[order], "crop-flip", generator(4, "augment", 0))
    mean, std = torch.tensor([0.4, 0.5]).view(2, 1, 1), torch.tensor([0.3, 0.2]).view(2, 1, 1)
    inputs = (images.double() / 255 - mean) / std
    with addressed(4, "dropout", 0):
        logits = reference.train()(inputs.float())
    F.cross_entropy(logits, task.train.targets[order], label_smoothing=0.1).backward()
    optimizer.step()

    batch = train_batch(task, 0, seed=4, batch_size=17, augmentation="crop-flip", device=CPU)
    trained.train_step(*batch, seed=4, total_steps=3, steps_per_epoch=3)
    for name, value in reference.named_parameters():
        # Adam's first step is the sign of the gradient: only where that is rounding noise may it differ
        if name.endswith("attention_pool.bias"):
            continue  # a softmax does not see it: its gradient is rounding noise
        close = torch.isclose(dict(trained.model.named_parameters())[name], value, atol=2e-5)
        assert close.float().mean() > 0.98, name


def test_evaluation_equals_a_loop_over_examples(task, listener):
    trained = member(epochs=1)
    train_cohort([trained], task, seed=0, device=CPU, observer=listener)
    trained.model.eval()
    mean, std = np.array([0.4, 0.5]).reshape(2, 1, 1), np.array([0.3, 0.2]).reshape(2, 1, 1)
    losses, hits = [], []
    for image, target in zip(task.test.inputs.numpy(), task.test.targets.tolist(), strict=True):
        inputs = torch.from_numpy((image / 255 - mean) / std).float().unsqueeze(0)
        with torch.no_grad():
            scores = trained.model(inputs)[0].double().numpy()
        losses.append(np.log(np.exp(scores).sum()) - scores[target])
        hits.append(int(scores.argmax()) == target)
    last = listener.rows["m"][-1]
    assert last["test_loss"] == pytest.approx(np.mean(losses), abs=1e-5)
    assert last["test_accuracy"] == pytest.approx(np.mean(hits))


def test_rows_before_training_and_after_every_epoch(task, listener):
    train_cohort([member(variant=convex(0.5))], task, seed=0, device=CPU, observer=listener)
    rows = listener.rows["m"]
    assert [(row["step"], row["epoch"], row["images"]) for row in rows] == [(0, 0, 0), (3, 1, 51), (6, 2, 102)]
    assert rows[0]["train_loss"] is None
    assert rows[1]["train_loss"] > 0
    assert {row["alpha"] for row in rows} == {0.5}
    assert listener.steps == 6


def test_scheduled_dose_is_logged_and_in_force(task, listener):
    ramp = AlphaSchedule(kind="linear", final=1.0)
    ramped, constant = member("ramped", variant=convex(1.0), schedule=ramp), member("constant", variant=convex(1.0))
    train_cohort([ramped, constant], task, seed=0, device=CPU, observer=listener)
    assert [row["alpha"] for row in listener.rows["ramped"]] == [0.0, 0.5, 1.0]
    assert not same_bits(weights(ramped), weights(constant))


def test_divergence_is_recorded_with_null_and_the_others_go_on(task, listener):
    good, bad = member("good"), member("bad")
    with torch.no_grad():
        bad.model.classifier.fc.weight.fill_(float("nan"))
    train_cohort([good, bad], task, seed=0, device=CPU, observer=listener)
    assert listener.failures == {"bad": "diverged: test_loss not finite at step 0"}
    assert listener.rows["bad"][0]["test_loss"] is None
    assert len(listener.rows["good"]) == 3


def test_a_member_that_cannot_be_evaluated_leaves_alone(task, listener):
    good, bad = member("good"), member("bad")

    def broken(*inputs):
        raise RuntimeError("no luck")

    bad.model.forward = broken
    alone = Listener()
    train_cohort([member("good")], task, seed=0, device=CPU, observer=alone)
    train_cohort([good, bad], task, seed=0, device=CPU, observer=listener)
    assert list(listener.failures) == ["bad"]
    assert "no luck" in listener.failures["bad"]

    def timeless(rows):
        return [{key: value for key, value in row.items() if key != "seconds"} for row in rows]

    assert timeless(listener.rows["good"]) == timeless(alone.rows["good"])


def test_a_crash_names_its_reason_and_the_others_go_on(task, listener):
    good, bad = member("good"), member("bad")
    bad.optimizer.step = None
    train_cohort([good, bad], task, seed=0, device=CPU, observer=listener)
    assert listener.failures["bad"].startswith("crashed: TypeError: 'NoneType' object is not callable")
    assert len(listener.rows["good"]) == 3


def test_nuisance_stream_changes_dropout_only(task):
    one, other = member("one"), member("other", nuisance=1)
    assert same_bits(weights(one), weights(other))
    train([one, other], task)
    assert not same_bits(weights(one), weights(other))
    still, also = member("s", still=True), member("a", still=True, nuisance=1)
    train([still, also], task)
    assert same_bits(weights(still), weights(also))


def test_image_policy_on_a_sequence_is_refused(task, listener):
    import dataclasses

    sequence = dataclasses.replace(task, kind="sequence")
    with pytest.raises(BadInput, match="recipe.augmentation"):
        train_cohort([member(augmentation="crop-flip")], sequence, seed=0, device=CPU, observer=listener)


def test_every_epoch_sees_each_full_batch_once(task):
    assert steps_per_epoch(task.train, 17) == 3
    assert steps_per_epoch(task.train, 99) == 1
    seen = [train_batch(task, step, seed=0, batch_size=17, augmentation="none", device=CPU)[0] for step in range(3, 6)]
    rows = torch.cat(seen).flatten(1)
    assert len(torch.unique(rows, dim=0)) == 51
    first = train_batch(task, 0, seed=0, batch_size=17, augmentation="none", device=CPU)[0]
    assert not torch.equal(first, seen[0])

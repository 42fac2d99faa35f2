"""Texts and language through the one loop: masks, metrics per token, the same bits alone and in a cohort, no leak."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from crossnorm.data import Split, Task
from crossnorm.data.batches import test_batches as batches_of_test
from crossnorm.data.batches import train_batch
from crossnorm.functional import Variant
from crossnorm.models import create_model
from crossnorm.rng import addressed
from crossnorm.training.loop.cohort import train_cohort
from crossnorm.training.loop.evaluation import evaluate
from crossnorm.training.loop.losses import logits_of, loss_of, scores_of
from crossnorm.training.loop.run_state import make_member
from crossnorm.training.recipe.recipes import make_recipe
from tests.training.training_cases import CPU, Listener, convex, same_bits, weights

WORDS, LENGTH, CLASSES, SYMBOLS, CONTEXT = 23, 11, 3, 7, 13


def made(kind, train, test, n_classes, length):
    return Task(
        name="tiny",
        kind=kind,
        train=train,
        test=test,
        n_classes=n_classes,
        classes=tuple(map(str, range(n_classes))),
        mean=(),
        std=(),
        image_size=(1, length),
        n_channels=1,
        digest="none",
        augmentation="none",
        model={},
        notes="",
        vocabulary=tuple(map(str, range(WORDS))),
    )


def texts(count, draws):
    ids = draws.integers(2, WORDS, (count, LENGTH))
    real = draws.integers(1, LENGTH - 1, count)  # no row is full: some columns are padding everywhere
    ids[np.arange(LENGTH) >= real[:, None]] = 1
    return Split(inputs=torch.from_numpy(ids), targets=torch.from_numpy(draws.integers(0, CLASSES, count)))


def language(count, draws):
    walk = np.cumsum(draws.integers(1, 3, count * CONTEXT + 1)) % SYMBOLS  # two of seven can follow: to be learned
    stream = torch.from_numpy(walk.astype(np.uint8))
    inputs, targets = (part.unfold(0, CONTEXT, CONTEXT) for part in (stream[:-1], stream[1:]))
    return Split(inputs=inputs, targets=targets)


MODELS = {
    "text": ("text_cct_2", {"num_classes": CLASSES, "vocab_size": WORDS, "seq_len": LENGTH, "word_embedding_dim": 6}),
    "language": ("gpt_2", {"vocab_size": SYMBOLS, "seq_len": CONTEXT}),
}


@pytest.fixture(params=["text", "language"])
def task(request):
    draws = np.random.default_rng(5)
    if request.param == "text":
        return made("text", texts(53, draws), texts(29, draws), CLASSES, LENGTH)
    return made("language", language(53, draws), language(29, draws), SYMBOLS, CONTEXT)


def member(task, name="m", variant=None, **changes):
    recipe = make_recipe("quick", **({"batch_size": 17, "epochs": 2, "precision": "fp32"} | changes))
    model, keywords = MODELS[task.kind]
    with addressed(0, "init"):
        built = create_model(model, variant=variant, embedding_dim=8, **keywords)
    return make_member(name, built, recipe, CPU)


def train(members, task):
    listener = Listener()
    train_cohort(members, task, seed=0, device=CPU, observer=listener)
    assert not listener.failures
    return listener.rows


def test_a_run_has_the_same_bits_alone_in_a_cohort_and_repeated(task):
    doses = (None, convex(0.5), Variant(name="matched", alpha=1.0), Variant(name="laser", alpha=0.5))
    together = [member(task, f"arm{i}", variant) for i, variant in enumerate(doses)]
    rows = train(together, task)
    assert len({row[-1]["test_loss"] for row in rows.values()}) == len(doses)
    for i, variant in enumerate(doses):
        alone = member(task, f"arm{i}", variant)
        assert train([alone], task)[alone.name] == rows[alone.name]
        assert same_bits(weights(alone), weights(together[i]))


def test_every_example_is_learned_from_and_the_loss_falls(task):
    rows = train([member(task, epochs=20, lr=0.01)], task)["m"]
    assert rows[-1]["train_loss"] < 0.8 * rows[1]["train_loss"]


def test_evaluation_equals_a_loop_over_single_texts_without_padding():
    draws = np.random.default_rng(5)
    task = made("text", texts(53, draws), texts(29, draws), CLASSES, LENGTH)
    trained = member(task, variant=Variant(name="convex", alpha=0.7, site="both"))
    train([trained], task)
    trained.model.eval()
    losses, hits = [], []
    for ids, target in zip(task.test.inputs, task.test.targets.tolist(), strict=True):
        with torch.no_grad():
            scores = trained.model(ids[ids != 1][None])[0].double().numpy()
        losses.append(np.log(np.exp(scores).sum()) - scores[target])
        hits.append(int(scores.argmax()) == target)
    found = evaluate([trained], task, CPU)[0]
    assert found["test_loss"] == pytest.approx(np.mean(losses), abs=1e-5)
    assert found["test_accuracy"] == pytest.approx(np.mean(hits))


def test_evaluation_of_language_is_per_token():
    draws = np.random.default_rng(5)
    task = made("language", language(53, draws), language(29, draws), SYMBOLS, CONTEXT)
    trained = member(task, variant=convex(0.7))
    train([trained], task)
    trained.model.eval()
    losses, hits = [], []
    for ids, targets in zip(task.test.inputs.long(), task.test.targets.tolist(), strict=True):
        for place, target in enumerate(targets):  # every token from its own past alone
            with torch.no_grad():
                scores = trained.model(ids[None, : place + 1])[0, -1].double().numpy()
            losses.append(np.log(np.exp(scores).sum()) - scores[target])
            hits.append(int(scores.argmax()) == target)
    assert len(losses) == 29 * CONTEXT
    found = evaluate([trained], task, CPU)[0]
    assert found["test_loss"] == pytest.approx(np.mean(losses), abs=1e-5)
    assert found["test_accuracy"] == pytest.approx(np.mean(hits))


@pytest.mark.parametrize("name", ["convex", "matched", "centred", "signed", "laser", "additive"])
def test_no_token_learns_from_a_later_one(name):
    draws = np.random.default_rng(5)
    task = made("language", language(17, draws), language(5, draws), SYMBOLS, CONTEXT)
    model = member(task, variant=Variant(name=name, alpha=0.8)).model.eval()
    inputs, targets = train_batch(task, 0, seed=0, batch_size=17, augmentation="none", device=CPU)
    seen = []
    model.embedder.register_forward_hook(lambda module, args, out: seen.append(out) or out.retain_grad())
    logits = logits_of(model, inputs)
    place = 5
    loss_of(logits[:, place], targets[:, place]).backward()
    reached = seen[0].grad.abs().sum((0, 2))
    assert (reached[: place + 1] > 0).all()
    assert (reached[place + 1 :] == 0).all()


def test_what_lies_in_the_padding_reaches_no_text():
    draws = np.random.default_rng(5)
    task = made("text", texts(17, draws), texts(5, draws), CLASSES, LENGTH)
    model = member(task, variant=Variant(name="convex", alpha=0.8, site="both")).model.eval()
    ids, _ = train_batch(task, 0, seed=0, batch_size=17, augmentation="none", device=CPU)
    alone = torch.cat([logits_of(model, row[row != 1][None]) for row in ids])
    assert torch.allclose(logits_of(model, ids), alone, atol=1e-5)
    assert not torch.allclose(model(ids), alone, atol=1e-3)  # without the mask it would


def test_batches_of_the_test_set_are_bounded_by_their_tokens(monkeypatch, task):
    monkeypatch.setattr("crossnorm.data.batches._TEST_TOKENS", 5 * task.image_size[1] + 1)
    found = list(batches_of_test(task, CPU))
    assert [len(targets) for _, targets in found] == [5, 5, 5, 5, 5, 4]
    assert torch.equal(torch.cat([targets for _, targets in found]), task.test.targets.long())


def test_losses_of_classes_and_of_tokens_against_a_loop():
    draws = torch.Generator().manual_seed(2)
    logits, targets = torch.randn(2, 3, 5, generator=draws), torch.tensor([[0, 4, 2], [1, 1, 3]])
    wanted = -sum(logits.double().log_softmax(-1)[b, n, targets[b, n]] for b in range(2) for n in range(3))
    assert float(loss_of(logits, targets)) == pytest.approx(float(wanted) / 6, abs=1e-6)
    total, right = scores_of(logits, targets)
    assert float(total) == pytest.approx(float(wanted), abs=1e-5)
    assert int(right) == sum(int(logits[b, n].argmax() == targets[b, n]) for b in range(2) for n in range(3))
    assert torch.equal(loss_of(logits[:, 0], targets[:, 0]), loss_of(logits[:, :1], targets[:, :1]))

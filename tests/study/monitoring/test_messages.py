"""What a study says of itself before and after: its subject, its variants, and what it will not be able to say."""

from __future__ import annotations

from pathlib import Path

import pytest

from crossnorm.functional import VARIANTS
from crossnorm.study.monitoring.messages import announcement, warnings_of
from crossnorm.study.spec.plan import make_plan
from crossnorm.study.spec.schema import parse_spec
from crossnorm.study.spec.summary import describe, subject_of, training_of
from crossnorm.training.recipe.recipes import make_recipe


def plan(**fields):
    base = {"task": "digits", "name": "s", "alphas": [0, 1], "model": {"name": "cct_2_3x2_32"}}
    return make_plan(parse_spec(base | fields, "my.yaml"))


def function_plan(**fields):
    base = {"function": "mine:train", "name": "s", "metric": "loss", "direction": "lower"}
    return make_plan(parse_spec(base | fields, "my.yaml"))


@pytest.mark.parametrize(
    ("study", "subject"),
    [
        (plan(seeds=7), "cct_2_3x2_32 on digits, 7 seeds"),
        (plan(seeds=[11]), "cct_2_3x2_32 on digits, 1 seed"),
        (plan(model={"from": "bert-base-uncased"}, seeds=3), "bert-base-uncased on digits, 3 seeds"),
        (plan(model={}, seeds=3), "a model on digits, 3 seeds"),
        (function_plan(seeds=5), "mine:train, 5 seeds"),
        (plan(seeds=6, stop="decided", max_seeds=12), "cct_2_3x2_32 on digits, 6 to 12 seeds"),
    ],
)
def test_the_subject(study, subject):
    assert subject_of(study) == subject


def test_the_description_explains_each_variant_once_and_the_symbols_it_uses():
    said = describe(plan(alphas=[0, 0.5, 1], variants=["convex", "matched"], seeds=7))
    assert said == (
        "cct_2_3x2_32 on digits, 7 seeds. "
        f"convex: {VARIANTS['convex'].summary}. attenuated: {VARIANTS['attenuated'].summary}. "
        f"matched: {VARIANTS['matched'].summary}. "
        "S(V): the softmax of V over the tokens; N: the number of tokens."
    )


def test_what_was_trained_counts_not_what_was_planned():
    open_ended = plan(seeds=2, stop="decided", max_seeds=12, variants=["attenuated"])
    assert describe(open_ended, 6).startswith("cct_2_3x2_32 on digits, 6 seeds. attenuated:")
    assert describe(open_ended, 1).startswith("cct_2_3x2_32 on digits, 1 seed. attenuated:")


def test_symbols_that_no_variant_uses_are_not_explained():
    said = describe(plan(variants=["laser"], seeds=7))
    assert said.endswith("arXiv 2411.03493. A: the attention weights.")
    assert "S(V)" not in said
    assert describe(plan(variants=["attenuated"], seeds=7)).endswith("only shrinks V; the control of convex.")
    arms = [{"name": "long", "lr": 0.01}]
    assert describe(plan(variants=[], arms=arms, seeds=2)) == "cct_2_3x2_32 on digits, 2 seeds."


def test_a_variant_of_ones_own_has_no_summary(monkeypatch, tmp_path):
    (tmp_path / "own_variant.py").write_text("def doubled(value, *, alpha, visible):\n    return value\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert describe(plan(variants=["own_variant:doubled"], seeds=2)) == "cct_2_3x2_32 on digits, 2 seeds."


def test_the_announcement_counts_arms_and_names_recipe_and_folder():
    recipe = {"name": "quick", "optimizer": "adamw", "lr": 0.005}
    said = announcement(plan(alphas=[0, 0.5, 1], seeds=7, recipe=recipe, epochs=3), Path("a/s"), "cpu")
    recipe = "recipe quick, changed (adamw at 0.005, 3 epochs)"
    assert said == f"s: 5 arms of cct_2_3x2_32 on digits, 7 seeds, {recipe}, on cpu, into a/s"


def test_a_function_has_no_recipe_to_announce():
    arms = [{"name": "hot", "settings": {"lr": 0.1}}]
    said = announcement(function_plan(arms=arms, seeds=5), Path("a/s"), "cpu")
    assert said == "s: 2 arms of mine:train, 5 seeds, into a/s"


@pytest.mark.parametrize(("epochs", "words"), [(1, "1 epoch"), (3, "3 epochs")])
def test_the_training_in_a_few_words(epochs, words):
    assert training_of(make_recipe("paper", epochs=epochs)) == f"recipe paper (adamw at 0.0005, {words})"
    changed = make_recipe("paper", epochs=epochs, beta2=0.95)
    assert training_of(changed) == f"recipe paper, changed (adamw at 0.0005, {words})"


@pytest.mark.parametrize(("seeds", "words"), [(1, "with one seed every"), (2, "with 2 seeds every"), (3, None)])
def test_too_few_seeds_are_warned_of(seeds, words):
    found = warnings_of(plan(seeds=seeds), results_seen=False)
    assert len(found) == (words is not None)
    assert all(words in said and "3 pairs" in said for said in found)


def test_an_extension_after_a_look_is_told_when_its_intervals_are_finite():
    """A sequence of error level δ is finite at n pairs when (n + 1)^(n - 1) > 1/δ²; here of 6 arms and 3 contrasts."""
    pairs = [next(n for n in range(2, 99) if (n + 1) ** (n - 1) > (m / 0.05) ** 2) for m in (1, 9)]
    (said,) = warnings_of(plan(alphas=[0, 0.25, 0.5, 1], seeds=11), results_seen=True)
    assert f"finite from {pairs[0]} pairs on for the trend, from {pairs[1]} for the 9 arms and contrasts" in said
    assert len(warnings_of(plan(alphas=[0, 1], seeds=2), results_seen=True)) == 2


def test_an_open_ended_study_is_warned_of_nothing():
    assert warnings_of(plan(seeds=2, stop="decided", max_seeds=20), results_seen=True) == []

"""From fields to arms, runs and cohorts."""

from __future__ import annotations

import pytest

from crossnorm.errors import BadInput
from crossnorm.study.spec.builtin_studies import find_study
from crossnorm.study.spec.plan import Run, cut, make_plan
from crossnorm.study.spec.schema import parse_spec


def plan(**fields):
    return make_plan(parse_spec({"task": "mnist1d", **fields}, "my.yaml"))


def names(made):
    return [arm.name for arm in made.arms]


def test_the_quick_study_has_50_runs():
    quick = make_plan(parse_spec(find_study("quick"), "quick"))
    assert len(quick.runs) == 50
    assert names(quick)[:2] == ["baseline", "convex-0.5"]
    assert quick.arm("convex-0.5").control == "attenuated-0.5"


def test_variants_with_the_same_control_share_it():
    made = plan(variants=["convex", "batch", "additive"], alphas=[0, 1])
    assert names(made) == ["baseline", "convex-1", "attenuated-1", "batch-1", "additive-1"]
    assert [arm.control for arm in made.arms] == [None, "attenuated-1", None, "attenuated-1", None]


def test_without_controls():
    assert names(plan(control=False, alphas=[1])) == ["baseline", "convex-1"]


def test_site_and_settings_are_in_the_names():
    made = plan(variants=[{"name": "convex", "gain": 10.0, "temperature": 4.0, "layers": [1]}], alphas=[1], site="pool")
    assert names(made) == ["baseline", "convex-g10-t4-l1-1@pool", "attenuated-l1-1@pool"]
    variant = made.arms[1].variant
    assert (variant.gain, variant.temperature, variant.layers, variant.site) == (10, 4, (1,), "pool")


def test_schedule_rises_to_the_dose():
    made = plan(alphas=[0.5], alpha_schedule={"kind": "linear", "end": 0.5})
    assert [arm.schedule.final if arm.schedule else None for arm in made.arms] == [None, 0.5, 0.5]


def test_seven_runs_are_bukatins_six_conditions_at_the_pool():
    made = make_plan(parse_spec(find_study("seven-runs"), "seven-runs"))
    assert names(made) == ["baseline", "batch", "S(V)", "10 S(V)", "V + S(V)", "V - S(V)"]
    settings = [(a.variant.name, a.variant.alpha, a.variant.gain, a.variant.site) for a in made.arms[1:]]
    assert settings == [
        ("batch", 1, 1, "pool"),
        ("convex", 1, 1, "pool"),
        ("convex", 1, 10, "pool"),
        ("additive", 1, 1, "pool"),
        ("additive", -1, 1, "pool"),
    ]
    assert made.arms[0].recipe.name == "paper"
    assert [arm.family for arm in made.arms[1:]] == ["batch", "convex", "convex-g10", "additive", "additive"]


def test_further_arms_may_vary_any_field_of_the_recipe():
    made = plan(
        variants=[],
        arms=[
            {"name": "slow", "lr": 0.001, "batch_size": 64, "dose": 3},
            {"name": "slow convex", "variant": "convex", "alpha": 0.5, "lr": 0.001, "control": "slow"},
        ],
    )
    slow, both = made.arms[1:]
    assert (slow.recipe.lr, slow.recipe.batch_size, slow.dose, slow.variant) == (0.001, 64, 3, None)
    assert (both.recipe.lr, both.variant.alpha, both.control, both.family) == (0.001, 0.5, "slow", None)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"variants": ["convx"]}, "Did you mean 'convex'"),
        ({"alphas": [0]}, "a value other than 0"),
        ({"variants": []}, "a value other than 0 (or arms)"),
        ({"variants": ["convex", "convex"], "arms": [{"name": "convex-1", "lr": 0.1}]}, "convex-1 more than once"),
        ({"arms": [{"name": "x", "lrr": 0.1}]}, "Did you mean 'lr'"),
        ({"arms": [{"name": "x", "alpha": 1}]}, "a variant is required with alpha"),
        ({"arms": [{"name": "x", "lr": 0.1, "control": "y"}]}, "arms.x.control"),
        ({"recipe": {"name": "quick", "lr": -1}}, "recipe.lr"),
        ({"recipe": {"name": "fast"}}, "recipe"),
        ({"variants": [{"name": "attenuated", "gain": 2.0}]}, "has no S(V) to scale"),
        ({"variants": ["os:"]}, "variant"),
    ],
)
def test_what_does_not_fit_is_refused(fields, words):
    with pytest.raises(BadInput) as caught:
        plan(**fields)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("seeds", "workers", "sizes"), [(6, 2, [9] * 6), (1, 2, [5, 4]), (3, 2, None), (1, 11, [1] * 9)]
)
def test_cohorts_let_all_workers_end_together(seeds, workers, sizes):
    made = plan(seeds=seeds)
    cohorts = cut(made, made.runs, workers)
    assert sorted(run.arm + str(run.seed) for c in cohorts for run in c.runs) == sorted(
        r.arm + str(r.seed) for r in made.runs
    )
    loads = [0] * workers
    for cohort in cohorts:
        loads[loads.index(min(loads))] += len(cohort.arms)
    assert max(loads) <= 1.05 * -(-len(made.runs) // workers)
    if sizes is not None:
        assert [len(c.arms) for c in cohorts] == sizes


@pytest.mark.parametrize("workers", [1, 2, 3, 7, 40])
@pytest.mark.parametrize(("alphas", "small", "seeds"), [(4, 0, 1), (9, 3, 2), (20, 11, 1), (13, 2, 3)])
def test_the_cut_is_the_coarsest_that_is_nearly_even(alphas, small, seeds, workers):
    arms = [{"name": f"small-{i}", "batch_size": 64} for i in range(small)]
    made = plan(alphas=[i / alphas for i in range(alphas)], seeds=seeds, arms=arms)

    def longest(cohorts):
        loads = [0] * workers
        for size in sorted((len(c) for c in cohorts), reverse=True):
            loads[loads.index(min(loads))] += size
        return max(loads)

    of_batch = [[a.name for a in made.arms if ("small" in a.name) == wanted] for wanted in (False, True)]
    most = max(map(len, of_batch))
    ways = [
        [group[i::count] for _ in range(seeds) for group in of_batch for i in range(count) if group[i::count]]
        for count in range(-(-most // 16), most + 1)
    ]
    expected = next(way for way in ways if longest(way) <= 1.05 * min(map(longest, ways)))
    assert sorted(c.arms for c in cut(made, made.runs, workers)) == sorted(map(tuple, expected))


def test_cohorts_share_one_stream_of_batches():
    made = plan(variants=[], arms=[{"name": "small", "batch_size": 64}, {"name": "slow", "lr": 0.1}], seeds=1)
    assert [c.arms for c in cut(made, made.runs, 1)] == [("baseline", "slow"), ("small",)]
    made = plan(variants=[], arms=[{"name": "turned", "flip": "alternating"}], seeds=1)
    assert [c.arms for c in cut(made, made.runs, 1)] == [("baseline",), ("turned",)]


def test_nothing_to_do_is_no_cohort():
    assert cut(plan(), [], 2) == []
    assert cut(plan(seeds=2), [Run("baseline", 1)], 5)[0].arms == ("baseline",)


def test_an_open_ended_study_calls_for_seeds_two_by_two():
    made = plan(seeds=[0, 2, 5], stop="decided", max_seeds=8)
    assert made.seeds == (0, 2, 5, 1, 3, 4, 6, 7)
    assert made.batches == ((0, 2, 5), (1, 3), (4, 6), (7,))
    assert plan(seeds=4).batches == ((0, 1, 2, 3),)


def test_the_ready_study_aa_has_eight_arms_that_differ_by_chance_alone():
    made = make_plan(parse_spec(find_study("aa"), "aa"))
    assert [(a.nuisance, a.seed_offset) for a in made.arms] == [
        (0, 0),
        *((i, 0) for i in (1, 2, 3, 4)),
        *((0, i) for i in (1000, 2000, 3000, 4000)),
    ]
    assert {(a.recipe, a.variant, a.control, a.family) for a in made.arms} == {(made.arms[0].recipe, None, None, None)}
    assert len(made.seeds) == 6


def test_the_ready_study_lr_check_compares_at_half_once_and_twice_the_rate():
    made = make_plan(parse_spec(find_study("lr-check"), "lr-check"))
    rate = made.arms[0].recipe.lr
    pairs = [(a, made.arm(a.control or "baseline")) for a in made.arms if a.variant is not None]
    assert [(a.recipe.lr / rate, control.recipe) for a, control in pairs] == [
        (factor, pairs[i][0].recipe) for i, factor in enumerate((1, 0.5, 2))
    ]
    assert {(a.family, a.dose, a.variant) for a, _ in pairs} == {("convex", 1.0, pairs[0][0].variant)}


def test_an_arm_on_chance_of_its_own_is_on_no_trend():
    arms = [{"name": "x", "variant": "convex", "alpha": 0.5, "nuisance": 1}]
    assert plan(variants=[], arms=arms).arms[1].family is None


@pytest.mark.parametrize(
    ("arm", "words"),
    [
        ({"seed_offset": 2}, "seed_offset: expected an offset to seeds outside the study"),
        ({"seed_offset": -1000}, "arms.0.seed_offset"),
        ({"nuisance": -1}, "arms.0.nuisance"),
        ({"nuisance": 1.5}, "arms.0.nuisance"),
        ({"nuisence": 1}, "Did you mean 'nuisance'"),
    ],
)
def test_chance_settings_that_do_not_fit_are_refused(arm, words):
    with pytest.raises(BadInput) as caught:
        plan(seeds=3, arms=[{"name": "x", **arm}])
    assert words in str(caught.value)


def test_other_seeds_are_another_stream_of_batches():
    made = plan(variants=[], arms=[{"name": "d", "nuisance": 1}, {"name": "s", "seed_offset": 1000}], seeds=1)
    assert [c.arms for c in cut(made, made.runs, 1)] == [("baseline", "d"), ("s",)]

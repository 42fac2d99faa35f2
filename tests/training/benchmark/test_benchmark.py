"""What a bench measures. No test depends on the speed of the machine."""

from __future__ import annotations

import pytest
import torch

from crossnorm.data import prepare
from crossnorm.errors import BadInput
from crossnorm.functional import Variant
from crossnorm.models import create_model
from crossnorm.models.presets import configure
from crossnorm.models.site_alpha import site_alphas
from crossnorm.training.benchmark import benchmark as bench
from crossnorm.training.benchmark import timing
from crossnorm.training.benchmark.benchmark import BenchSettings, every_site, measure, overhead_of, step_jobs
from crossnorm.training.benchmark.noise_task import noise_task
from crossnorm.training.benchmark.synthetic_load import Workload, open_workload
from crossnorm.training.benchmark.timing import Spread
from crossnorm.training.loop.losses import logits_of
from crossnorm.training.recipe.recipes import make_recipe
from crossnorm.training.runtime.devices import autocast, precision

CPU = torch.device("cpu")
SMALL = {"name": "cct_2_3x2_32", "img_size": (7, 5), "n_conv_layers": 1, "embedding_dim": 8, "num_layers": 1}


def recipe(**changes):
    return make_recipe("quick", **({"batch_size": 13, "precision": "fp32"} | changes))


def workload(model=SMALL, **changes):
    return open_workload(model, recipe(**changes), CPU)


@pytest.mark.parametrize(
    ("name", "settings", "kind", "shape"),
    [
        ("cct_2_3x2_32", {"img_size": (7, 5), "n_input_channels": 2, "num_classes": 3}, "image", (11, 2, 7, 5)),
        ("text_cct_2", {"num_classes": 3, "seq_len": 17, "vocab_size": 29}, "text", (11, 17)),
        ("gpt_2", {"seq_len": 17, "vocab_size": 29}, "language", (11, 17)),
    ],
)
def test_noise_has_the_sizes_a_model_takes(name, settings, kind, shape):
    task = noise_task(configure(name, settings), train=11, test=5)
    assert (task.kind, tuple(task.train.inputs.shape), len(task.test)) == (kind, shape, 5)
    assert task.train.targets.max() < task.n_classes
    logits = logits_of(create_model(name, **settings), prepare(task.train.inputs, task))
    assert logits.shape[-1] == task.n_classes
    if kind == "text":
        assert set(task.train.inputs.unique().tolist()) == set(range(29)) - {1}  # no padding
    if kind == "image":
        inputs = prepare(task.train.inputs, task)
        assert (inputs.mean().abs() < 0.1, (inputs.std() - 1).abs() < 0.1) == (True, True)


def test_the_precision_is_the_recipes_and_that_of_autocast():
    assert [precision(recipe(precision=wanted), CPU) for wanted in ("fp32", "bf16")] == [torch.float32, torch.bfloat16]
    for wanted in ("fp32", "bf16", "auto"):
        asked = recipe(precision=wanted)
        with autocast(asked, CPU):
            assert (torch.ones(2, 3) @ torch.ones(3, 5)).dtype == precision(asked, CPU)


def test_every_variant_acts_at_its_site_while_it_is_timed(monkeypatch):
    made, active = workload(), []
    only = made.member()
    monkeypatch.setattr(Workload, "member", lambda self: only)
    variants = [Variant(name="convex", alpha=0.25), Variant(name="laser", alpha=0.75, site="pool")]
    jobs = step_jobs(made, variants)
    assert list(jobs) == [None, *variants]
    for job in jobs.values():
        step = job()
        at = site_alphas(only.model)
        active.append({(path.rpartition(".")[2], alpha.mixing.name, alpha.read()) for path, alpha in at.items()})
        step()
        assert only.step == len(active)
    assert active == [set(), {("self_attn", "convex", 0.25)}, {("attention_pool", "laser", 0.75)}]


def test_overhead_is_a_ratio_within_a_round():
    convex, laser = Variant(name="convex"), Variant(name="laser", site="pool")
    seconds = {"training": [1.0] * 3, None: [2.0, 3.0, 5.0], convex: [3.0, 3.0, 10.0], laser: [2.0, 12.0, 10.0]}
    found = overhead_of(seconds)
    assert found["convex"] == {"attention": Spread(median=1.5, low=1.25, high=1.75)}  # of 1.5, 1 and 2
    assert found["laser"] == {"pool": Spread(median=2.0, low=1.5, high=3.0)}  # of 1, 4 and 2


def test_sites_are_those_of_the_model():
    assert every_site(workload().member()) == ["attention", "pool"]
    assert every_site(workload({"name": "gpt_2", "seq_len": 5, "num_layers": 1}).member()) == ["attention"]


def test_rates_count_the_examples_of_every_member(monkeypatch):
    asked = {}

    def turns(jobs, repeats, **options):
        asked.update(jobs=list(jobs), repeats=repeats, threads=torch.get_num_threads())
        for job in jobs.values():
            job()()
        return {key: [2.0, 4.0, 8.0] for key in jobs}

    monkeypatch.setattr(bench, "take_turns", turns)
    threads = torch.get_num_threads()
    settings = BenchSettings(
        model=SMALL, recipe=recipe(), variants=("convex", "batch"), members=2, repeats=3, threads=2, device="cpu"
    )
    found = measure(settings)
    assert (asked["repeats"], asked["threads"], torch.get_num_threads()) == (3, 2, threads)
    assert asked["jobs"][:3] == ["training", "evaluation", None]
    assert found.training == Spread(median=2 * 13 / 4, low=2 * 13 * 3 / 16, high=2 * 13 * 3 / 8)
    assert found.evaluation.median == 4 * 13 / 4
    assert {name: list(at) for name, at in found.overhead.items()} == {
        name: ["attention", "pool"] for name in ("convex", "batch")
    }
    assert (found.device, found.precision) == ("cpu", "float32")


def test_without_variants_only_rates_are_measured(monkeypatch):
    monkeypatch.setattr(timing, "_MIN_SECONDS", 0.0)
    turns = []
    settings = BenchSettings(model=SMALL, recipe=recipe(), variants=(), members=1, repeats=2, device="cpu")
    found = measure(settings, lambda done, total: turns.append((done, total)))
    assert found.overhead == {}
    assert 0 < found.training.low <= found.training.median <= found.training.high
    assert turns == [(k, 3 * 2) for k in range(1, 3 * 2 + 1)]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"members": 0}, "members: expected at least 1, got 0"),
        ({"repeats": 0}, "repeats: "),
        ({"threads": 0}, "threads: "),
        ({"variants": ("convx",)}, "Did you mean 'convex'"),
    ],
)
def test_settings_are_checked_when_they_are_made(changes, words):
    with pytest.raises(BadInput, match=words):
        BenchSettings(**changes)


@pytest.mark.parametrize(
    ("model", "changes", "words"),
    [
        ({"name": "cct_99"}, {}, "cct_99"),
        ({"name": "gpt_2", "img_size": 64}, {}, "img_size"),
        ({"name": "gpt_2"}, {"augmentation": "autoaugment"}, "noise, which has no images"),
        ({"name": "text_cct_2"}, {"mixup": 0.8}, "recipe.mixup"),
    ],
)
def test_a_workload_that_does_not_fit_is_refused(model, changes, words):
    with pytest.raises(BadInput, match=words):
        workload(model, **changes)

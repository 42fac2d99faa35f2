"""What a bench counts and measures, and that it measures what it says; no test depends on how fast the machine is."""

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
from crossnorm.training.benchmark.bench_records import BenchSettings
from crossnorm.training.benchmark.benchmark import measure, measure_overhead
from crossnorm.training.benchmark.noise_task import noise_task
from crossnorm.training.benchmark.synthetic_load import Workload, count_operations, open_workload, sites_of
from crossnorm.training.benchmark.timing import Prepared, Spread
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


def test_operations_of_a_step_by_hand():
    patch, width, heads, tokens, channels, classes, batch = 3, 10, 2, 3 * 2, 2, 7, 13
    settings = {"img_size": (11, 7), "patch_size": patch, "n_input_channels": channels, "num_classes": classes}
    model = {"name": "vit_2_4_32", **settings, "embedding_dim": width, "num_heads": heads, "num_layers": 1}
    made = workload(model)
    n = tokens + 1  # the class token
    tokenizer = tokens * width * channels * patch**2
    block = n * width * 3 * width + 2 * heads * n * n * (width // heads) + n * width * width + 2 * n * width * width
    head = width * classes
    # Backwards every product has one for each of its factors; nobody asks for the gradient of the images.
    expected = 2 * batch * (3 * (block + head) + 2 * tokenizer)
    assert count_operations(made, made.member()) == expected


def test_the_precision_is_the_recipes_and_that_of_autocast():
    assert [precision(recipe(precision=wanted), CPU) for wanted in ("fp32", "bf16")] == [torch.float32, torch.bfloat16]
    for wanted in ("fp32", "bf16", "auto"):
        asked = recipe(precision=wanted)
        with autocast(asked, CPU):
            assert (torch.ones(2, 3) @ torch.ones(3, 5)).dtype == precision(asked, CPU)


def test_every_variant_stands_at_its_site_while_it_is_timed(monkeypatch):
    made, placed = workload(), []
    only = made.member()
    monkeypatch.setattr(Workload, "member", lambda self: only)

    def turns(jobs, repeats, **_):
        for job in jobs.values():
            assert isinstance(job, Prepared)
            job.prepare()()
            acting = site_alphas(only.model)
            placed.append({(path.rpartition(".")[2], at.mixing.name, at.read()) for path, at in acting.items()})
            assert only.step == len(placed)
        return dict(zip(jobs, ([2.0, 3.0, 5.0], [3.0, 3.0, 10.0], [2.0, 12.0, 10.0]), strict=True))

    monkeypatch.setattr(bench, "take_turns", turns)
    variants = [Variant(name="convex", alpha=0.25), Variant(name="laser", alpha=0.75, site="pool")]
    found = measure_overhead(made, variants, 3)
    assert placed == [set(), {("self_attn", "convex", 0.25)}, {("attention_pool", "laser", 0.75)}]
    assert [(row.variant, row.site) for row in found] == [("convex", "attention"), ("laser", "pool")]
    assert found[0].ratio == Spread(median=1.5, low=1.25, high=1.75)  # of 1.5, 1 and 2
    assert found[1].ratio == Spread(median=2.0, low=1.5, high=3.0)  # of 1, 4 and 2


def test_sites_are_those_the_model_has():
    assert sites_of(workload().member()) == ("attention", "pool")
    assert sites_of(workload({"name": "gpt_2", "seq_len": 5, "num_layers": 1}).member()) == ("attention",)


def test_a_bench_measures_everything(monkeypatch):
    monkeypatch.setattr(bench, "_SIDE", 64)
    monkeypatch.setattr(timing, "_LEAST_SECONDS", 0.0)
    turns, threads = [], torch.get_num_threads()
    settings = BenchSettings(
        model=SMALL, recipe=recipe(), variants=("convex", "batch"), members=2, repeats=3, device="cpu"
    )
    found = measure(settings, lambda done, total: turns.append((done, total)))
    speed = found.speed
    names = ["cohort", "step", "data", "forward", "backward", "optimiser", "evaluation"]
    assert [part.name for part in speed.parts] == names
    assert [part.examples for part in speed.parts] == [26, *[13] * 5, 52]
    for part in speed.parts:
        assert 0 < part.seconds.low <= part.seconds.median <= part.seconds.high
        assert part.rate.median == pytest.approx(part.examples / part.seconds.median)
    made = workload()
    assert speed.operations == count_operations(made, made.member())
    assert 0 < speed.share.low <= speed.share.median <= speed.share.high
    assert [(row.variant, row.site) for row in found.overhead] == [
        (name, site) for name in ("convex", "batch") for site in ("attention", "pool")
    ]
    assert (found.device, found.precision) == ("cpu", "float32")
    assert found.peak_memory is None or found.peak_memory > 10**7
    assert turns == [(k, 4 * (8 + 5)) for k in range(1, 4 * 13 + 1)]
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"members": 0}, "--members: expected at least 1, got 0"),
        ({"repeats": 0}, "--repeats"),
        ({"threads": 0}, "--threads"),
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

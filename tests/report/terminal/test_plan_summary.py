from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console

from crossnorm.report.formatting import duration
from crossnorm.report.terminal.plan_summary import plan_summary
from crossnorm.stats import Outlook, Prospect
from crossnorm.study.planning.cost import Cost
from crossnorm.study.planning.estimate import Estimate

COST = Cost(
    source="stored runs",
    arms=5,
    seeds=7,
    runs=35,
    runs_done=11,
    train_examples=4000,
    steps=12345,
    images=1580160,
    parameters=52_741,
    seconds_per_run=17.0,
    seconds_per_seed=85.0,
    workers=2,
    hours=2.5,
    hours_left=1.7,
    disk_bytes=6_000_000,
    disk_peak_bytes=2_300_000_000,
)
ARM = Prospect(
    name="one arm",
    comparisons=6,
    sd=0.02,
    sd_range=(0.013, 0.044),
    pairs=7,
    detectable=0.04,
    for_difference=(29, 13, 131),
    for_margin=(19, 10, 71),
)
TREND = replace(ARM, name="convex - attenuated", comparisons=1, detectable=0.031, for_margin=None)
OUTLOOK = Outlook(
    metric="test_loss",
    seeds=7,
    power=0.8,
    confidence=0.95,
    interval="bonferroni-t",
    later="sequential",
    difference=-0.01,
    margin=0.02,
    arm=ARM,
    trend=TREND,
)
FIELDS = {
    "task": "digits",
    "train_examples": 331,
    "model": {"name": "cct_2_3x2_32", "img_size": [8, 11], "num_layers": 3, "sha256": "abc"},
    "recipe": {"name": "paper", "lr": 0.07, "mixup": 0.0, "clip_norm": None, "flip": "random"},
    "epochs": 13,
    "settings": {},
    "metric": "test_loss",
    "direction": "lower",
    "margin": 0.02,
}
WHOLE = Estimate(
    study="s",
    function=None,
    resolved=FIELDS,
    arms=("baseline", "mixed-1", *(f"arm {k}" for k in range(11))),
    cost=COST,
    outlook=OUTLOOK,
    noise="stored runs",
    notes=("[b]careful[/b]",),
)


def shown(estimate: Estimate) -> str:
    console = Console(file=io.StringIO(), width=80, color_system=None)
    console.print(plan_summary(estimate))
    text: str = console.file.getvalue()  # type: ignore[attr-defined]
    assert max(map(len, text.splitlines())) <= 80
    return " ".join(text.split())


def test_the_summary_says_what_the_estimate_holds() -> None:
    text = shown(WHOLE)
    for said in (
        "35 (5 arms × 7 seeds; 11 done)",
        "arms baseline, mixed-1, arm 0, arm 1,",
        "arm 9 and 1 more",
        "12,345 steps, 1,580,160 examples (4,000 per epoch)",
        "17 s, from stored runs",
        "2.5 h on this machine, 2 workers; 1.7 h left",
        "6 MB; up to 2.3 GB with checkpoints",
        "6 comparisons 1 comparison",
        "detectable, 7 seeds ± 0.0400 ± 0.0310",
        "seeds to detect 0.0100 29 (13–131), 21 min",
        "seeds for ± 0.0200 19 (10–71), 13 min",
        "Note: [b]careful[/b]",
        "use sequential intervals",
    ):
        assert said in text


def test_the_most_seeds_are_said() -> None:
    text = shown(replace(WHOLE, most_seeds=True))
    assert "for the largest number of seeds" in text.replace("\n", " ")
    assert "largest number" not in shown(WHOLE)


def test_what_is_not_measured_is_said_to_be_so() -> None:
    empty = replace(ARM, sd=None, sd_range=None, pairs=0, detectable=None, for_difference=None, for_margin=None)
    text = shown(replace(WHOLE, noise=None, outlook=replace(OUTLOOK, arm=empty, trend=None)))
    assert text.count("not measured") == 5
    assert "--pilot" in text
    assert "convex" not in text


def test_of_a_function_that_has_not_run_nothing_but_its_runs_is_said() -> None:
    runs = replace(COST, source=None, seconds_per_run=None, seconds_per_seed=None, hours=None, disk_bytes=None)
    text = shown(replace(WHOLE, cost=runs, function="mine:train"))
    for said in ("training by mine:train", "time per run not measured", "total time not measured", "29 (13–131) "):
        assert said in text
    assert "min" not in text.replace("mine", "")
    assert "disk" not in text


def test_too_few_seeds_detect_nothing() -> None:
    text = shown(replace(WHOLE, outlook=replace(OUTLOOK, seeds=2, arm=replace(ARM, detectable=None), trend=None)))
    assert "none: too few seeds" in text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.1234, "0.12 s"),
        (45, "45 s"),
        (720, "12 min"),
        (12240, "3.4 h"),
        (86400, "24 h"),
        (4e6, "46 days"),
        (1e9, "32 years"),
    ],
)
def test_durations_for_readers(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_the_resolved_study_comes_first() -> None:
    text = shown(WHOLE)
    assert text.startswith(
        "s: study task digits, 331 training examples model cct_2_3x2_32 (52,741 parameters), img_size"
    )
    for said in (
        "img_size 8 × 11, num_layers 3 recipe",
        "recipe paper, lr 0.07, epochs 13 metric",
        "metric test loss, lower is better margin ± 0.02 s: cost",
    ):
        assert said in text


def test_a_function_shows_its_settings() -> None:
    fields = FIELDS | {"task": None, "settings": {"width": 17}, "margin": None}
    text = shown(replace(WHOLE, function="mine:train", resolved=fields))
    assert text.startswith("s: study settings width 17 metric test loss, lower is better")
    assert 'margin none: no arm can be "same" s: cost' in text

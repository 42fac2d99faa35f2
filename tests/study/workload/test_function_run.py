"""A user's training function: what it sees, what is stored, how it resumes and how it ends."""

from __future__ import annotations

import json
import random
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from crossnorm.errors import BadInput
from crossnorm.study.events import Note
from crossnorm.study.spec.plan import Run, make_plan
from crossnorm.study.spec.schema import parse_spec
from crossnorm.study.storage.run_folder import RunFolder
from crossnorm.study.workload.function_run import run_function
from crossnorm.training.checkpoint.file_format import State, previous_of, read_state, write_state

CPU = torch.device("cpu")


def plan(**fields):
    base = {"function": "m:train", "metric": "loss", "direction": "lower", "seeds": 2, "alphas": [0, 0.5]}
    return make_plan(parse_spec(base | fields, "my.yaml"))


def carried_out(folder, train, run=None, **fields):
    """The events, the stored outcome and the stored curve of one run."""
    told, run = [], run or Run("convex-0.5", 1)
    folder.mkdir(exist_ok=True)
    run_function(plan(**fields), train, run, folder, CPU, told.append)
    return SimpleNamespace(
        told=told, result=RunFolder(folder, run).read().result, rows=RunFolder(folder, run).read().rows, own=run
    )


def test_what_the_function_sees(tmp_path):
    seen = {}

    def train(run):
        seen[run.arm] = run
        run.log(0, loss=1.0)

    fields = {"settings": {"lr": 0.1, "depth": 3}, "alphas": [0, 0.5]}
    arms = [{"name": "deep", "depth": 7, "dose": 7}, {"name": "far", "variant": "laser", "alpha": 2, "seed_offset": 11}]
    for arm in ("baseline", "convex-0.5", "attenuated-0.5", "deep", "far"):
        carried_out(tmp_path, train, Run(arm, 1), **fields, arms=arms, variants=["convex"])
    assert {name: (run.variant.name, run.variant.alpha, run.dose, run.seed) for name, run in seen.items()} == {
        "baseline": ("convex", 0.0, 0.0, 1),
        "convex-0.5": ("convex", 0.5, 0.5, 1),
        "attenuated-0.5": ("attenuated", 0.5, 0.5, 1),
        "deep": ("convex", 0.0, 7.0, 1),
        "far": ("laser", 2.0, 2.0, 12),
    }
    assert seen["deep"].settings == {"lr": 0.1, "depth": 7}
    assert seen["baseline"].settings == fields["settings"] == seen["convex-0.5"].settings
    assert seen["deep"].directory == tmp_path / "runs" / "deep" / "1"
    assert not any(run.stop for run in seen.values())


def test_without_variants_there_is_none(tmp_path):
    def train(run):
        assert run.variant is None
        run.log(0, loss=1)

    assert carried_out(
        tmp_path, train, Run("wide", 0), arms=[{"name": "wide", "width": 5}], alphas=[0], variants=[]
    ).result


def draws(run):
    run.log(0, loss=random.random(), numpy=np.random.rand(), torch=torch.rand(()))


def test_arms_of_a_seed_draw_alike_and_seeds_differ(tmp_path):
    one, other, third = (
        carried_out(tmp_path, draws, Run(*run)).rows[0] for run in (("baseline", 1), ("convex-0.5", 1), ("baseline", 0))
    )
    for name in ("loss", "numpy", "torch"):
        assert one[name] == other[name] != third[name]


def test_rows_are_joined_by_step_and_carry_the_dose(tmp_path):
    def train(run):
        run.log(3, train_loss=2)
        run.log(3, loss=np.float32(0.5))
        run.log(np.int64(7), loss=torch.tensor([0.25]), accuracy=True)

    found = carried_out(tmp_path, train)
    assert [{k: v for k, v in row.items() if k != "seconds"} for row in found.rows] == [
        {"step": 3, "alpha": 0.5, "train_loss": 2.0, "loss": 0.5},
        {"step": 7, "alpha": 0.5, "loss": 0.25, "accuracy": 1.0},
    ]
    assert found.result["status"] == "complete"
    assert [event.kind for event in found.told] == ["evaluated"] * 3 + ["step", "finished"]


def test_a_summary_needs_the_column_that_it_sums_up(tmp_path):
    def train(run):
        run.log(0, loss=1.0, other=float("nan"))
        run.log(5, loss=0.5)

    assert carried_out(tmp_path / "a", train, metric="loss_auc").result["status"] == "complete"
    failed = carried_out(tmp_path / "b", train, metric="acc_auc").result
    assert (failed["status"], failed["reason"]) == (
        "crashed",
        "the function returned without logging acc_auc; it logged loss, other",
    )
    ended = carried_out(tmp_path / "c", lambda run: run.log(0, loss=float("inf")), metric="loss_steps_to_0.5").result
    assert ended["status"] == "diverged"


@pytest.mark.parametrize("value", [float("nan"), float("-inf"), torch.tensor(float("inf"))])
def test_a_metric_that_is_not_finite_is_divergence(tmp_path, value):
    after = []

    def train(run):
        run.log(0, loss=1.0, other=float("nan"))
        run.log(5, loss=value)
        after.append(run.stop)
        try:
            run.log(6, loss=1.0)
        except Exception:
            after.append("caught")
        after.append("went on")

    found = carried_out(tmp_path, train)
    assert found.result["status"] == "diverged"
    assert found.result["reason"] == "loss not finite at step 5"
    assert [(row["step"], row["loss"]) for row in found.rows] == [(0, 1.0), (5, None)]
    assert found.rows[0]["other"] is None
    assert after == [True]


RAMP = {"kind": "linear", "end": 0.5}


def ramp(*fractions):
    def train(run):
        for step, fraction in enumerate(fractions):
            run.log(step, loss=1.0, read=run.alpha(fraction))

    return train


@pytest.mark.parametrize(
    ("run", "schedule", "read"),
    [
        ("baseline", RAMP, [0.0, 0.0, 0.0, 0.0]),
        ("convex-0.5", RAMP, [0.0, 0.25, 0.5, 0.5]),
        ("attenuated-0.5", RAMP, [0.0, 0.25, 0.5, 0.5]),
        ("late", RAMP, [0.0, 0.0, 0.0, 2.0]),
        ("still", RAMP, [3.0, 3.0, 3.0, 3.0]),
        ("convex-0.5", None, [0.5, 0.5, 0.5, 0.5]),
    ],
)
def test_alpha_follows_the_schedule_and_is_stored(tmp_path, run, schedule, read):
    late = {"name": "late", "variant": "laser", "alpha": 2, "alpha_schedule": {"kind": "steps", "steps": 1}}
    still = {"name": "still", "variant": "laser", "alpha": 3, "alpha_schedule": {"kind": "constant"}}
    fields = {"alpha_schedule": schedule, "arms": [late, still], "variants": ["convex"]}
    found = carried_out(tmp_path, ramp(0, 0.25, 0.5, 1), Run(run, 1), **fields)
    assert found.result["status"] == "complete", found.result
    assert [row["read"] for row in found.rows] == read
    assert [row["alpha"] for row in found.rows] == read


@pytest.mark.parametrize(
    ("train", "words"),
    [
        (ramp(0, 0.2), "α ended at 0.2, not at the dose 0.5: read run.alpha(1)"),
        (lambda run: run.log(0, loss=1), "run.alpha was never read"),
        (lambda run: run.alpha(7), "run.alpha: progress: expected a fraction of training, 0 to 1, got 7"),
        (lambda run: run.alpha(float("nan")), "got nan"),
    ],
)
def test_a_function_that_does_not_follow_its_schedule_crashes(tmp_path, train, words):
    found = carried_out(tmp_path, train, alpha_schedule=RAMP)
    assert found.result["status"] == "crashed"
    assert words in found.result["reason"]


def test_a_schedule_goes_on_after_a_resume(tmp_path):
    def train(run, stop=None):
        for step in range(run.resume() or 0, 3):
            run.log(step, loss=1, read=run.alpha(step / 2))
            run.save(step + 1)
            if step == stop:
                raise KeyboardInterrupt

    for stop in (1, 2):  # the second time, nothing is left but to return
        assert carried_out(tmp_path, lambda run, stop=stop: train(run, stop), alpha_schedule=RAMP).result
    found = carried_out(tmp_path, train, alpha_schedule=RAMP)
    assert found.result["status"] == "complete"
    assert [row["alpha"] for row in found.rows] == [0.0, 0.5, 0.5]


def raises(error):
    def train(run):
        run.log(0, loss=1)
        raise error

    return train


@pytest.mark.parametrize(
    ("train", "words"),
    [
        (raises(RuntimeError("no luck")), ["RuntimeError: no luck (train, line "]),
        (raises(SystemExit(3)), ["SystemExit: 3"]),
        (raises(MemoryError()), ["MemoryError: no message"]),
        (lambda run: None, ["without logging loss", "nothing"]),
        (lambda run: run.log(1, acc=3), ["without logging loss; it logged acc"]),
        (lambda run: (run.log(4, loss=1), run.log(3, loss=1)), ["run.log: step: expected at least 4", "got 3"]),
        (lambda run: run.log(-1, loss=1), ["at least 0"]),
        (lambda run: run.log(0.5, loss=1), ["a whole number"]),
        (lambda run: run.log(0, loss="x"), ["run.log: loss: expected a number, got str"]),
        (lambda run: run.log(0, loss=torch.ones(2)), ["a number, got Tensor"]),
        (lambda run: run.log(0, seconds=1), ["itself stores a value named 'seconds'"]),
        (lambda run: (run.log(0, loss=1), run.resume()), ["called after run.log"]),
        (lambda run: run.save({"model": torch.nn.Linear(2, 3)}), ["state['model']", "Linear", "state_dict()"]),
    ],
)
def test_a_crash_says_why(tmp_path, train, words):
    found = carried_out(tmp_path, train)
    assert found.result["status"] == "crashed"
    for word in words:
        assert word in found.result["reason"]


def interrupted_at(stop):
    """Draws a number a step from each generator; interrupted once between saving and logging."""

    def train(run):
        state = run.resume()
        first, total = (0, torch.zeros(())) if state is None else (state["step"], state["total"])
        for step in range(first, 7):
            total = total + torch.rand(()) + random.random() + np.random.randn()
            run.log(step, loss=total)
            if step == stop:
                raise KeyboardInterrupt
            run.save({"step": step + 1, "total": total})

    return train


@pytest.mark.parametrize("stop", [0, 1, 4])
def test_resumed_runs_have_the_bits_of_undisturbed_ones(tmp_path, stop):
    whole = carried_out(tmp_path / "whole", interrupted_at(None))
    assert carried_out(tmp_path / "cut", interrupted_at(stop)).result["status"] == "crashed"
    again = carried_out(tmp_path / "cut", interrupted_at(None))
    assert again.result["status"] == "complete"
    assert [(row["step"], row["loss"]) for row in again.rows] == [(row["step"], row["loss"]) for row in whole.rows]
    lines = (RunFolder(tmp_path / "cut", again.own).path / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == list(range(7))
    assert [p.name for p in RunFolder(tmp_path / "cut", again.own).path.glob("checkpoint*")] == []


def test_what_is_logged_in_pieces_survives_interruption_after_interruption(tmp_path):
    began_at = []

    def train(run, stop=None):
        first = run.resume() or 0
        began_at.append(first)
        for step in range(first, 5):
            if stop == "at once":
                raise KeyboardInterrupt
            run.log(step, loss=step)
            run.log(step, other=step + 0.5)
            run.save(step + 1)
            run.log(step, late=step + 0.25)
            if step == stop:
                raise KeyboardInterrupt

    for stop in (1, "at once", 3):
        carried_out(tmp_path, lambda run, stop=stop: train(run, stop))
    found = carried_out(tmp_path, train)
    assert began_at == [0, 2, 2, 4]
    assert [event for event in found.told if isinstance(event, Note)] == []
    assert [row["other"] for row in found.rows] == [0.5, 1.5, 2.5, 3.5, 4.5]
    assert [row.get("late") for row in found.rows] == [0.25, None, 2.25, None, 4.25]


def test_a_function_that_never_resumes_starts_anew(tmp_path):
    def train(run):
        run.log(0, loss=1)
        run.save({})
        run.log(2, loss=2)
        raise RuntimeError

    carried_out(tmp_path, train)
    assert [row["step"] for row in carried_out(tmp_path, lambda run: run.log(1, loss=3)).rows] == [1]


def test_a_damaged_checkpoint_is_passed_over_with_a_note(tmp_path):
    carried_out(tmp_path, interrupted_at(4))
    path = RunFolder(tmp_path, Run("convex-0.5", 1)).checkpoint
    path.write_bytes(path.read_bytes()[:-3])
    again = carried_out(tmp_path, interrupted_at(None))
    notes = [event.text for event in again.told if isinstance(event, Note)]
    assert len(notes) == 1
    assert "continues from the previous checkpoint" in notes[0]
    whole = carried_out(tmp_path / "whole", interrupted_at(None))
    assert [row["loss"] for row in again.rows] == [row["loss"] for row in whole.rows]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"function": "train"}, "package.module:function"),
        ({"function": "m:train()"}, "package.module:function"),
        ({"direction": None}, "metric and direction"),
        ({"epochs": 3}, "no epochs with a function"),
        ({"recipe": {"name": "paper"}}, "no recipe with a function"),
        ({"data": "folder"}, "no data without a task"),
        ({"train_examples": 9}, "no train_examples without a task"),
        ({"task": "digits", "epochs": 3}, "no epochs with a function"),
        ({"arms": [{"name": "a", "nuisance": 1}]}, "arms.a.nuisance"),
        ({"arms": [{"name": "a", "alpha_schedule": {}}]}, "a.alpha_schedule: has no effect without a variant"),
        (
            {"arms": [{"name": "a", "x": 1}], "variants": [], "alpha_schedule": {}},
            "alpha_schedule: has no effect: no arm",
        ),
        ({"arms": [{"name": "a", "x": {1, 2}}]}, "arms.a"),
        ({"settings": {"x": object()}}, "settings: expected numbers"),
    ],
)
def test_what_does_not_fit_a_function_is_refused(fields, words):
    with pytest.raises(BadInput, match=words.replace("(", r"\(").replace(")", r"\)")):
        plan(**fields)


def test_settings_belong_to_functions():
    with pytest.raises(BadInput, match="settings only with a function"):
        parse_spec({"task": "digits", "settings": {"a": 1}}, "x")
    with pytest.raises(BadInput, match="metric and direction"):
        parse_spec({"function": "m:f", "direction": "lower"}, "x")


def test_arms_alone_bring_no_grid():
    arms = [{"name": "wide", "layers": [3], "dose": 2, "control": "long"}, {"name": "long", "dose": 2}]
    base = {"function": "m:train", "metric": "loss", "direction": "lower", "arms": arms}
    found = make_plan(parse_spec(base, "x"))
    assert [(a.name, a.family, a.control) for a in found.arms] == [
        ("baseline", None, None),
        ("wide", "dose", "long"),
        ("long", "control", None),
    ]
    assert found.spec.name == "m-train"
    assert len(make_plan(parse_spec(base | {"alphas": [1]}, "x")).arms) == 5


@pytest.mark.parametrize(
    "about",
    [{"seconds": "x"}, {"step": [1]}, {"generators": 3}, {"content": {"tensor": "none"}}, {"format": "another"}],
)
def test_a_checkpoint_of_wrong_types_is_passed_over_for_the_one_before(tmp_path, about):
    whole = carried_out(tmp_path / "whole", interrupted_at(None))
    carried_out(tmp_path / "cut", interrupted_at(4))
    path = RunFolder(tmp_path / "cut", Run("convex-0.5", 1)).checkpoint
    before, good = previous_of(path).read_bytes(), read_state(path)
    write_state(path, State({**good.about, **about}, good.tensors))
    previous_of(path).write_bytes(before)
    again = carried_out(tmp_path / "cut", interrupted_at(None))
    (note,) = [event.text for event in again.told if isinstance(event, Note)]
    assert note.endswith("The run continues from the previous checkpoint.")
    assert [(row["step"], row["loss"]) for row in again.rows] == [(row["step"], row["loss"]) for row in whole.rows]

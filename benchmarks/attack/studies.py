"""Small studies of every kind that crossnorm trains, and what must be equal when one is repeated."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

TRAIN = """
import random, time, torch

def train(run):
    value = torch.rand(())
    state = run.resume()
    if state is not None:
        value = state["value"]
    for step in range(0 if state is None else state["step"], run.settings.get("steps", 12)):
        value = 0.8 * value + 0.1 * torch.rand(()) + 0.05 * random.random() + 0.01 * run.dose
        time.sleep(run.settings.get("pause", 0))
        run.log(step, loss=value)
        run.save({"value": value, "step": step + 1})
"""
FUNCTION = "function: slow:train\nmetric: loss\ndirection: lower\nalphas: [0, 1]\n"
DIGITS = "task: digits\ntrain_examples: 600\nmodel: {embedding_dim: 16, num_layers: 1}\nalphas: [0, 1]\nseeds: 3\n"
TINY = "task: digits\ntrain_examples: 67\nmodel: {embedding_dim: 8, num_layers: 1}\nalphas: [0, 1]\n"
"""The beginning of a study that is only planned, or trained in a second."""
RECIPE = "recipe: {name: quick, batch_size: 31%s}\n"
ONE_RUN = (
    *("--task", "digits", "--train-examples", "300", "--epochs", "12", "--out", "out"),
    *("--set", "batch_size=31"),
)


@dataclass(frozen=True)
class Case:
    """A kind of study: its file, its command, and how it is prepared.

    Attributes:
        name: In the tables.
        argv: The command.
        study: The content of ``study.yaml`` in the working directory; empty: there is none.
        prepare: Writes what else it needs into the working directory.
        needs: A library that it needs.
        mirror: Whether the local folder is deleted now and then, and comes back from its mirror.
    """

    name: str
    argv: tuple[str, ...]
    study: str = ""
    prepare: Callable[[Path], None] = lambda work: None
    needs: str = "crossnorm"
    mirror: bool = False

    @property
    def missing(self) -> bool:
        return find_spec(self.needs) is None

    def write(self, work: Path) -> None:
        (work / "slow.py").write_text(TRAIN)
        if self.study:
            (work / "study.yaml").write_text(self.study)
        self.prepare(work)


def plotted(*more: str) -> tuple[str, ...]:
    return ("plot", "study.yaml", "--import", "slow", "--out", "out", *more)


def write_texts(work: Path) -> None:
    """A random BERT and questions for it."""
    from tests.pretrained_cases import write_bert, write_questions

    write_bert(work / "bert")
    write_questions(work / "questions", train=256)


def write_base(work: Path) -> None:
    """A model of crossnorm to start from."""
    import crossnorm
    from crossnorm.models import save_model

    torch_seed()
    model = crossnorm.create_model("cvt_2_4_32", img_size=8, n_input_channels=1, num_classes=10, embedding_dim=16)
    save_model(model, work / "base.safetensors")


def torch_seed() -> None:
    import torch

    torch.manual_seed(0)


CASES = (
    Case("task study", plotted(), DIGITS + RECIPE % "" + "epochs: 20\n"),
    Case("function study", plotted(), FUNCTION + "seeds: 3\nsettings: {pause: 0.05, steps: 40}\n"),
    Case("stop: decided", plotted(), FUNCTION + "settings: {pause: 0.03, steps: 20}\nseeds: 3\nstop: decided\n"
         "max_seeds: 8\nmargin: 0.02\n"),
    Case("learned α", plotted(), DIGITS + RECIPE % "" + "epochs: 20\narms: [{name: learned, variant: convex, "
         "learnable_alpha: layer}]\n"),
    Case("averaged weights", plotted(), DIGITS + RECIPE % ", ema: 0.9" + "epochs: 20\nkeep_models: true\n"),
    Case("pretrained", plotted(), "task: trec\ndata: questions\nmodel: {from: bert}\nalphas: [0, 1]\nseeds: 2\n"
         + RECIPE % "" + "epochs: 12\n", write_texts, needs="transformers"),
    Case("mirrored", plotted("--mirror", "far"), FUNCTION + "seeds: 3\nsettings: {pause: 0.05, steps: 40}\n",
         mirror=True),
    Case("train", ("train", *ONE_RUN)),
    Case("finetune", ("finetune", "--from", "base.safetensors", *ONE_RUN), prepare=write_base),
)  # fmt: skip


def answer(out: Path) -> dict[str, object]:
    """Everything of a finished study that does not depend on time: verdict, curves, and kept models."""
    found: dict[str, object] = {}
    if (out / "verdict.json").exists():
        found["verdict.json"] = (out / "verdict.json").read_bytes()
    for file in sorted(out.glob("runs/*/*/metrics.jsonl")):
        lines = file.read_bytes().splitlines()
        found[str(file.relative_to(out))] = [json.loads(line) | {"seconds": None} for line in lines]
    for file in sorted(out.glob("runs/*/*/**/model.safetensors")):
        found[str(file.relative_to(out))] = _weights(file)
    return found


def _weights(file: Path) -> tuple[object, str]:
    """The header and the digest of the tensors: safetensors writes the header's fields in any order."""
    content = file.read_bytes()
    start = 8 + int.from_bytes(content[:8], "little")
    return json.loads(content[8:start]), hashlib.sha256(content[start:]).hexdigest()


def counted_values(out: Path) -> set[tuple[str, ...]]:
    """Arm, seed, step and loss of every row of table.csv that counts: its run has an outcome."""
    path = out / "table.csv"
    if not path.is_file():
        return set()
    with path.open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["status"] != "missing"]
    return {(row["arm"], row["seed"], row["step"], row["loss"]) for row in rows}


def half_written(out: Path) -> str:
    """What is wrong with the stored answer in itself; empty: nothing.

    The means of verdict.json are those of table.csv at the last step, arm by arm.
    """
    path = out / "verdict.json"
    if not path.is_file():
        return ""
    try:
        verdict = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        return f"verdict.json: {error}"
    if not verdict.get("complete") or not (out / "table.csv").is_file():
        return ""
    with (out / "table.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    last: dict[str, dict[str, tuple[int, float]]] = {}
    for row in rows:
        value = row.get(verdict["metric"])
        if value:
            seeds, step = last.setdefault(row["arm"], {}), int(row["step"])
            if step >= seeds.get(row["seed"], (-1, 0.0))[0]:
                seeds[row["seed"]] = (step, float(value))
    for arm in verdict["arms"]:
        values = [value for _, value in last.get(arm["arm"], {}).values()]
        if arm["mean"] is None or not values or len(values) != arm["n"]:
            continue
        if abs(sum(values) / len(values) - arm["mean"]) > 1e-6 * max(1.0, abs(arm["mean"])):
            return f"table.csv and verdict.json differ in the mean of {arm['arm']}"
    return ""

"""Other libraries' training loops as runs: what is logged, α at every step, resumed bits, and what is refused.

The model reads a sequence by one converted attention layer. Its dataset notes the order in which rows are read.
"""

from __future__ import annotations

import math
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn

import crossnorm
from crossnorm import integrations
from crossnorm.study.spec.plan import Run, make_plan
from crossnorm.study.spec.schema import parse_spec
from crossnorm.study.storage.run_folder import RunFolder
from crossnorm.study.workload.function_run import run_function
from tests.repository import ROOT
from tests.study.study_cases import crossnorm as command

pytestmark = pytest.mark.filterwarnings("ignore")  # of the libraries

CPU = torch.device("cpu")
ROWS, BATCH, EPOCHS = 24, 8, 3
STEPS = ROWS // BATCH * EPOCHS
RAMP = {"kind": "linear", "end": 0.8}
ALPHAS = [min(step / STEPS / 0.8, 1.0) * 0.5 for step in range(STEPS + 1)]


class Model(nn.Module):
    """Mean of attended tokens; takes and gives what both libraries want. Notes α of every training step."""

    def __init__(self, variant):
        super().__init__()
        self.attend, self.head = nn.MultiheadAttention(8, 2, dropout=0.3, batch_first=True), nn.Linear(8, 2)
        self.handle = None if variant is None else crossnorm.convert(self, variant)
        self.alphas = []

    def forward(self, x, labels):
        if self.training and self.handle is not None:
            self.alphas.append(self.handle.alpha)
        logits = self.head(self.attend(x, x, x)[0].mean(1))
        return {"loss": nn.functional.cross_entropy(logits, labels), "logits": logits}


class Data(torch.utils.data.Dataset):
    def __init__(self):
        draws = torch.Generator().manual_seed(3)
        self.inputs, self.read = torch.randn(ROWS, 5, 8, generator=draws), []
        self.labels = torch.randint(2, (ROWS,), generator=draws)

    def __len__(self):
        return ROWS

    def __getitem__(self, row):
        self.read.append(row)
        return {"x": self.inputs[row], "labels": self.labels[row]}


def by_hugging_face(run, model, data, *more, **settings):
    from transformers import Trainer, TrainingArguments

    callback = integrations.TrainerCallback(run)
    often = {"eval_strategy": "epoch", "save_strategy": "epoch", "logging_strategy": "no"}
    quiet = {"report_to": [], "disable_tqdm": True, "use_cpu": True}
    base = {"output_dir": str(run.directory / "hf"), "seed": run.seed, "per_device_train_batch_size": BATCH}
    arguments = TrainingArguments(**{**base, **often, **quiet, "num_train_epochs": EPOCHS, **settings})
    trainer = Trainer(
        model, arguments, train_dataset=data, eval_dataset=Data(), callbacks=[callback, *(each() for each in more)]
    )
    trainer.train(resume_from_checkpoint=callback.resume())


def by_lightning(run, model, data, *more, **settings):
    from lightning.pytorch import LightningModule, Trainer

    class Module(LightningModule):
        def __init__(self):
            super().__init__()
            self.model = model

        def train_dataloader(self):
            draws = torch.Generator().manual_seed(1000 * run.seed + self.current_epoch)
            return torch.utils.data.DataLoader(data, BATCH, sampler=torch.randperm(ROWS, generator=draws).tolist())

        def val_dataloader(self):
            return torch.utils.data.DataLoader(Data(), BATCH)

        def training_step(self, batch):
            return self.model(**batch)["loss"]

        def validation_step(self, batch):
            self.log("eval_loss", self.training_step(batch))

        def configure_optimizers(self):
            optimizer = torch.optim.SGD(self.parameters(), lr=settings.get("learning_rate", 0.1), momentum=0.9)
            return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.5)]  # by epochs

    callback = integrations.LightningCallback(run)
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "logger": False, "accelerator": "cpu"}
    base = {"default_root_dir": run.directory, "max_epochs": EPOCHS, "reload_dataloaders_every_n_epochs": 1}
    given = {key: value for key, value in settings.items() if key != "learning_rate"}
    trainer = Trainer(**{**base, **quiet, **given}, callbacks=[callback, *(each() for each in more)])
    trainer.fit(Module(), ckpt_path=callback.resume())


def hugging_face_interruption(epoch):
    from transformers import TrainerCallback

    class Interruption(TrainerCallback):
        def on_epoch_begin(self, args, state, control, **_):
            if round(state.epoch) == epoch:
                raise KeyboardInterrupt

    return Interruption


def lightning_interruption(epoch):
    from lightning.pytorch import Callback

    class Interruption(Callback):
        def on_train_batch_start(self, trainer, *_):
            if trainer.global_step == epoch * ROWS // BATCH + 1:
                raise ZeroDivisionError

    return Interruption


LOOPS = {
    "transformers": (by_hugging_face, hugging_face_interruption),
    "lightning": (by_lightning, lightning_interruption),
}


@pytest.fixture(params=list(LOOPS))
def loop(request):
    pytest.importorskip(request.param)
    fit, interruption = LOOPS[request.param]
    return SimpleNamespace(name=request.param, fit=fit, interruption=interruption)


def carried_out(folder, loop, arm="convex-0.5", *more, variant=True, schedule=RAMP, **settings):
    """One run: its rows, its outcome, α of every training step, and the rows of data in the order of reading."""
    fields = {"function": "m:train", "metric": "eval_loss", "direction": "lower", "alphas": [0, 0.5], "seeds": 2}
    plan = make_plan(parse_spec(fields | {"alpha_schedule": schedule}, "my.yaml"))
    found = SimpleNamespace(data=Data(), model=None)

    def train(run):
        found.model = Model(run.variant if variant else None)
        loop.fit(run, found.model, found.data, *more, **settings)

    run = Run(arm, 1)
    folder.mkdir(exist_ok=True)
    run_function(plan, train, run, folder, CPU, lambda event: None)
    own = RunFolder(folder, run)
    found.rows, found.result, found.path = own.read().rows, own.read().result, own.path
    return found


def measured(found):
    return [(row["step"], row["alpha"], row["eval_loss"]) for row in found.rows]


def test_alpha_rises_at_every_step_and_evaluations_are_logged(tmp_path, loop):
    found = carried_out(tmp_path, loop)
    assert found.result["status"] == "complete", found.result
    assert found.model.alphas == pytest.approx(ALPHAS[:-1])
    assert [row["step"] for row in found.rows] == [3, 6, 9]
    assert [row["alpha"] for row in found.rows] == pytest.approx([ALPHAS[3], ALPHAS[6], 0.5])
    assert not [name for row in found.rows for name in row if name.endswith(("runtime", "per_second"))]
    with torch.inference_mode():
        found.model.eval().to(CPU)
        expected = float(found.model(Data().inputs, Data().labels)["loss"])
    assert found.rows[-1]["eval_loss"] == pytest.approx(expected, rel=1e-5)


def test_arms_of_a_seed_read_the_data_in_the_same_order(tmp_path, loop):
    plain, convex = (carried_out(tmp_path, loop, arm) for arm in ("baseline", "convex-0.5"))
    assert plain.data.read == convex.data.read
    assert plain.data.read[:ROWS] != plain.data.read[ROWS : 2 * ROWS]
    assert plain.model.alphas == [0.0] * STEPS
    assert plain.rows[0]["eval_loss"] != convex.rows[0]["eval_loss"]


@pytest.mark.parametrize("epoch", [1, 2])
def test_a_resumed_run_has_the_bits_of_an_undisturbed_one(tmp_path, loop, epoch):
    whole = carried_out(tmp_path / "whole", loop)
    cut = carried_out(tmp_path / "cut", loop, "convex-0.5", loop.interruption(epoch))
    assert cut.result["status"] == "crashed"
    assert len(cut.rows) == epoch
    again = carried_out(tmp_path / "cut", loop)
    assert again.result["status"] == "complete", again.result
    assert measured(again) == measured(whole)
    left = whole.data.read[epoch * ROWS :]
    assert again.data.read[-len(left) :] == left  # to find its place, Lightning reads an epoch that is done
    assert again.model.alphas == pytest.approx(ALPHAS[epoch * ROWS // BATCH : -1])


def test_a_checkpoint_of_another_run_is_refused(tmp_path, loop):
    """Put in place of the run's own, as the folders of two runs are mixed up."""
    cut, other = (carried_out(tmp_path / n, loop, "convex-0.5", loop.interruption(e)) for n, e in (("a", 1), ("b", 2)))
    for name in ("lightning-*.ckpt", "*/checkpoint-*"):
        for own, strange in zip(sorted(cut.path.glob(name)), sorted(other.path.glob(name))[-1:], strict=False):
            shutil.rmtree(own) if own.is_dir() else own.unlink()
            (shutil.copytree if strange.is_dir() else shutil.copy)(strange, own)
    again = carried_out(tmp_path / "a", loop)
    assert again.result["status"] == "crashed"
    assert "the checkpoint is not the one that this run wrote" in again.result["reason"]


def test_a_run_that_diverges_is_stopped(tmp_path, loop):
    found = carried_out(tmp_path, loop, learning_rate=1e38)
    assert found.result["status"] == "diverged", found.result
    assert len(found.rows) == 1
    assert math.isnan(float(found.model(Data().inputs, Data().labels)["loss"]))


def test_without_a_schedule_alpha_stays_as_the_model_has_it(tmp_path, loop):
    found = carried_out(tmp_path, loop, schedule=None)
    assert found.result["status"] == "complete", found.result
    assert found.model.alphas == [0.5] * STEPS
    assert carried_out(tmp_path / "other", loop, schedule=None, variant=False).result["status"] == "complete"


REFUSED = [
    ("transformers", {"output_dir": "elsewhere"}, "TrainingArguments.output_dir: expected run.directory"),
    ("transformers", {"seed": 42}, "TrainingArguments.seed: expected run.seed (1), got 42. Write seed=run.seed"),
    ("transformers", {"data_seed": 7}, "TrainingArguments.data_seed: expected run.seed (1), got 7"),
    ("transformers", {"save_total_limit": 1}, "save_total_limit: expected at least 2, or None, got 1"),
    ("transformers", {"variant": False}, "the model has no variant. Convert it with crossnorm.convert"),
    ("lightning", {"default_root_dir": "elsewhere"}, "Trainer.default_root_dir: expected run.directory"),
    ("lightning", {"variant": False}, "the model has no variant. Convert it with crossnorm.convert"),
    ("lightning", {"max_epochs": -1}, "Trainer: expected max_epochs or max_steps"),
]


@pytest.mark.parametrize(("library", "settings", "words"), REFUSED)
def test_settings_that_would_spoil_the_study_are_refused(tmp_path, monkeypatch, library, settings, words):
    pytest.importorskip(library)
    monkeypatch.chdir(tmp_path)
    found = carried_out(tmp_path / "o", SimpleNamespace(fit=LOOPS[library][0]), **settings)
    assert found.result["status"] == "crashed"
    assert words in found.result["reason"]
    assert found.rows == []


def test_a_deleted_checkpoint_is_named(tmp_path, loop):
    cut = carried_out(tmp_path, loop, "convex-0.5", loop.interruption(1))
    for path in [*cut.path.glob("lightning-*"), *cut.path.glob("hf/checkpoint-*")]:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    found = carried_out(tmp_path, loop)
    assert found.result["status"] == "crashed"
    assert "the checkpoint to resume from is missing" in found.result["reason"]


def test_the_two_newest_checkpoints_of_lightning_are_kept(tmp_path):
    pytest.importorskip("lightning")
    run = tmp_path / "runs" / "convex-0.5" / "1"
    run.mkdir(parents=True)
    (run / "lightning-000000070.ckpt").write_bytes(b"of an earlier try")
    found = carried_out(tmp_path, SimpleNamespace(fit=by_lightning))
    assert sorted(path.name for path in found.path.glob("*.ckpt")) == [
        "lightning-000000003.ckpt",
        "lightning-000000006.ckpt",
    ]
    assert not (tmp_path / "lightning_logs").exists()


def loaded_after(statement):
    code = f"import sys; {statement}; print(*sys.modules, sep='\\n')"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)


def test_the_package_imports_no_library():
    loaded = set(loaded_after("import crossnorm.integrations").stdout.split())
    assert "crossnorm.integrations" in loaded
    assert loaded & {"transformers", "lightning", "torch"} == set()


@pytest.mark.parametrize(
    ("library", "name", "extra"),
    [("transformers", "TrainerCallback", "hf"), ("lightning", "LightningCallback", "lightning")],
)
def test_a_missing_library_is_named(library, name, extra):
    done = loaded_after(f"sys.modules['{library}'] = None; from crossnorm.integrations import {name}")
    reason = f"needs {library}, which is not installed: pip install 'crossnorm[{extra}]'"
    assert f"ImportError: crossnorm.integrations.{name} {reason}" in done.stderr


EXAMPLES = [("transformers", "trainer", [20, 40]), ("lightning", "lightning_loop", [6, 12])]


@pytest.mark.slow
@pytest.mark.parametrize(("library", "name", "steps"), EXAMPLES)
def test_the_examples_are_studies(tmp_path, library, name, steps):
    pytest.importorskip(library)
    for file in (ROOT / "examples").glob(f"{name}.*"):
        assert len(file.read_text().splitlines()) <= 30
        shutil.copy(file, tmp_path)
    done = command("plot", f"{name}.yaml", "--import", name, "--out", "o", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for arm, alphas in (("baseline", [0.0, 0.0]), ("convex-1", [1.0, 1.0])):
        for seed in range(2):
            rows = RunFolder(tmp_path / "o", Run(arm, seed)).read().rows
            assert [(row["step"], row["alpha"]) for row in rows] == list(zip(steps, alphas, strict=True))
    audited = command("audit", "o", "--import", name, cwd=tmp_path)
    assert audited.returncode == 0, audited.stderr
    assert " ".join(audited.stdout.split()).count("bit-identical at all 2 evaluations") == 2


def test_the_examples_folder_is_shown_in_the_docs():
    page = (ROOT / "docs" / "howto" / "own-training.md").read_text(encoding="utf-8")
    for file in Path(ROOT / "examples").glob("*.py"):
        assert file.name in page

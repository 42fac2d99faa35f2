"""The Trainer of Lightning inside a training function."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint

from crossnorm.errors import BadInput
from crossnorm.integrations.callback_parts import (
    alpha_setter,
    check_folder,
    log_numbers,
    save_resume_point,
    saved_checkpoint,
)
from crossnorm.study.workload.function_run import FunctionRun
from crossnorm.training.runtime.rng_state import generators_now, set_generators

__all__ = ["LightningCallback"]


class LightningCallback(Checkpoint):  # type: ignore[misc]
    """Connects a Lightning Trainer with a run: logs validations, raises α, resumes, and stops a run that has diverged.

    - After every validation, the metrics that the module has logged are stored at the step, under their names:
      ``self.log("val_loss", …)`` gives ``metric: val_loss``.
    - α of a converted model is that of the arm's schedule, at every step.
    - Between two epochs, a checkpoint of Lightning's is written into the run's folder and becomes its resume point; the
      two newest are kept. It takes the place of Lightning's default ModelCheckpoint.

    Args:
        run: The argument of the training function.

    Raises:
        BadInput: At the start of training: `default_root_dir` is not in the run's folder, or the arm has a schedule
            and the model no variant or the training no end.

    Example::

        callback = LightningCallback(run)
        trainer = Trainer(default_root_dir=run.directory, max_epochs=10, callbacks=[callback])
        trainer.fit(module, train, val, ckpt_path=callback.resume())
    """

    def __init__(self, run: FunctionRun) -> None:
        self._run = run
        self._newest: Path | None = None
        self._progress: dict[str, Any] | None = None
        self._saving = False
        self._generators: dict[str, Any] | None = None
        self._set_alpha: Callable[[int, float], None] = lambda step, steps: None

    def resume(self) -> str | None:
        """The checkpoint file to go on from; None at the start of a run. Call it before ``trainer.fit``.

        Raises:
            BadInput: The file has been deleted.
        """
        found = saved_checkpoint(self._run)
        if found is not None:
            self._newest, self._generators = Path(found), generators_now()
        return found

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Check the settings."""
        check_folder("Trainer.default_root_dir", trainer.default_root_dir, self._run)
        self._set_alpha = alpha_setter(self._run, pl_module)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Set α of the first step, also after a resume."""
        if self._run.schedule is not None and not math.isfinite(trainer.estimated_stepping_batches):
            raise BadInput("Trainer", "max_epochs or max_steps, with an alpha_schedule", "training without an end")
        self._set_alpha(trainer.global_step, trainer.estimated_stepping_batches)

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        """Set α of the next step and of a validation before it."""
        self._set_alpha(trainer.global_step, trainer.estimated_stepping_batches)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log the metrics, and stop if the run has diverged."""
        if trainer.sanity_checking:
            return
        metrics = {name: float(value) for name, value in trainer.callback_metrics.items() if value.numel() == 1}
        log_numbers(self._run, trainer.global_step, metrics)
        trainer.should_stop = trainer.should_stop or self._run.stop

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Keep the progress of the loops: this is a place from which they can resume."""
        self._progress = trainer.fit_loop.state_dict()

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Before the first batch of an epoch, write a checkpoint, and make it the run's resume point.

        Not earlier: schedulers of the learning rate are stepped after `on_train_epoch_end`, and loaders of data draw
        from the generators when they are opened.
        """
        if batch_idx == 0 and self._generators is not None:
            set_generators(self._generators)
            self._generators = None
        elif batch_idx == 0 and self._progress is not None:
            self._save(trainer)

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Put the progress of the loops at the end of the epoch before into a checkpoint of this callback."""
        if self._saving:
            checkpoint["loops"]["fit_loop"] = self._progress

    def _save(self, trainer: Trainer) -> None:
        path = self._run.directory / f"lightning-{trainer.global_step:09}.ckpt"
        self._saving = True
        trainer.save_checkpoint(path)
        self._saving = False
        save_resume_point(self._run, path)
        for other in self._run.directory.glob("lightning-*.ckpt"):
            if other not in (path, self._newest):  # the one before stays, in case the newest is damaged
                other.unlink()
        self._newest = path

"""Callbacks that connect other libraries' training loops with the `run` of a training function.

Importing this package imports none of those libraries.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from crossnorm._lazy import lazy

if TYPE_CHECKING:
    from crossnorm.integrations.hf_trainer import TrainerCallback as TrainerCallback
    from crossnorm.integrations.lightning_trainer import LightningCallback as LightningCallback

_HOME = {
    "LightningCallback": "crossnorm.integrations.lightning_trainer",
    "TrainerCallback": "crossnorm.integrations.hf_trainer",
}

__all__ = ["LightningCallback", "TrainerCallback"]

__getattr__ = lazy(__name__, _HOME)

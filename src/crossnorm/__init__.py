"""crossnorm: tests ideas about attention.

It trains a grid of α × paired seeds and returns learning curves with bands, a trend over α and a verdict. Names are
imported on first use, so that ``import crossnorm`` and ``crossnorm --help`` are fast.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from crossnorm._lazy import lazy
from crossnorm._version import __version__
from crossnorm.errors import BadInput, show_briefly

if TYPE_CHECKING:
    from crossnorm.adapters import convert
    from crossnorm.api import Result, Study, compare, load
    from crossnorm.data import load_task
    from crossnorm.functional import Variant, attention, per_query, sequence_pool
    from crossnorm.models import create_model, list_models
    from crossnorm.training.recipe.schedules import AlphaSchedule

_HOME = {
    "AlphaSchedule": "crossnorm.training.recipe.schedules",
    "Result": "crossnorm.api",
    "Study": "crossnorm.api",
    "Variant": "crossnorm.functional",
    "attention": "crossnorm.functional",
    "compare": "crossnorm.api",
    "convert": "crossnorm.adapters",
    "create_model": "crossnorm.models",
    "list_models": "crossnorm.models",
    "load": "crossnorm.api",
    "load_task": "crossnorm.data",
    "per_query": "crossnorm.functional",
    "sequence_pool": "crossnorm.functional",
}

__all__ = [
    "AlphaSchedule",
    "BadInput",
    "Result",
    "Study",
    "Variant",
    "__version__",
    "attention",
    "compare",
    "convert",
    "create_model",
    "list_models",
    "load",
    "load_task",
    "per_query",
    "sequence_pool",
]


__getattr__ = lazy(__name__, _HOME)
show_briefly()


def __dir__() -> list[str]:
    return sorted(__all__)

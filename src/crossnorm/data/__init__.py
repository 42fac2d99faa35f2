"""Tasks (what is learned from) and whole-batch augmentation.

Names are resolved on first use, so that ``list_tasks`` costs no import of torch. Knows nothing of models
beyond the default keywords of each task, and nothing of training.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from crossnorm.data.augmentation import AUGMENTATIONS as AUGMENTATIONS
    from crossnorm.data.augmentation import augment as augment
    from crossnorm.data.catalogue import list_tasks as list_tasks
    from crossnorm.data.load import load_task as load_task
    from crossnorm.data.photographs import Photographs as Photographs
    from crossnorm.data.task import Split as Split
    from crossnorm.data.task import Task as Task
    from crossnorm.data.task import prepare as prepare

_HOME = {
    "AUGMENTATIONS": "augmentation",
    "Photographs": "photographs",
    "Split": "task",
    "Task": "task",
    "augment": "augmentation",
    "list_tasks": "catalogue",
    "load_task": "load",
    "prepare": "task",
}

__all__ = ["AUGMENTATIONS", "Photographs", "Split", "Task", "augment", "list_tasks", "load_task", "prepare"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)

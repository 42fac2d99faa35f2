"""Tasks (data sets with their defaults) and whole-batch augmentation.

Names are resolved on first use, so that ``list_tasks`` does not import torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from crossnorm.data.images.lazy_images import Photographs as Photographs
    from crossnorm.data.loading import load_task as load_task
    from crossnorm.data.task import Split as Split
    from crossnorm.data.task import Task as Task
    from crossnorm.data.task import prepare as prepare
    from crossnorm.data.task_registry import list_tasks as list_tasks

_HOME = {
    "Photographs": "images.lazy_images",
    "Split": "task",
    "Task": "task",
    "list_tasks": "task_registry",
    "load_task": "loading",
    "prepare": "task",
}

__all__ = ["Photographs", "Split", "Task", "list_tasks", "load_task", "prepare"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)

"""Pretrained models of other libraries: where they lie, what they are made into, how their attention is converted.

Knows Hugging Face, timm and torch.nn; knows nothing of tasks, training or studies.
"""

from typing import Any


class Handle:
    alpha: Any


def convert(model: Any, variant: Any, learnable: Any = None) -> Handle:
    raise NotImplementedError

"""A tiny task, made without files; makes ``training_cases`` importable wherever pytest is started."""

from __future__ import annotations

import numpy as np
import pytest

from crossnorm.data import Task
from tests.training.training_cases import Listener, split


@pytest.fixture(scope="session")
def task() -> Task:
    draws = np.random.default_rng(11)
    return Task(
        name="tiny",
        kind="image",
        train=split(53, draws),
        test=split(31, draws),
        n_classes=3,
        classes=("a", "b", "c"),
        mean=(0.4, 0.5),
        std=(0.3, 0.2),
        image_size=(7, 5),
        n_channels=2,
        digest="none",
        augmentation="crop-flip",
        model={"name": "cct_2_3x2_32"},
        notes="",
    )


@pytest.fixture
def listener() -> Listener:
    return Listener()

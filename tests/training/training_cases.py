"""Members of a tiny task, and a listener."""

from __future__ import annotations

import numpy as np
import torch

from crossnorm.data import Split
from crossnorm.functional import Variant
from crossnorm.models import create_model
from crossnorm.rng import addressed
from crossnorm.training.loop.run_state import make_member
from crossnorm.training.recipe.recipes import make_recipe

CPU = torch.device("cpu")


def split(count: int, draws: np.random.Generator) -> Split:
    inputs = torch.from_numpy(draws.integers(0, 256, (count, 2, 7, 5), dtype=np.uint8))
    return Split(inputs=inputs, targets=torch.from_numpy(draws.integers(0, 3, count)))


class Listener:
    """Keeps what a cohort tells."""

    def __init__(self):
        self.rows, self.failures, self.steps = {}, {}, 0

    def evaluated(self, member, row):
        self.rows.setdefault(member.name, []).append({k: v for k, v in row.items() if k != "seconds"})

    def failed(self, member):
        self.failures[member.name] = str(member.failure)

    def stepped(self, members):
        self.steps += members


def member(name="m", *, seed=0, variant=None, schedule=None, nuisance=0, still=False, device=CPU, layers=1, **changes):
    recipe = make_recipe("quick", **({"batch_size": 17, "epochs": 2, "precision": "fp32"} | changes))
    with addressed(seed, "init"):
        model = create_model(
            "cct_2_3x2_32",
            img_size=(7, 5),
            n_input_channels=2,
            num_classes=3,
            n_conv_layers=layers,
            embedding_dim=8,
            variant=variant,
            **({"attention_dropout": 0.0, "stochastic_depth": 0.0} if still else {}),
        )
    return make_member(name, model, recipe, device, schedule=schedule, nuisance=nuisance)


def convex(alpha, **settings):
    return Variant(name="convex", alpha=alpha, **settings)


def weights(trained):
    return {key: value.clone() for key, value in trained.model.state_dict().items()}


def same_bits(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)

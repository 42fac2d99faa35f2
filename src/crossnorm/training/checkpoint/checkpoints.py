"""Save and load the checkpoint of a member: model, optimizer and progress."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from crossnorm.errors import BadInput
from crossnorm.training.checkpoint.file_format import State, seconds_of, step_of, write_state
from crossnorm.training.loop.run_state import Member

__all__ = ["load_checkpoint", "save_checkpoint"]

_FORMAT = "crossnorm-checkpoint-2"


def save_checkpoint(member: Member, path: Path, seal: Mapping[str, Any] = MappingProxyType({})) -> None:
    """Write model, optimizer and progress of a member; the previous checkpoint is kept.

    Args:
        member: Between two steps.
        path: Of the file.
        seal: JSON values that say whose checkpoint it is; see `RunFolder.checkpoint_seal`.
    """
    tensors = {f"model.{key}": value for key, value in member.model.state_dict().items()}
    if member.average is not None:
        tensors |= {f"average.{key}": value for key, value in member.average.state_dict().items()}
    for index, state in member.optimizer.state_dict()["state"].items():
        for key, value in state.items():
            tensors[f"optimizer.{index}.{key}"] = torch.as_tensor(value)
    about = {"format": _FORMAT, "step": member.step, "seconds": member.seconds, **seal}
    about["threads"] = torch.get_num_threads()
    write_state(path, State(about, tensors))


def load_checkpoint(member: Member, state: State, source: str) -> None:
    """Restore a new member to the step of a checkpoint.

    Args:
        member: Of the same model and recipe.
        state: Written by `save_checkpoint`, read by `read_state`.
        source: Names the file in errors.

    Raises:
        BadInput: The checkpoint has another format, belongs to another model, or is damaged; the member is then
            unusable.
    """
    if state.about.get("format") != _FORMAT:
        raise BadInput(source, f"a file of the format {_FORMAT}", str(state.about.get("format")))
    try:
        member.model.load_state_dict(_without_prefix(state.tensors, "model."))
        if member.average is not None:
            member.average.load_state_dict(_without_prefix(state.tensors, "average."))
        groups = member.optimizer.state_dict()["param_groups"]
        member.optimizer.load_state_dict({"state": _optimizer_state(state.tensors, member), "param_groups": groups})
        member.step, member.seconds = step_of(state), seconds_of(state)
    except (RuntimeError, KeyError, IndexError, TypeError, ValueError) as error:
        raise BadInput(source, "a checkpoint of this model", str(error)) from None


def _without_prefix(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}


def _optimizer_state(tensors: Mapping[str, Tensor], member: Member) -> dict[int, dict[str, Tensor]]:
    """The state by parameter number, in the memory layout of the parameter, which fused optimizers require."""
    parameters = [p for group in member.optimizer.param_groups for p in group["params"]]
    states: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        if name.startswith("optimizer."):
            _, index, key = name.split(".", 2)
            like = parameters[int(index)]
            copy = torch.empty_like(like).copy_(value) if value.shape == like.shape else value
            states.setdefault(int(index), {})[key] = copy.detach()
    return states

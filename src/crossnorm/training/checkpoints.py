"""Checkpoints of a member: tensors in safetensors, the rest as JSON in its metadata; nothing is ever unpickled.

Knows how to write and read one file; which file, and when, is the store's matter.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from crossnorm.errors import BadInput
from crossnorm.training.member import Member

__all__ = ["load_checkpoint", "save_checkpoint"]

_FORMAT = "crossnorm-checkpoint-1"


def save_checkpoint(member: Member, path: Path) -> None:
    """Write model, optimiser and progress of a member, atomically: the old file stands until the new is whole."""
    tensors = {f"model.{key}": value.detach().cpu().contiguous() for key, value in member.model.state_dict().items()}
    if member.average is not None:
        averaged = member.average.state_dict().items()
        tensors |= {f"average.{key}": value.detach().cpu().contiguous() for key, value in averaged}
    for index, state in member.optimizer.state_dict()["state"].items():
        for key, value in state.items():
            tensors[f"optimizer.{index}.{key}"] = torch.as_tensor(value).detach().cpu().contiguous()
    state = {"format": _FORMAT, "step": member.step, "seconds": member.seconds, "digest": _digest(tensors)}
    temporary = path.with_suffix(".new")
    with temporary.open("wb") as file:
        file.write(save(tensors, {"crossnorm": json.dumps(state)}))
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def load_checkpoint(member: Member, path: Path) -> None:
    """Put a fresh member where the file says it stood.

    Raises:
        BadInput: The file is damaged, of another format, or of another model.
    """
    try:
        with safe_open(path, framework="pt") as file:  # type: ignore[no-untyped-call]
            state = json.loads((file.metadata() or {}).get("crossnorm", "{}"))
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a mapping)
    except (OSError, SafetensorError, ValueError) as error:
        raise BadInput(str(path), "a readable checkpoint", f"{type(error).__name__}: {error}") from None
    if state.get("format") != _FORMAT or state.get("digest") != _digest(tensors):
        raise BadInput(str(path), f"an intact {_FORMAT}", "a damaged or foreign file")
    try:
        member.model.load_state_dict(_below(tensors, "model."))
        if member.average is not None:
            member.average.load_state_dict(_below(tensors, "average."))
    except RuntimeError as error:
        raise BadInput(str(path), "a checkpoint of this model", str(error)) from None
    member.optimizer.load_state_dict(
        {"state": _optimizer_state(tensors, member), "param_groups": member.optimizer.state_dict()["param_groups"]}
    )
    member.step, member.seconds = state["step"], state["seconds"]


def _below(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}


def _optimizer_state(tensors: dict[str, Tensor], member: Member) -> dict[int, dict[str, Tensor]]:
    """The optimiser's tensors, each laid out like its parameter: a fused step goes by memory, not by index."""
    parameters = [p for group in member.optimizer.param_groups for p in group["params"]]
    states: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        if name.startswith("optimizer."):
            _, index, key = name.split(".", 2)
            like = parameters[int(index)]
            laid = torch.empty_like(like).copy_(value) if value.shape == like.shape else value
            states.setdefault(int(index), {})[key] = laid.detach()
    return states


def _digest(tensors: dict[str, Tensor]) -> str:
    """SHA-256 over names and bytes, so that a flipped bit is noticed."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(name.encode())
        digest.update(tensors[name].contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()

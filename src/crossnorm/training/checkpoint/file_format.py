"""Checkpoint files: tensors in safetensors, everything else as JSON in the metadata. Nothing is pickled.

Files are written atomically and have a checksum of their content; the previous file is kept.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from crossnorm.errors import BadInput
from crossnorm.io import atomic_path, regular_file, remove_leftovers
from crossnorm.models.serialization import write_safetensors

__all__ = ["State", "previous_of", "read_newest", "read_state", "remove_state", "seconds_of", "step_of", "write_state"]


@dataclass(frozen=True)
class State:
    """Content of a file.

    Attributes:
        about: JSON values.
        tensors: By name, on the CPU.
    """

    about: Mapping[str, Any]
    tensors: Mapping[str, Tensor]


def step_of(state: State) -> int:
    """The step at which a run was saved.

    Raises:
        ValueError: It is missing, or is no step.
    """
    step = state.about.get("step")
    if isinstance(step, bool) or not isinstance(step, int) or not 0 <= step < 2**63:
        raise ValueError(f"the step is {step!r}")
    return step


def seconds_of(state: State) -> float:
    """How long a run had trained when it was saved.

    Raises:
        ValueError: It is missing, or is no time.
    """
    seconds = state.about.get("seconds")
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds < 1e10:
        raise ValueError(f"the time is {seconds!r} seconds")
    return float(seconds)


def previous_of(path: Path) -> Path:
    """The path of the previous file."""
    return path.with_suffix(f".previous{path.suffix}")


def write_state(path: Path, state: State) -> None:
    """Write a file; an existing one is kept as the previous file.

    At any time at least one of the two files is complete.
    """
    tensors = _unshared(state.tensors)
    about = json.dumps(state.about, sort_keys=True)
    with atomic_path(path) as temporary:
        write_safetensors(temporary, tensors, {"crossnorm": about, "digest": _digest(about, tensors)})
        if path.exists():
            path.replace(previous_of(path))


def read_state(path: Path) -> State:
    """Read a file of `write_state`.

    Raises:
        BadInput: The file is damaged or has another format.
    """
    try:
        with safe_open(regular_file(path), framework="pt") as file:  # type: ignore[no-untyped-call]
            found = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a mapping)
        about = found.get("crossnorm", "")
        if found.get("digest") != _digest(about, tensors):
            raise BadInput.because(str(path), "the checkpoint is damaged or was not written by crossnorm")
        state = State(json.loads(about), tensors)
    except BadInput:
        raise
    except (OSError, SafetensorError, ValueError, RuntimeError, TypeError) as error:  # RecursionError is a RuntimeError
        raise BadInput(str(path), "a readable checkpoint", f"{type(error).__name__}: {error}") from None
    if not isinstance(state.about, dict):
        raise BadInput(str(path), "a readable checkpoint", "one without a description")
    return state


def read_newest(
    path: Path, note: Callable[[str], None], problem: Callable[[State], str | None] = lambda state: None
) -> State | None:
    """The newest intact state of the two files; None if there is none.

    Args:
        path: Of the newest file.
        note: Called with a message for every file that is skipped.
        problem: Why an intact state cannot be used; None if it can. It may also load the state, and raise `BadInput` if
            that fails.
    """
    files = [file for file in (path, previous_of(path)) if file.exists()]
    for file, before in zip_longest(files, files[1:]):
        try:
            state = read_state(file)
            reason = problem(state)
            if reason is None:
                return state
            raise BadInput.because(str(file), reason)
        except BadInput as error:
            action = "starts from the beginning" if before is None else "continues from the previous checkpoint"
            note(f"{error} The run {action}.")
    return None


def remove_state(path: Path) -> None:
    """Remove the file, the previous one, and incomplete ones."""
    for file in (previous_of(path), path):
        file.unlink(missing_ok=True)
    remove_leftovers(path.parent)


def _unshared(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors on the CPU, none sharing memory, as safetensors requires: tied weights are written twice."""
    seen: set[int] = set()
    found = {}
    for name, tensor in tensors.items():
        plain = tensor.detach().cpu().contiguous()
        address = plain.untyped_storage().data_ptr()
        found[name] = plain.clone() if address in seen else plain
        seen.add(address)
    return found


def _digest(about: str, tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 of the JSON and of the names, types, shapes and bytes of the tensors."""
    digest = hashlib.sha256(about.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"\0{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
        digest.update(tensor.contiguous().view(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()

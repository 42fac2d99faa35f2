"""A resume point as a file: tensors in safetensors, the rest as JSON in its metadata; nothing is ever unpickled.

Written whole or not at all, with a checksum over all that is read back, and with the one before it kept beside it.
Knows nothing of what the tensors are.
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
from safetensors.torch import save
from torch import Tensor

from crossnorm.errors import BadInput
from crossnorm.io import atomic_path

__all__ = ["State", "previous_of", "read_newest", "read_state", "remove_state", "write_state"]


@dataclass(frozen=True)
class State:
    """What a file holds.

    Attributes:
        about: Plain JSON values.
        tensors: By name, on the CPU.
    """

    about: Mapping[str, Any]
    tensors: Mapping[str, Tensor]


def previous_of(path: Path) -> Path:
    """Where the file stands that was the newest before this one."""
    return path.with_suffix(f".previous{path.suffix}")


def write_state(path: Path, state: State) -> None:
    """Put a new file in the place of the old one, which is kept as the previous one.

    At every instant a whole file stands under one of the two names.
    """
    tensors = _apart(state.tensors)
    about = json.dumps(state.about, sort_keys=True)
    content = save(tensors, {"crossnorm": about, "digest": _digest(about, tensors)})
    with atomic_path(path, path.with_suffix(".new")) as temporary:
        temporary.write_bytes(content)
        if path.exists():
            path.replace(previous_of(path))


def read_state(path: Path) -> State:
    """What the file holds.

    Raises:
        BadInput: It is damaged, or nothing that `write_state` wrote.
    """
    try:
        with safe_open(path, framework="pt") as file:  # type: ignore[no-untyped-call]
            found = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a mapping)
        about = found.get("crossnorm", "")
        if found.get("digest") != _digest(about, tensors):
            raise BadInput(str(path), "an intact checkpoint", "a damaged or foreign file")
        return State(json.loads(about), tensors)
    except BadInput:
        raise
    except (OSError, SafetensorError, ValueError, RuntimeError) as error:
        raise BadInput(str(path), "a readable checkpoint", f"{type(error).__name__}: {error}") from None


def read_newest(
    path: Path, note: Callable[[str], None], fits: Callable[[State], bool] = lambda state: True
) -> State | None:
    """The newest intact state of the two that are kept; None if there is none.

    Args:
        path: The newest file's name.
        note: Told of every damaged file that is passed over, and what happens instead.
        fits: Whether what lies beside the file is what the state goes on from.
    """
    files = [file for file in (path, previous_of(path)) if file.exists()]
    for file, before in zip_longest(files, files[1:]):
        try:
            state = read_state(file)
            if fits(state):
                return state
            raise BadInput(str(file), "the learning curve that leads up to it", "a damaged one")
        except BadInput as error:
            note(f"{error} The run {'starts anew' if before is None else 'goes on from the checkpoint before it'}.")
    return None


def remove_state(path: Path) -> None:
    """Remove the file, the one before it, and what an interrupted write left."""
    for file in (previous_of(path), path, path.with_suffix(".new")):
        file.unlink(missing_ok=True)


def _apart(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors on the CPU, each in memory of its own: tied weights are written twice."""
    seen: set[int] = set()
    found = {}
    for name, tensor in tensors.items():
        plain = tensor.detach().cpu().contiguous()
        place = plain.untyped_storage().data_ptr()
        found[name] = plain.clone() if place in seen else plain
        seen.add(place)
    return found


def _digest(about: str, tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over the JSON and over names, types, shapes and bytes, so that a flipped bit is noticed."""
    digest = hashlib.sha256(about.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"\0{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
        digest.update(tensor.contiguous().view(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()

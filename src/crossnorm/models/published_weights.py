"""Loading published checkpoints and local files into a model of another image size or class count."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from http.client import HTTPException
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from crossnorm.errors import BadInput
from crossnorm.io import atomic_path, file_sha256, regular_file
from crossnorm.models.compact_transformers import CompactTransformer, Model
from crossnorm.models.config import ImageConfig
from crossnorm.models.presets import configure
from crossnorm.models.serialization import config_of, read_safetensors

__all__ = ["PUBLISHED", "load_published", "load_weights"]

BASE = "https://shi-labs.com/projects/cct/checkpoints/"
PUBLISHED: Mapping[str, str] = {
    "cct_7_3x1_32": "pretrained/cct_7_3x1_32_cifar10_300epochs.pth",
    "cct_7_3x1_32_sine": "pretrained/cct_7_3x1_32_sine_cifar10_5000epochs.pth",
    "cct_7_3x1_32_c100": "pretrained/cct_7_3x1_32_cifar100_300epochs.pth",
    "cct_7_3x1_32_sine_c100": "pretrained/cct_7_3x1_32_sine_cifar100_5000epochs.pth",
    "cct_7_7x2_224_sine": "pretrained/cct_7_7x2_224_flowers102.pth",
    "cct_14_7x2_224": "pretrained/cct_14_7x2_224_imagenet.pth",
    "cct_14_7x2_384": "finetuned/cct_14_7x2_384_imagenet.pth",
    "cct_14_7x2_384_fl": "finetuned/cct_14_7x2_384_flowers102.pth",
}
_POSITIONS = "classifier.positional_emb"
_HEAD = ("classifier.fc.weight", "classifier.fc.bias")


def load_weights(model: Model, path: str | Path, *, img_size: int | tuple[int, int] | None = None) -> None:
    """Load a local checkpoint (``.safetensors``, or what torch saved) into a model.

    If the image size differs, learnable positions are interpolated bilinearly and the class token's row is kept. A sine
    table is never overwritten. If the class count differs, the head keeps its fresh weights, with a warning. The state
    dict may be an entry ``state_dict`` or ``model`` of the file, and its names may start with ``module.``.

    Args:
        model: The model, changed in place.
        path: The file; nothing in it is executed.
        img_size: The image size that the weights were trained at. None: as stored in the file; if it stores none, the
            model's if the number of positions is the same, otherwise a square.

    Raises:
        BadInput: The file is missing or damaged, or its weights have other names or shapes.
    """
    path = Path(path)
    state, config = _read(path)
    if img_size is None and isinstance(config, ImageConfig):
        img_size = config.size
    _load(model, state, str(path), img_size)


def load_published(model: Model, name: str) -> None:
    """Load the published weights of a named model. They are downloaded once, into torch's hub folder.

    The SHA-256 of the file is stored next to it and compared at every later use.

    Raises:
        BadInput: No weights are published for the model, they cannot be downloaded, or the file is damaged.
    """
    path = _fetch(name)
    state, _ = _read(path)
    published = configure(name)
    _load(model, state, str(path), published.size if isinstance(published, ImageConfig) else None)


def _fetch(name: str) -> Path:
    if name not in PUBLISHED:
        hint = "There are weights for " + ", ".join(PUBLISHED) + "."
        raise BadInput.because("pretrained", f"no published weights for {name}", hint)
    path = Path(torch.hub.get_dir()) / "crossnorm" / Path(PUBLISHED[name]).name
    record = path.with_name(path.name + ".sha256")
    if not path.exists() or not record.exists():
        _download(BASE + PUBLISHED[name], path)
        record.write_text(file_sha256(path) + "\n", encoding="ascii")
    elif file_sha256(path) != record.read_text(encoding="ascii").strip():
        hint = "Delete it to download it again."
        raise BadInput.because(str(path), f"its SHA-256 is not the one in {record.name}", hint)
    return path


def _download(url: str, path: Path) -> None:
    """Download to `path`, which appears only if it can be read."""
    hint = f"Download it by other means and put it at {path}, or use load_weights."
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(path) as temporary:
            torch.hub.download_url_to_file(url, str(temporary), progress=False)
            _read(temporary)
    except BadInput:
        raise BadInput(url, "a checkpoint that can be read", "a damaged file", "Try again. " + hint) from None
    except (OSError, HTTPException) as error:
        raise BadInput.because(url, f"download failed: {str(error) or type(error).__name__}", hint) from None


def _read(path: Path) -> tuple[dict[str, Tensor], Any]:
    """The state dict of a file and, if it was stored, the configuration."""
    if path.suffix == ".safetensors":
        tensors, description = read_safetensors(path)
        try:
            return tensors, None if description is None else config_of(description)
        except BadInput as error:
            raise error.within(str(path)) from None
    regular_file(path)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load raises a dozen types on damaged files
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise BadInput(str(path), "a readable checkpoint of tensors", reason) from None
    return _unwrap(content, path), None


def _unwrap(content: Any, path: Path) -> dict[str, Tensor]:
    for key in ("state_dict", "model"):
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    if not isinstance(content, dict) or not all(isinstance(value, Tensor) for value in content.values()):
        raise BadInput(str(path), "a state dict of named tensors", type(content).__name__)
    return {str(name).removeprefix("module."): tensor for name, tensor in content.items()}


def _load(model: Model, state: dict[str, Tensor], where: str, img_size: int | tuple[int, int] | None) -> None:
    own, kind = model.state_dict(), model.config.positional_embedding
    if kind == "sine":
        state = _with_own_table(state, own[_POSITIONS], where)
    _check_names(state, own, where)
    if kind == "learnable" and isinstance(model, CompactTransformer):
        state = state | {_POSITIONS: _interpolated(model, state[_POSITIONS], where, img_size)}
    state = _with_head(state, own, where)
    for name, tensor in own.items():
        if state[name].shape != tensor.shape:
            raise BadInput(f"{where}: {name}", f"shape {tuple(tensor.shape)}", tuple(state[name].shape))
    model.load_state_dict(state)


def _with_own_table(state: dict[str, Tensor], own: Tensor, where: str) -> dict[str, Tensor]:
    """The state dict with the model's sine table; warns if its own table is another."""
    theirs = state.get(_POSITIONS)
    if theirs is not None and theirs.shape == own.shape:
        _compare_tables(theirs, own, where)
    return state | {_POSITIONS: own}


def _compare_tables(theirs: Tensor, own: Tensor, where: str) -> None:
    distance = float((theirs.cpu().double() - own.cpu().double()).abs().max())
    if distance > 1e-3:
        warnings.warn(
            f"{where}: its positions are not the sine table (they differ by up to {distance:.3g}); the table is kept. "
            'positional_embedding="learnable" would load them.',
            stacklevel=2,
        )


def _interpolated(
    model: CompactTransformer, table: Tensor, where: str, img_size: int | tuple[int, int] | None
) -> Tensor:
    extra = 0 if model.classifier.class_emb is None else 1
    rows = table.shape[1] - extra
    if img_size is None and rows == model.classifier.tokens:
        return table
    side = math.isqrt(max(rows, 0))
    size = (img_size, img_size) if isinstance(img_size, int) else img_size
    source = (side, side) if size is None else model.tokenizer.grid(size)
    if source == model.grid:
        return table
    if source[0] * source[1] != rows or rows == 0:
        expected = f"positions of {source[0]} × {source[1]} tokens"
        raise BadInput(where, expected, f"{rows} rows", "Give the img_size that the weights were trained at.")
    grid = table[:, extra:].transpose(1, 2).reshape(1, -1, *source)
    grid = F.interpolate(grid, size=model.grid, mode="bilinear", align_corners=False)
    return torch.cat([table[:, :extra], grid.flatten(2).transpose(1, 2)], dim=1)


def _with_head(state: dict[str, Tensor], own: Mapping[str, Tensor], where: str) -> dict[str, Tensor]:
    """The state dict with the model's own head where the class counts differ."""
    theirs, ours = state.get(_HEAD[0]), own[_HEAD[0]]
    if theirs is None or theirs.shape[0] == ours.shape[0]:
        return state
    counts = f"{theirs.shape[0]} classes in the file, {ours.shape[0]} in the model"
    warnings.warn(f"{where}: {counts}: the head keeps its fresh weights", stacklevel=2)
    return state | {name: own[name] for name in _HEAD}


def _check_names(state: Mapping[str, Tensor], own: Mapping[str, Tensor], where: str) -> None:
    for kind, names in (("is missing", own.keys() - state.keys()), ("is not its", state.keys() - own.keys())):
        if names:
            got = f"{len(names)} name(s) that differ: {min(names)} {kind}"
            raise BadInput(where, "weights of this model", got)

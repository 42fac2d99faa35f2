"""Models as single safetensors files: the weights, and the configuration to build them from.

Knows the file format; no pickle is read or written. Knows nothing of published checkpoints.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from crossnorm.errors import BadInput
from crossnorm.functional import Variant
from crossnorm.io import atomic_path
from crossnorm.models.compact_transformers import Model, build
from crossnorm.models.config import Config, ImageConfig, LanguageConfig, TextConfig
from crossnorm.models.variant_sites import place, sites

__all__ = ["config_of", "load_model", "read_safetensors", "save_model"]

FORMAT = 1
_KEY = "crossnorm"
_KINDS: dict[str, type[Config]] = {"image": ImageConfig, "text": TextConfig, "language": LanguageConfig}


def save_model(model: Model, path: str | Path) -> None:
    """Write weights, configuration, variant and doses as one ``.safetensors`` file, in one step.

    Raises:
        BadInput: Another suffix, or a folder that cannot be written.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    path = Path(path)
    if path.suffix != ".safetensors":
        raise BadInput("path", "a file name that ends in .safetensors", str(path))
    tensors = {name: tensor.detach().contiguous() for name, tensor in model.state_dict().items()}
    try:
        with atomic_path(path) as temporary:
            save_file(tensors, temporary, metadata={_KEY: json.dumps(_describe(model)), "format": "pt"})
    except (OSError, SafetensorError) as error:
        raise BadInput(str(path), "a place that can be written", str(error)) from None


def load_model(path: str | Path) -> Model:
    """The model that `save_model` wrote: same configuration, weights, variant and doses; in training mode.

    Raises:
        BadInput: No such file, a damaged one, or one without a configuration.
    """
    tensors, description = read_safetensors(Path(path))
    if description is None:
        hint = "load_weights reads weights alone, into a model that exists."
        raise BadInput(str(path), "a file written by save_model", "one without a configuration", hint)
    if description.get("format") != FORMAT:
        raise BadInput(str(path), f"a file of format {FORMAT}", f"format {description.get('format')}")
    try:
        model = build(_KINDS[description["kind"]](**description["config"]))
        variant = description["variant"]
        place(model, None if variant is None else Variant(**variant))
        for site, alpha in description["alpha"].items():
            model.get_submodule(site).alpha = torch.tensor(alpha)[:, None, None] if isinstance(alpha, list) else alpha
        model.load_state_dict(tensors)
    except BadInput as error:
        raise error.within(str(path)) from None
    except (KeyError, TypeError, AttributeError, RuntimeError) as error:
        raise BadInput(str(path), "a configuration and the weights that fit it", str(error)) from None
    return model


def read_safetensors(path: Path) -> tuple[dict[str, Tensor], Mapping[str, Any] | None]:
    """The tensors of a file, and the description that `save_model` put into it, if any.

    Raises:
        BadInput: No such file, or a damaged one.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        description = json.loads(metadata[_KEY]) if _KEY in metadata else None
    except (OSError, ValueError, SafetensorError) as error:
        raise BadInput(str(path), "a readable safetensors file", str(error) or type(error).__name__) from None
    return tensors, description


def config_of(description: Mapping[str, Any]) -> Config:
    """The configuration inside a file."""
    return _KINDS[description["kind"]](**description["config"])


def _plain(alpha: object) -> float | list[float]:
    """A dose as numbers; a learned one may differ between heads."""
    return alpha.flatten().tolist() if isinstance(alpha, Tensor) and alpha.ndim else float(alpha)  # type: ignore[arg-type]


def _describe(model: Model) -> dict[str, Any]:
    kinds = {kind: name for name, kind in _KINDS.items()}
    acting: dict[str, nn.Module] = {site: model.get_submodule(site) for site in sites(model)}
    variant = next((module.variant for module in acting.values()), None)
    return {
        "format": FORMAT,
        "kind": kinds[type(model.config)],
        "config": asdict(model.config),
        "variant": asdict(variant) if isinstance(variant, Variant) else None,
        "alpha": {site: _plain(module.alpha) for site, module in acting.items()},
    }

"""A model as one safetensors file: its weights, and in the header its configuration, variant and α. No pickle."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch import Tensor

from crossnorm.errors import BadInput
from crossnorm.functional import Variant
from crossnorm.functional.user_variants import check_allowed
from crossnorm.io import atomic_path, regular_file
from crossnorm.models.compact_transformers import Model, build
from crossnorm.models.config import Config, ImageConfig, LanguageConfig, TextConfig
from crossnorm.models.site_alpha import ATTRIBUTE, site_alphas
from crossnorm.models.variant_sites import add_variant, choose_sites, own_sites

__all__ = ["config_of", "load_model", "read_safetensors", "save_model", "write_safetensors"]

FORMAT = 1
_KEY = "crossnorm"
_KINDS: dict[str, type[Config]] = {"image": ImageConfig, "text": TextConfig, "language": LanguageConfig}


def save_model(model: Model, path: str | Path) -> None:
    """Write weights, configuration, variant and α as one ``.safetensors`` file, atomically.

    A learned α is written as the number it is now.

    Raises:
        BadInput: Another suffix, or a folder that cannot be written.
    """
    from safetensors import SafetensorError

    path = Path(path)
    if path.suffix != ".safetensors":
        raise BadInput("path", "a file name that ends in .safetensors", str(path))
    learned = {f"{path}.{ATTRIBUTE}.raw" for path in site_alphas(model)}
    state = {name: tensor for name, tensor in model.state_dict().items() if name not in learned}
    tensors = {name: tensor.detach().contiguous() for name, tensor in state.items()}
    try:
        with atomic_path(path) as temporary:
            write_safetensors(temporary, tensors, {_KEY: json.dumps(_describe(model)), "format": "pt"})
    except (OSError, SafetensorError) as error:
        raise BadInput.because(str(path), f"cannot be written: {error}") from None


def load_model(path: str | Path, imports: Sequence[str] = ()) -> Model:
    """The model that `save_model` wrote, in training mode: same configuration, weights, variant and α.

    Args:
        path: The file.
        imports: Modules whose functions may act as its variant.

    Raises:
        BadInput: No such file, a damaged one, one without a configuration, or one whose variant is of another module.
    """
    tensors, description = read_safetensors(Path(path))
    if description is None:
        hint = "Use load_weights to load weights into an existing model."
        raise BadInput.because(str(path), "the file has no model configuration: save_model did not write it", hint)
    if description.get("format") != FORMAT:
        raise BadInput(str(path), f"a file of format {FORMAT}", f"format {description.get('format')}")
    try:
        model = build(config_of(description))
        if description["variant"] is not None:
            variant = Variant(**description["variant"])
            check_allowed(variant.name, imports, "variant")
            add_variant(model, choose_sites(own_sites(model), variant), variant)
        alphas = site_alphas(model)
        for site, alpha in description["alpha"].items():
            alphas[site].write(tuple(alpha) if isinstance(alpha, list) else float(alpha))
        model.load_state_dict(tensors)
    except BadInput as error:
        raise error.within(str(path)) from None
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, RuntimeError) as error:
        raise BadInput(str(path), "a configuration and the weights that fit it", str(error)) from None
    return model


def read_safetensors(path: Path) -> tuple[dict[str, Tensor], Mapping[str, Any] | None]:
    """The tensors of a file, and the description that `save_model` put into it, if any.

    Raises:
        BadInput: No such file, or a damaged one.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(regular_file(path), framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        description = json.loads(metadata[_KEY]) if _KEY in metadata else None
    except BadInput:
        raise
    except (OSError, ValueError, RecursionError, SafetensorError) as error:
        raise BadInput(str(path), "a readable safetensors file", str(error) or type(error).__name__) from None
    if not isinstance(description, Mapping | None):
        raise BadInput(str(path), "a configuration, a mapping", description)
    return tensors, description


def write_safetensors(path: Path, tensors: dict[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write a safetensors file: equal content gives equal bytes (the library orders the metadata at random)."""
    from safetensors.torch import save

    content = memoryview(save(tensors, dict(metadata)))
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(bytes(content[8:end]))
    header["__metadata__"] = dict(sorted(metadata.items()))
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.write(content[end:])


def config_of(description: Mapping[str, Any]) -> Config:
    """The configuration inside a file.

    Raises:
        BadInput: It is none.
    """
    try:
        return _KINDS[description["kind"]](**description["config"])
    except (KeyError, TypeError) as error:
        raise BadInput("configuration", "kind and config of a model", str(error)) from None


def _describe(model: Model) -> dict[str, Any]:
    kinds = {kind: name for name, kind in _KINDS.items()}
    alphas = site_alphas(model)
    variant = next((alpha.variant for alpha in alphas.values()), None)
    return {
        "format": FORMAT,
        "kind": kinds[type(model.config)],
        "config": asdict(model.config),
        "variant": None if variant is None else asdict(variant),
        "alpha": {path: alpha.read() for path, alpha in alphas.items()},
    }

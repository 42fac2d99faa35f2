"""The named models: sizes, input shapes and class counts of arXiv 2104.05704."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, NamedTuple

from crossnorm.errors import BadInput, unknown_name
from crossnorm.models.config import Config, ImageConfig, LanguageConfig, TextConfig

__all__ = ["PRESETS", "Preset", "configure", "list_models"]


class Preset(NamedTuple):
    """A configuration class and the values that differ from its defaults."""

    kind: type[Config]
    values: Mapping[str, Any]


def _size(layers: int, heads: int, ratio: int, width: int) -> dict[str, int]:
    return {"num_layers": layers, "num_heads": heads, "mlp_ratio": ratio, "embedding_dim": width}


_IMAGE_SIZES = {
    2: _size(2, 2, 1, 128),
    4: _size(4, 2, 1, 128),
    6: _size(6, 4, 2, 256),
    7: _size(7, 4, 2, 256),
    14: _size(14, 6, 3, 384),
}
_TEXT_SIZES = {2: _size(2, 2, 1, 128), 4: _size(4, 2, 1, 128), 6: _size(6, 4, 2, 256)}
_CLASSES = {32: 10, 224: 102, 384: 1000}

# (size, kernel, convolutions, image side)
_CCT = (
    (2, 3, 2, 32),
    (4, 3, 2, 32),
    (6, 3, 1, 32),
    (6, 3, 2, 32),
    (7, 3, 1, 32),
    (7, 3, 2, 32),
    (7, 7, 2, 224),
    (14, 7, 2, 224),
    (14, 7, 2, 384),
)
_CCT_WITHOUT_SINE = ("cct_14_7x2_224", "cct_14_7x2_384")


def _image_presets() -> dict[str, dict[str, Any]]:
    table: dict[str, dict[str, Any]] = {}
    for size, kernel, convolutions, side in _CCT:
        shape = {"kernel_size": kernel, "n_conv_layers": convolutions, "img_size": side}
        name = f"cct_{size}_{kernel}x{convolutions}_{side}"
        table[name] = {"family": "cct", **_IMAGE_SIZES[size], **shape, "num_classes": _CLASSES[side]}
    for family in ("cvt", "vit"):
        for size in (2, 4, 6, 7):
            shape = {"patch_size": 4, "img_size": 32, "num_classes": 10}
            table[f"{family}_{size}_4_32"] = {"family": family, **_IMAGE_SIZES[size], **shape}
    sine = {"positional_embedding": "sine"}
    table |= {f"{name}_sine": values | sine for name, values in table.items() if name not in _CCT_WITHOUT_SINE}
    table["cct_14_7x2_224"] |= {"num_classes": 1000}
    table["cct_14_7x2_384_fl"] = table["cct_14_7x2_384"] | {"num_classes": 102}
    for name in ("cct_7_3x1_32", "cct_7_3x1_32_sine"):
        table[f"{name}_c100"] = table[name] | {"num_classes": 100}
    return table


def _text_presets() -> dict[str, dict[str, Any]]:
    special: dict[str, dict[str, Any]] = {
        "transformer": {"embedding_dim": None},
        "vit": {"patch_size": 4},
        "cvt": {"patch_size": 4},
        "cct": {"kernel_size": 4},
    }
    sine = {"positional_embedding": "sine"}
    table = {
        f"text_{family}_{size}": {"family": family, **sine, **shape, **own}
        for family, own in special.items()
        for size, shape in _TEXT_SIZES.items()
    }
    table["text_cvt_6"] |= {"embedding_dim": 128}
    return table


def _language_presets() -> dict[str, dict[str, Any]]:
    return {f"gpt_{size}": {"family": "gpt", **shape} for size, shape in _TEXT_SIZES.items()}


PRESETS: Mapping[str, Preset] = {
    **{name: Preset(ImageConfig, values) for name, values in _image_presets().items()},
    **{name: Preset(TextConfig, values) for name, values in _text_presets().items()},
    **{name: Preset(LanguageConfig, values) for name, values in _language_presets().items()},
}


def list_models() -> list[str]:
    """The names that `create_model` takes: 35 for images, 12 for text, 3 causal language models."""
    return list(PRESETS)


def configure(name: str, settings: Mapping[str, Any] | None = None) -> Config:
    """The configuration of a named model, with some settings replaced.

    Args:
        name: One of `list_models()`.
        settings: Fields of the model's configuration class except ``family``.

    Raises:
        BadInput: An unknown name or setting, a value out of range, or no class count for a text model.
    """
    if name not in PRESETS:
        raise unknown_name("model", name, PRESETS)
    kind, values = PRESETS[name]
    known = {field.name for field in fields(kind)} - {"family", *kind.lacks[values["family"]]}
    for setting in settings or {}:
        if setting not in known:
            raise unknown_name(f"{name}: setting", setting, known)
    merged = {**values, **(settings or {})}
    if "num_classes" in known and "num_classes" not in merged:
        raise BadInput.because(f"{name}: num_classes", "required, because text models have no default")
    try:
        return kind(**merged)
    except BadInput as error:
        raise error.within(name) from None

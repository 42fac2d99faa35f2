"""timm's vision transformers: the attention classes of ViT, DeiT, EVA and related models.

Attention classes of timm that are not listed here raise an error. Imported only when timm is.

Axes: b batch, n tokens, w width, h heads, d channels per head.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch.nn.functional as F
from timm.layers import AttentionPoolLatent, apply_rot_embed_cat  # type: ignore[attr-defined]
from timm.layers.attention import Attention, AttentionRope
from timm.models.eva import EvaAttention
from torch import Tensor, cat, nn

from crossnorm.adapters.base import Adapter, check_forward, swap, uses
from crossnorm.errors import BadInput
from crossnorm.functional import attend
from crossnorm.models.site_alpha import ATTRIBUTE
from crossnorm.models.variant_sites import Site

__all__ = ["ADAPTER"]

# Softmax over channels or branches, not over tokens.
_NO_ATTENTION = ("RadixSoftmax", "SplitAttn", "SelectiveKernelAttn")


def _self_attention(module: Any, x: Tensor, attn_mask: Tensor | None = None, is_causal: bool = False) -> Tensor:
    """`Attention`: (b, n, w) → (b, n, w)."""
    return _rotary_attention(module, x, None, attn_mask, is_causal)


def _rotary_attention(
    module: Any,
    x: Tensor,
    rope: Tensor | None = None,
    attn_mask: Tensor | None = None,
    is_causal: bool = False,
) -> Tensor:
    """`AttentionRope` and `EvaAttention`, which rotate queries and keys: (b, n, w) → (b, n, w)."""
    gate = getattr(module, "gate", None)
    query, key, value = _heads(module, x)
    query, key = module.q_norm(query), module.k_norm(key)
    if rope is not None:
        query, key = _rotated(module, query, rope).type_as(value), _rotated(module, key, rope).type_as(value)
    mixed = _attend(module, query, key, value, attn_mask, is_causal)
    mixed = module.norm(mixed) if hasattr(module, "norm") else mixed
    mixed = mixed if gate is None else mixed * gate(x).sigmoid()
    return module.proj_drop(module.proj(mixed))  # type: ignore[no-any-return]


def _latent_attention(module: Any, x: Tensor, attn_mask: Tensor | None = None) -> Tensor:
    """`AttentionPoolLatent`, which pools with learned queries: (b, n, w) → (b, w)."""
    if module.pos_embed is not None:
        x = x + module.pos_embed.unsqueeze(0).to(x.dtype)
    latent = module.latent.expand(len(x), -1, -1)
    query = module.q(latent).unflatten(-1, (module.num_heads, -1)).transpose(1, 2)
    key, value = module.kv(x).unflatten(-1, (2, module.num_heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)
    x = _attend(module, module.q_norm(query), module.k_norm(key), value, attn_mask)
    x = module.proj_drop(module.proj(x))
    if module.mlp is not None:
        x = x + module.mlp(module.norm(x))
    return x[:, 0] if module.pool == "token" else x.mean(1) if module.pool == "avg" else x


def _attend(
    module: Any, query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None, is_causal: bool = False
) -> Tensor:
    """(b, h, n, d) each → (b, n, h · d)."""
    site, dropout = getattr(module, ATTRIBUTE), getattr(module, "attn_drop", None)
    mixed = attend(
        query,
        key,
        value,
        attn_mask=attn_mask,
        is_causal=is_causal,
        dropout_p=dropout.p if dropout is not None and module.training else 0.0,
        scale=module.scale,
        enable_gqa=key.shape[1] != query.shape[1],
        mixing=site.mixing,
        alpha=site.value(),
    )
    return mixed.transpose(1, 2).flatten(2)


def _heads(module: Any, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Query, key and value (b, h, n, d); with grouped queries, key and value have fewer heads."""
    if module.qkv is None:
        groups = getattr(module, "num_kv_groups", 1)
        counts = (module.num_heads, module.num_heads // groups, module.num_heads // groups)
        each = (module.q_proj(x), module.k_proj(x), module.v_proj(x))
        q, k, v = (t.unflatten(-1, (count, -1)).transpose(1, 2) for t, count in zip(each, counts, strict=True))
        return q, k, v
    packed = module.qkv(x)
    if getattr(module, "q_bias", None) is not None:
        bias = cat((module.q_bias, module.k_bias, module.v_bias))
        packed = packed + bias if module.qkv_bias_separate else F.linear(x, module.qkv.weight, bias)
    q, k, v = packed.unflatten(-1, (3, module.num_heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)
    return q, k, v


def _rotated(module: Any, x: Tensor, rope: Tensor) -> Tensor:
    """Rotary positions on all tokens except the prefix (class and register tokens)."""
    prefix = module.num_prefix_tokens
    half = getattr(module, "rotate_half", False)
    return cat([x[:, :, :prefix], apply_rot_embed_cat(x[:, :, prefix:], rope, half=half)], dim=2)


class _Mixed(nn.Module):
    """An attention module with a variant; abstract."""

    mixed: Callable[..., Tensor]

    def forward(self, x: Tensor, *args: Any, **settings: Any) -> Tensor:
        """As the forward of the module's own class."""
        if not getattr(self, ATTRIBUTE).active:
            return super().forward(x, *args, **settings)  # type: ignore[misc, no-any-return]
        return type(self).mixed(self, x, *args, **settings)


class _Plain(_Mixed):
    mixed = _self_attention


class _Rotary(_Mixed):
    mixed = _rotary_attention


class _Latent(_Mixed):
    mixed = _latent_attention


_MIXINS: dict[Any, type[_Mixed]] = {
    Attention.forward: _Plain,
    AttentionRope.forward: _Rotary,
    EvaAttention.forward: _Rotary,
    AttentionPoolLatent.forward: _Latent,
}


def _find(model: nn.Module) -> list[Site]:
    found = []
    for path, module in model.named_modules():
        cls = type(module)
        if cls.forward in _MIXINS:
            check_forward(path, module)
            heads = int(module.num_heads)  # type: ignore[arg-type]
            found.append(Site(path=path or cls.__name__, module=module, heads=heads))
        elif _is_other_attention(cls):
            known = ", ".join(sorted({f.__qualname__.split(".")[0] for f in _MIXINS}))
            raise BadInput.because(
                path or cls.__name__, f"{cls.__module__}.{cls.__name__} is not supported", f"Supported: {known}."
            )
    return found


def _is_other_attention(cls: type) -> bool:
    names = ("softmax", "scaled_dot_product_attention")
    return cls.__module__.startswith("timm.") and cls.__name__ not in _NO_ATTENTION and uses(cls, names)


def _install(model: nn.Module, found: list[Site]) -> None:
    for site in found:
        swap(site.module, _MIXINS[type(site.module).forward])


ADAPTER = Adapter(find=_find, install=_install)

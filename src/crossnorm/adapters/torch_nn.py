"""``torch.nn.MultiheadAttention`` and the Transformer encoders and decoders that are built from it.

In torch's masks True means hidden. Its native fast path bypasses Python and is turned off at α ≠ 0.

Axes: b batch, n tokens, w width, h heads, q queries, k tokens (keys and values), d channels per head.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from crossnorm.adapters.base import Adapter, check_forward, swap
from crossnorm.errors import BadInput
from crossnorm.functional import attend_with_weights
from crossnorm.models.site_alpha import ATTRIBUTE, SiteAlpha, site_alphas
from crossnorm.models.variant_sites import Site

__all__ = ["ADAPTER"]


class _MixedAttention(nn.MultiheadAttention):
    """`MultiheadAttention` with a variant."""

    crossnorm: SiteAlpha

    @property
    def _qkv_same_embed_dim(self) -> bool:
        # torch takes its fast path only if this is true; TransformerEncoderLayer reads it too.
        return bool(self.__dict__["_qkv_same_embed_dim"]) and not self.crossnorm.active

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """As `torch.nn.MultiheadAttention.forward`."""
        if not self.crossnorm.active:
            return super().forward(
                query,
                key,
                value,
                key_padding_mask=key_padding_mask,
                need_weights=need_weights,
                attn_mask=attn_mask,
                average_attn_weights=average_attn_weights,
                is_causal=is_causal,
            )
        if is_causal and attn_mask is None:
            raise BadInput.because("attn_mask", "is_causal=True also requires the causal mask as attn_mask")
        batched = query.dim() == 3
        query, key, value = (_batch_first(self, x, batched) for x in (query, key, value))
        key_padding_mask = key_padding_mask if batched or key_padding_mask is None else key_padding_mask.unsqueeze(0)
        mixed, weights = _mixed(self, query, key, value, attn_mask, key_padding_mask, need_weights)
        mixed = mixed.squeeze(0) if not batched else mixed if self.batch_first else mixed.transpose(0, 1)
        if weights is None:
            return mixed, None
        weights = weights.mean(1) if average_attn_weights else weights
        return mixed, weights if batched else weights.squeeze(0)


def _batch_first(module: nn.MultiheadAttention, x: Tensor, batched: bool) -> Tensor:
    """(b, n, w), whatever the layout."""
    return x.unsqueeze(0) if not batched else x if module.batch_first else x.transpose(0, 1)


def _mixed(
    module: nn.MultiheadAttention,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None,
    key_padding_mask: Tensor | None,
    need_weights: bool,
) -> tuple[Tensor, Tensor | None]:
    """Output (b, q, w) and, if needed, weights (b, h, q, k) of inputs (b, n, w)."""
    site = getattr(module, ATTRIBUTE)
    query, key, value = _projected(module, query, key, value)
    added = key.shape[1]
    key, value = _extended(module, key, value)
    added = key.shape[1] - added
    query, key, value = (x.unflatten(-1, (module.num_heads, -1)).transpose(1, 2) for x in (query, key, value))  # type: ignore[no-untyped-call]
    settings: dict[str, Any] = {
        "attn_mask": _merged(attn_mask, key_padding_mask, module.num_heads, added, query.dtype),
        "dropout_p": module.dropout if module.training else 0.0,
        "mixing": site.mixing,
        "alpha": site.operand(),
    }
    mixed, weights = attend_with_weights(query, key, value, **settings, needed=need_weights)
    return module.out_proj(mixed.transpose(1, 2).flatten(2)), weights


def _projected(
    module: nn.MultiheadAttention, query: Tensor, key: Tensor, value: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    if module.in_proj_weight is not None:
        matrices = module.in_proj_weight.chunk(3)
    else:
        matrices = (module.q_proj_weight, module.k_proj_weight, module.v_proj_weight)
    biases = (None, None, None) if module.in_proj_bias is None else module.in_proj_bias.chunk(3)
    q, k, v = (F.linear(x, W, b) for x, W, b in zip((query, key, value), matrices, biases, strict=True))
    return q, k, v


def _extended(module: nn.MultiheadAttention, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
    """Keys and values with the learned token of add_bias_kv and the zero token of add_zero_attn appended."""
    if module.bias_k is not None and module.bias_v is not None:
        key = torch.cat([key, module.bias_k.expand(len(key), -1, -1)], dim=1)
        value = torch.cat([value, module.bias_v.expand(len(value), -1, -1)], dim=1)
    if module.add_zero_attn:
        key, value = F.pad(key, (0, 0, 0, 1)), F.pad(value, (0, 0, 0, 1))
    return key, value


def _merged(
    attn_mask: Tensor | None, key_padding_mask: Tensor | None, heads: int, added: int, dtype: torch.dtype
) -> Tensor | None:
    """Both masks of torch, where True = hidden, as one that broadcasts to (b, h, q, k), where True = visible.

    Args:
        attn_mask: (q, k) or (b · h, q, k), boolean or additive.
        key_padding_mask: (b, k), boolean or additive.
        heads: h.
        added: Number of tokens at the end that the masks do not cover; every query sees them.
        dtype: Type of the sum if a mask is additive.
    """
    masks = []
    if attn_mask is not None:
        masks.append(attn_mask if attn_mask.dim() == 2 else attn_mask.unflatten(0, (-1, heads)))  # type: ignore[no-untyped-call]
    if key_padding_mask is not None:
        masks.append(key_padding_mask[:, None, None, :])
    if not masks:
        return None
    masks = [F.pad(mask, (0, added)) for mask in masks] if added else masks
    if all(mask.dtype == torch.bool for mask in masks):
        return ~(masks[0] | masks[-1])
    total: Any = sum(
        torch.zeros_like(mask, dtype=dtype).masked_fill(mask, -torch.inf) if mask.dtype == torch.bool else mask
        for mask in masks
    )
    return total  # type: ignore[no-any-return]


class _Encoder(nn.TransformerEncoder):
    """`TransformerEncoder` that does not pack padded batches into nested tensors while a layer has α ≠ 0."""

    @property
    def use_nested_tensor(self) -> bool:  # type: ignore[override]
        active = any(alpha.active for alpha in site_alphas(self).values())
        return bool(self.__dict__["use_nested_tensor"]) and not active


def _find(model: nn.Module) -> list[Site]:
    found = []
    for path, module in model.named_modules():
        if isinstance(module, nn.MultiheadAttention):
            check_forward(path, module)
            if type(module).forward is not nn.MultiheadAttention.forward:
                raise BadInput(path, "torch.nn.MultiheadAttention with its own forward", type(module).__name__)
            found.append(Site(path=path or type(model).__name__, module=module, heads=module.num_heads))
    return found


def _install(model: nn.Module, found: list[Site]) -> None:
    for site in found:
        swap(site.module, _MixedAttention)
    converted = {id(site.module) for site in found}
    for module in model.modules():
        nested = isinstance(module, nn.TransformerEncoder) and "use_nested_tensor" in module.__dict__
        if nested and any(id(inner) in converted for inner in module.modules()):
            swap(module, _Encoder)


ADAPTER = Adapter(find=_find, install=_install)

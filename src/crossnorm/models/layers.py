"""The layers of the Compact Transformers: attention, block, pooling, positions. Parameters have the published names.

Axes: b batch, n tokens, w width, h heads, d channels per head.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from crossnorm.functional import Mixing, attend, pool
from crossnorm.models.site_alpha import ATTRIBUTE, SiteAlpha

__all__ = ["Block", "SelfAttention", "SequencePool", "drop_path", "sine_table"]


class SelfAttention(nn.Module):
    """Multi-head self-attention; an `attention` site.

    Args:
        width: Channels per token; a multiple of `heads`.
        heads: Number of heads; the scale is (width / heads)^-½.
        attention_dropout: Rate on the attention weights.

    Attributes:
        crossnorm: The variant and its α; None: plain attention.
    """

    crossnorm: SiteAlpha | None

    def __init__(self, width: int, heads: int, *, attention_dropout: float = 0.0) -> None:
        super().__init__()
        self.heads, self.attention_dropout = heads, attention_dropout
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.proj = nn.Linear(width, width)
        self.register_module(ATTRIBUTE, None)

    def forward(self, x: Tensor, visible: Tensor | None = None, *, is_causal: bool = False) -> Tensor:
        """(b, n, w) → (b, n, w); `visible` is boolean and broadcasts to (b, h, queries, keys)."""
        query, key, value = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)
        mixing, alpha = _variant_of(self.crossnorm)
        mixed = attend(
            query,
            key,
            value,
            attn_mask=visible,
            is_causal=is_causal,
            dropout_p=self.attention_dropout if self.training else 0.0,
            mixing=mixing,
            alpha=alpha,
            draws="words",
        )
        return self.proj(mixed.transpose(1, 2).flatten(2))  # type: ignore[no-any-return]


class SequencePool(nn.Linear):
    """Sequence pooling: a linear score per token, softmax over the tokens, weighted sum; the `pool` site.

    Args:
        width: Channels per token.

    Attributes:
        crossnorm: The variant and its α, which mix the tokens themselves; None: plain pooling.
    """

    crossnorm: SiteAlpha | None

    def __init__(self, width: int) -> None:
        super().__init__(width, 1)
        self.register_module(ATTRIBUTE, None)

    def forward(self, tokens: Tensor, mask: Tensor | None = None) -> Tensor:
        """(b, n, w) → (b, w); `mask` (b, n), True = real."""
        scores = super().forward(tokens).squeeze(-1)
        mixing, alpha = _variant_of(self.crossnorm)
        return pool(tokens, scores, mask=mask, mixing=mixing, alpha=alpha)


def _variant_of(site: SiteAlpha | None) -> tuple[Mixing | None, float | Tensor]:
    return (None, 0.0) if site is None else (site.mixing, site.operand())


class Block(nn.Module):
    """One encoder block: attention, then an MLP, each with stochastic depth.

        x = x + drop_path(attention(pre_norm(x)))
        x = norm1(x)
        x = x + drop_path(mlp(x))

    The second norm replaces the residual stream. A standard pre-norm block would leave x as it is and compute
    mlp(norm1(x)). This is an accident of the published code, which the published weights depend on.

    Args:
        width: Channels per token.
        heads: Attention heads.
        hidden: Hidden width of the MLP, linear2(GELU(linear1(x))) with the exact GELU.
        dropout: After the projection and both linears.
        attention_dropout: On the attention weights.
        stochastic_depth: Rate at which an example skips a branch.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        hidden: int,
        *,
        dropout: float = 0.0,
        attention_dropout: float = 0.0,
        stochastic_depth: float = 0.0,
    ) -> None:
        super().__init__()
        self.stochastic_depth = stochastic_depth
        self.pre_norm = nn.LayerNorm(width)
        self.self_attn = SelfAttention(width, heads, attention_dropout=attention_dropout)
        self.linear1 = nn.Linear(width, hidden)
        self.norm1 = nn.LayerNorm(width)
        self.linear2 = nn.Linear(hidden, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, visible: Tensor | None = None, *, is_causal: bool = False) -> Tensor:
        """(b, n, w) → (b, n, w); arguments as `SelfAttention`."""
        rate = self.stochastic_depth if self.training else 0.0
        attended = self.self_attn(self.pre_norm(x), visible, is_causal=is_causal)
        x = x + drop_path(self.dropout(attended), rate)
        x = self.norm1(x)
        hidden = self.dropout(F.gelu(self.linear1(x)))
        return x + drop_path(self.dropout(self.linear2(hidden)), rate)


def drop_path(branch: Tensor, rate: float) -> Tensor:
    """Zero the branch of each example with probability `rate`, scale the others by 1 / (1 - rate).

    Stochastic depth (arXiv 1603.09382). Draws one number per example from torch's global generator, none at rate 0.
    """
    if rate == 0.0:
        return branch
    shape = (branch.shape[0],) + (1,) * (branch.dim() - 1)
    kept = torch.rand(shape, device=branch.device) >= rate
    return branch * (kept.to(branch.dtype) / (1.0 - rate))


def sine_table(rows: int, width: int) -> Tensor:
    """The fixed positions (1, rows, width): sine on even channels, cosine on odd ones.

        angle[p, i] = p / 10000^(2⌊i/2⌋ / width), rounded to float32 before a float32 sine

    Args:
        rows: Tokens, the class token included.
        width: Channels per token.
    """
    channel = torch.arange(width, device="cpu")
    exponent = (channel - channel % 2).double() / width
    angle = (torch.arange(rows, device="cpu").double()[:, None] / 10000.0**exponent).float()
    return torch.where(channel % 2 == 0, angle.sin(), angle.cos())[None].to(torch.get_default_device())

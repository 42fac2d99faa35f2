"""The encoder and what follows it: (class token) → positions → blocks → norm → pooling → linear.

One module for images, text and language models, with the published parameter names. Knows nothing of where
its tokens come from.

Axes: b batch, n tokens, w width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from crossnorm.errors import BadInput
from crossnorm.models.config import Config
from crossnorm.models.layers import Block, Cache, SequencePool, sine_table

__all__ = ["Classifier"]


class Classifier(nn.Module):
    """Tokens (b, n, w) → logits (b, outputs), or (b, n, outputs) without pooling.

    Args:
        config: Sizes, positions, dropout, pooling.
        tokens: How many tokens the positions cover, the class token not counted.
        outputs: Logits.
    """

    class_emb: Tensor | None
    positional_emb: Tensor | None

    def __init__(self, config: Config, *, tokens: int, outputs: int) -> None:
        super().__init__()
        width, layers = config.width, config.num_layers
        self.pooling, self.causal, self.tokens = config.pooling, config.causal, tokens
        if self.pooling == "class":
            self.class_emb = nn.Parameter(torch.zeros(1, 1, width))
        else:
            self.class_emb = None
        rows = tokens + (self.class_emb is not None)
        self._add_positions(config.positional_embedding, rows, width)
        self.dropout = nn.Dropout(config.dropout)
        self.blocks = nn.ModuleList(
            Block(
                width,
                config.num_heads,
                config.hidden,
                dropout=config.dropout,
                attention_dropout=config.attention_dropout,
                stochastic_depth=config.stochastic_depth * layer / max(1, layers - 1),
            )
            for layer in range(layers)
        )
        self.norm = nn.LayerNorm(width)
        if self.pooling == "sequence":
            self.attention_pool = SequencePool(width)
        self.fc = nn.Linear(width, outputs)

    def _add_positions(self, kind: str, rows: int, width: int) -> None:
        """A trained table, a fixed one (part of the state dict all the same), or none."""
        if kind == "learnable":
            self.positional_emb = nn.Parameter(torch.zeros(1, rows, width))
        else:
            self.register_buffer("positional_emb", sine_table(rows, width) if kind == "sine" else None)

    def forward(self, tokens: Tensor, mask: Tensor | None = None, caches: list[Cache] | None = None) -> Tensor:
        """Logits of the tokens.

        Args:
            tokens: (b, n, w).
            mask: (b, n), True = real; None: all are.
            caches: One per block, of the tokens that came before; only without pooling.
        """
        x, mask = self._embed(tokens, mask, start=len(caches[0]) if caches else 0)
        visible, is_causal = self._visible(x, mask, seen=len(caches[0]) if caches else 0)
        for index, block in enumerate(self.blocks):
            x = block(x, visible, is_causal=is_causal, cache=caches[index] if caches else None)
        return self.fc(self._pooled(self.norm(x), mask))  # type: ignore[no-any-return]

    def _embed(self, x: Tensor, mask: Tensor | None, *, start: int) -> tuple[Tensor, Tensor | None]:
        """Class token first, then positions, then dropout."""
        if self.class_emb is not None:
            x = torch.cat([self.class_emb.expand(x.shape[0], -1, -1).to(x.dtype), x], dim=1)
            mask = None if mask is None else nn.functional.pad(mask, (1, 0), value=True)
        if self.positional_emb is not None:
            end = start + x.shape[1]
            if end > self.positional_emb.shape[1]:
                raise BadInput("input", f"at most {self.tokens} tokens, as many as there are positions", end)
            x = x + self.positional_emb[:, start:end]
        return self.dropout(x), mask

    def _visible(self, x: Tensor, mask: Tensor | None, *, seen: int) -> tuple[Tensor | None, bool]:
        """Which keys each query sees, as a mask and a flag for `attend`."""
        if not self.causal:
            return (None if mask is None else mask[:, None, None, :]), False
        queries = x.shape[1]
        if seen == 0:
            return None, True
        if queries == 1:
            return None, False
        visible = torch.ones(queries, seen + queries, dtype=torch.bool, device=x.device)
        return visible.tril(seen), False

    def _pooled(self, x: Tensor, mask: Tensor | None) -> Tensor:
        if self.pooling == "class":
            return x[:, 0]
        return self.attention_pool(x, mask) if self.pooling == "sequence" else x

"""The encoder and what follows it: (class token) → positions → blocks → norm → pooling → linear.

One module for image, text and language models, with the published parameter names.

Axes: b batch, n tokens, w width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from crossnorm.errors import BadInput
from crossnorm.models.config import Config
from crossnorm.models.layers import Block, SequencePool, sine_table

__all__ = ["Classifier"]


class Classifier(nn.Module):
    """Tokens (b, n, w) → logits (b, outputs), or (b, n, outputs) without pooling.

    Args:
        config: Sizes, positions, dropout, pooling.
        tokens: Number of tokens that the positions cover, without the class token.
        outputs: Number of logits.
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
        """A learned table, a fixed one (which is in the state dict too), or none."""
        if kind == "learnable":
            self.positional_emb = nn.Parameter(torch.zeros(1, rows, width))
        else:
            self.register_buffer("positional_emb", sine_table(rows, width) if kind == "sine" else None)

    def forward(self, tokens: Tensor, mask: Tensor | None = None) -> Tensor:
        """Logits of the tokens.

        Args:
            tokens: (b, n, w).
            mask: (b, n), True = real; None: all are.
        """
        x, mask = self._embed(tokens, mask)
        visible = None if mask is None else mask[:, None, None, :]
        for block in self.blocks:
            x = block(x, visible, is_causal=self.causal)
        return self.fc(self._pooled(self.norm(x), mask))  # type: ignore[no-any-return]

    def _embed(self, x: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Class token first, then positions, then dropout."""
        if self.class_emb is not None:
            x = torch.cat([self.class_emb.expand(x.shape[0], -1, -1).to(x.dtype), x], dim=1)
            mask = None if mask is None else nn.functional.pad(mask, (1, 0), value=True)
        if self.positional_emb is not None:
            length = x.shape[1]
            if length > self.positional_emb.shape[1]:
                raise BadInput("input", f"at most {self.tokens} tokens, as many as there are positions", length)
            x = x + self.positional_emb[:, :length]
        return self.dropout(x), mask

    def _pooled(self, x: Tensor, mask: Tensor | None) -> Tensor:
        if self.pooling == "class":
            return x[:, 0]
        return self.attention_pool(x, mask) if self.pooling == "sequence" else x

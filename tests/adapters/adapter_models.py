"""Small randomly initialised models of every library that is converted, and how each is called.

Knows nothing of expected outputs. A different prime for every axis wherever the libraries leave the choice.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import crossnorm

BATCH, TOKENS, WORDS = 3, 7, 31


@dataclass(frozen=True)
class Case:
    """A model and how it is called on inputs with or without padding."""

    build: Callable[[], nn.Module]
    call: Callable[[nn.Module, bool], Tensor]
    pads: bool = True
    sites: int = 2

    def model(self) -> nn.Module:
        """The same weights at every call, in evaluation mode."""
        torch.manual_seed(11)
        return self.build().eval()


def draw(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(5), dtype=torch.float64)


def like(model: nn.Module, x: Tensor) -> Tensor:
    """In the model's type."""
    return x.to(next(model.parameters()).dtype)


def ids(tokens: int = TOKENS) -> Tensor:
    return torch.randint(2, WORDS, (BATCH, tokens), generator=torch.Generator().manual_seed(7))


def real(padded: bool) -> Tensor | None:
    """True where a token is real: 7, 5 and 3 of 7; None without padding."""
    return torch.arange(TOKENS) < torch.tensor([[7], [5], [3]]) if padded else None


def whole(number: Tensor | None) -> Tensor | None:
    return None if number is None else number.long()


def hf(name: str, implementation: str, **config: Any) -> nn.Module:
    transformers = pytest.importorskip("transformers")
    settings = getattr(transformers, f"{name.removesuffix('LMHead').removesuffix('ForCausalLM')}Config")(**config)
    return getattr(transformers, f"{name}Model" if "For" not in name else name)._from_config(
        settings, attn_implementation=implementation
    )


def bert(implementation: str = "sdpa") -> nn.Module:
    sizes = {"hidden_size": 22, "num_attention_heads": 2, "num_hidden_layers": 2, "intermediate_size": 13}
    return hf("Bert", implementation, vocab_size=WORDS, **sizes)


def gpt2(implementation: str = "sdpa") -> nn.Module:
    marks = {"bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 1}
    return hf("GPT2LMHead", implementation, n_embd=22, n_head=2, n_layer=2, vocab_size=WORDS, **marks)


def llama(implementation: str = "sdpa") -> nn.Module:
    sizes = {"hidden_size": 60, "num_attention_heads": 6, "num_key_value_heads": 2, "head_dim": 10}
    marks = {"bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 1}
    return hf(
        "LlamaForCausalLM",
        implementation,
        num_hidden_layers=2,
        intermediate_size=13,
        vocab_size=WORDS,
        **sizes,
        **marks,
    )


def t5(implementation: str = "sdpa") -> nn.Module:
    sizes = {"d_model": 22, "d_kv": 5, "num_heads": 3, "num_layers": 1, "d_ff": 13}
    return hf("T5", implementation, vocab_size=WORDS, decoder_start_token_id=0, **sizes)


def vit() -> nn.Module:
    sizes = {"hidden_size": 22, "num_attention_heads": 2, "num_hidden_layers": 2, "intermediate_size": 13}
    return hf("ViT", "sdpa", image_size=10, patch_size=5, hidden_dropout_prob=0.1, **sizes)


def swin() -> nn.Module:
    return hf("Swin", "sdpa", image_size=8, patch_size=2, embed_dim=6, depths=[2], num_heads=[2], window_size=2)


def timm(name: str, **config: Any) -> nn.Module:
    return pytest.importorskip("timm").create_model(name, depth=2, num_classes=5, **config)


def encoder(**settings: Any) -> nn.Module:
    layer = nn.TransformerEncoderLayer(22, 2, 13, batch_first=True, **settings)
    return nn.TransformerEncoder(layer, 2, enable_nested_tensor=not settings)


def decoder() -> nn.Module:
    return nn.TransformerDecoder(nn.TransformerDecoderLayer(22, 2, 13), 1)


def call_encoder(model: nn.Module, padded: bool) -> Tensor:
    mask = real(padded)
    return model(like(model, draw(BATCH, TOKENS, 22)), src_key_padding_mask=None if mask is None else ~mask)


def call_decoder(model: nn.Module, padded: bool) -> Tensor:
    """Targets and memory (tokens, batch, width): torch's own default layout; causal, cross-attention padded."""
    target, memory = like(model, draw(5, BATCH, 22)), like(model, draw(TOKENS, BATCH, 22))
    mask = real(padded)
    return model(
        target,
        memory,
        tgt_mask=torch.ones(5, 5, dtype=torch.bool).triu(1),
        memory_key_padding_mask=None if mask is None else ~mask,
    )


def call_words(field: str) -> Callable[[nn.Module, bool], Tensor]:
    return lambda model, padded: getattr(model(input_ids=ids(), attention_mask=whole(real(padded))), field)


def call_t5(model: nn.Module, padded: bool) -> Tensor:
    mask = whole(real(padded))
    return model(input_ids=ids(), attention_mask=mask, decoder_input_ids=ids(5)).last_hidden_state


def call_pixels(size: int) -> Callable[[nn.Module, bool], Tensor]:
    return lambda model, padded: model(pixel_values=like(model, draw(2, 3, size, size))).last_hidden_state


def call_image(size: int) -> Callable[[nn.Module, bool], Tensor]:
    return lambda model, padded: model(like(model, draw(2, 3, size, size)))


def own_text() -> nn.Module:
    return crossnorm.create_model("text_cct_2", num_classes=5, vocab_size=WORDS, seq_len=TOKENS, word_embedding_dim=13)


def mixed_attention(**settings: Any) -> nn.Module:
    return nn.MultiheadAttention(22, 2, batch_first=True, **settings)


def call_attention(model: nn.Module, padded: bool) -> Tensor:
    query, key, value = (
        like(model, draw(BATCH, n, w)) for n, w in ((5, 22), (TOKENS, model.kdim), (TOKENS, model.vdim))
    )
    mask = real(padded)
    return model(query, key, value, key_padding_mask=None if mask is None else ~mask, need_weights=False)[0]


CASES = {
    "bert": Case(bert, call_words("last_hidden_state")),
    "bert-eager": Case(lambda: bert("eager"), call_words("last_hidden_state")),
    "gpt2": Case(gpt2, call_words("logits")),
    "gpt2-eager": Case(lambda: gpt2("eager"), call_words("logits")),
    "llama": Case(llama, call_words("logits")),
    "t5": Case(t5, call_t5, sites=3),
    "vit": Case(vit, call_pixels(10), pads=False),
    "swin": Case(swin, call_pixels(8), pads=False),
    "timm-vit": Case(lambda: timm("vit_tiny_patch16_224", img_size=32), call_image(32), pads=False),
    "timm-gated": Case(
        lambda: timm("vit_tiny_patch16_224", img_size=32, qk_norm=True, scale_attn_norm=True),
        call_image(32),
        pads=False,
    ),
    "timm-eva": Case(lambda: timm("eva02_tiny_patch14_224", img_size=28), call_image(28), pads=False),
    "timm-pooled": Case(
        lambda: timm("vit_tiny_patch16_224", img_size=32, global_pool="map", class_token=False),
        call_image(32),
        pads=False,
        sites=3,
    ),
    "torch-encoder": Case(encoder, call_encoder),
    "torch-prenorm": Case(lambda: encoder(norm_first=True, bias=False), call_encoder),
    "torch-decoder": Case(decoder, call_decoder),
    "torch-attention": Case(mixed_attention, call_attention, sites=1),
    "torch-widths": Case(
        lambda: mixed_attention(kdim=13, vdim=17, add_bias_kv=True, add_zero_attn=True), call_attention, sites=1
    ),
}
"""Models whose attention is torch's own function at α = 0."""

OWN = {
    "cct": Case(lambda: crossnorm.create_model("cct_2_3x2_32"), call_image(32), pads=False),
    "text": Case(own_text, lambda model, padded: model(ids(), real(padded))),
    "gpt": Case(
        lambda: crossnorm.create_model("gpt_2", vocab_size=WORDS, seq_len=TOKENS),
        lambda model, padded: model(ids()),
        pads=False,
    ),
}
"""crossnorm's own models."""

EVERY = {**CASES, **OWN}

"""How large a model is and how much it computes: counted, never typed in.

Knows nothing of time.
"""

from __future__ import annotations

import functools
from dataclasses import replace

import torch
from torch import Tensor, nn

from crossnorm.models.compact import Model, build
from crossnorm.models.config import Config, ImageConfig, LanguageConfig, TextConfig

__all__ = ["count_macs", "count_parameters"]


def count_parameters(model: nn.Module, *, trained_only: bool = False) -> int:
    """Numbers in the state dict, as the published counts are: a fixed sine table is included.

    Args:
        model: Any module.
        trained_only: Count only what an optimiser would change.
    """
    if trained_only:
        return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    return sum(tensor.numel() for tensor in model.state_dict().values())


def count_macs(model: Model) -> int:
    """Multiply-adds of one example at full size: convolutions, linears and the products inside attention.

    Half of the floating-point operations that ``torch.utils.flop_counter`` counts in a forward pass of the same
    architecture without variant on the meta device, so nothing is computed. Elementwise work is not counted: not the
    softmax of a variant, and not the positions, which are added.
    """
    plain = replace(model.config, positional_embedding="none")
    one, two = (_macs(replace(plain, num_layers=layers)) for layers in (1, 2))
    return one + (model.config.num_layers - 1) * (two - one)  # all blocks are alike


@functools.cache
def _macs(config: Config) -> int:
    from torch.utils.flop_counter import FlopCounterMode  # brings triton, 90 MiB that nobody else needs

    with torch.device("meta"):
        twin = build(config).eval()
        example = _example(config)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        twin(example)
    return int(counter.get_total_flops()) // 2


def _example(config: Config) -> Tensor:
    if isinstance(config, ImageConfig):
        return torch.zeros(1, config.n_input_channels, *config.size)
    assert isinstance(config, TextConfig | LanguageConfig)
    return torch.zeros(1, config.seq_len, dtype=torch.long)

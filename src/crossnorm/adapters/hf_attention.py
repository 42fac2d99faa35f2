"""Hugging Face models, through the library's own interface for attention functions and their masks.

Importing this module registers ``attn_implementation="crossnorm"``: variant and α are then read from the model's
configuration, so that save_pretrained and from_pretrained keep them::

    config.crossnorm = {"name": "convex", "alpha": 0.5}     # what handle.as_config() gives

`crossnorm.convert` uses names of its own, under which each attention module obeys its dose, and α = 0 calls what the
model called before. Knows which models honour the interface; imported only when transformers already is, or by you.

Axes: b batch, h heads (of the queries), q queries, k tokens (keys and values), d channels per head.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, cast
from weakref import WeakSet

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedConfig, PreTrainedModel
from transformers.masking_utils import eager_mask, sdpa_mask

from crossnorm.adapters.base import DOSE, Adapter, Place, uses
from crossnorm.adapters.hf_config import configured
from crossnorm.errors import BadInput
from crossnorm.functional import Variant, attend_with_weights

__all__ = ["ADAPTER"]

_PREFIX = "crossnorm-"
_MASKS = {"sdpa": sdpa_mask, "eager": eager_mask}
_Output = tuple[Tensor, Tensor | None]

# Shifted windows hide by adding -100 where others add the lowest number (Swin and what is built from it).
_BESIDE_WINDOW = -50.0
# Settings of attention that no variant takes into account: a model that sets one is refused when it does.
_UNKNOWN = ("softcap", "s_aux", "sinks", "indices", "block_indices", "cache")


def _mixed(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    variant: Variant,
    alpha: float | Tensor,
    *,
    dropout: float = 0.0,
    scaling: float | None = None,
    is_causal: bool | None = None,
    position_bias: Tensor | None = None,
    **others: Any,
) -> tuple[Tensor, Tensor]:
    """Attention as the interface wants it, its values remixed.

    Args:
        module: The attention module; its `is_causal` counts where the argument is None.
        query: (b, h, q, e).
        key: (b, h or fewer, k, e).
        value: (b, h or fewer, k, d).
        mask: Boolean, True = visible, or additive; broadcasts to (b, h, q, k). None: all, or causal (see below).
        variant: What is done with the values.
        alpha: Its dose.
        dropout: Rate on the weights.
        scaling: Of the scores; None: e^-½.
        is_causal: Query i sees tokens 0 … i, if there is no mask and more than one query.
        position_bias: Added to the scores; hides nothing.
        others: Must not say anything about the weights.

    Returns:
        (b, q, h, d) and the weights (b, h, q, k).
    """
    for name in _UNKNOWN:
        if others.get(name) is not None:
            raise BadInput(type(module).__name__, "attention weights that are a plain softmax", f"{name} beside it")
    is_causal = getattr(module, "is_causal", True) if is_causal is None else is_causal
    is_causal = bool(is_causal) and mask is None and query.shape[2] > 1
    if position_bias is not None:
        mask, is_causal = _biased(position_bias, mask, is_causal), False
    if mask is not None and mask.is_floating_point() and _shifts_windows(type(module)):
        mask = mask.masked_fill(mask < _BESIDE_WINDOW, torch.finfo(mask.dtype).min)
    mixed, weights = attend_with_weights(
        query,
        key,
        value,
        attn_mask=mask,
        is_causal=is_causal,
        dropout_p=dropout,
        scale=scaling,
        enable_gqa=key.shape[1] != query.shape[1],
        variant=variant,
        alpha=alpha,
    )
    return mixed.transpose(1, 2).contiguous(), weights


def _shifts_windows(cls: type) -> bool:
    return re.search("swin|clap", cls.__module__) is not None


def _biased(bias: Tensor, mask: Tensor | None, is_causal: bool) -> Tensor:
    """The additive mask of a bias on the scores and a mask of either kind."""
    if mask is not None and mask.dtype != torch.bool:
        return bias + mask
    if is_causal:
        mask = torch.ones(bias.shape[-2:], dtype=torch.bool, device=bias.device).tril()
    return bias if mask is None else torch.where(mask, bias, torch.finfo(bias.dtype).min)


def _dosed(implementation: str) -> Callable[..., _Output]:
    """The attention function of converted models that ran on `implementation` before."""

    def attention(
        module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **settings: Any
    ) -> _Output:
        dose = getattr(module, DOSE, None)
        if dose is None or not dose.active:
            original = _original(type(module), implementation)
            return original(module, query, key, value, attention_mask, **settings)
        if implementation == "eager":  # where None is no mask, and weights are given back
            settings["is_causal"] = False
            return _mixed(module, query, key, value, attention_mask, dose.variant, dose.value(), **settings)
        return _mixed(module, query, key, value, attention_mask, dose.variant, dose.value(), **settings)[0], None

    return attention


def _from_config(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **settings: Any
) -> _Output:
    """The attention function ``"crossnorm"``: variant and α stand in ``module.config.crossnorm``."""
    variant, alpha = configured(module)
    if isinstance(alpha, float) and alpha == 0:
        return _original(type(module), "sdpa")(module, query, key, value, attention_mask, **settings)
    return _mixed(module, query, key, value, attention_mask, variant, alpha, **settings)[0], None


def _original(cls: type, implementation: str) -> Callable[..., _Output]:
    """The function that modules of the class call under that implementation."""
    known = _ORIGINALS.get((cls, implementation))
    if known is None:
        scope, names = _forward_scope(cls)
        if implementation == "eager":
            known = scope[next(name for name in names if name.endswith("eager_attention_forward"))]
        else:
            known = scope["ALL_ATTENTION_FUNCTIONS"][implementation]
        _ORIGINALS[cls, implementation] = known
    return known  # type: ignore[no-any-return]


_ORIGINALS: dict[tuple[type, str], Callable[..., _Output]] = {}


def _forward_scope(cls: Any) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The globals of the class's forward and the names it speaks."""
    forward = inspect.unwrap(cls.forward)
    return getattr(forward, "__globals__", {}), getattr(getattr(forward, "__code__", None), "co_names", ())


def _honours_interface(cls: type) -> bool:
    return "ALL_ATTENTION_FUNCTIONS" in _forward_scope(cls)[1]


def _find(model: nn.Module) -> list[Place]:
    found = []
    for path, module in _interface_modules(model):
        _check_site(path, module)
        found.append(Place(path=path or type(module).__name__, module=module, heads=_heads(module)))
    for path, module in model.named_modules():
        if isinstance(module, PreTrainedModel):
            _check_model(path or type(module).__name__, module)
    return found


def _interface_modules(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    return ((path, module) for path, module in model.named_modules() if _honours_interface(type(module)))


def _check_model(path: str, model: PreTrainedModel) -> None:
    """Refuse models that compute attention on their own, wholly or in part."""
    name = type(model).__name__
    if not model._can_set_attn_implementation():
        raise BadInput(path, "a Hugging Face model that honours the attention interface", name)
    for inner, module in model.named_modules():
        cls = type(module)
        if cls.__module__.startswith(("torch.", "timm.")) or _honours_interface(cls):
            continue
        if re.search("Attention|Attn", cls.__name__) and uses(cls, ("softmax", "scaled_dot_product_attention")):
            raise BadInput(f"{path}: {inner}", "attention through Hugging Face's interface", cls.__name__)
    if not model._supports_sdpa and any(True for _ in _interface_modules(model)):
        raise BadInput(path, "a model that supports sdpa, whose attention is plain", name)


def _check_site(path: str, module: nn.Module) -> None:
    """Refuse modules whose present function cannot be stood in for."""
    name, config = type(module).__name__, cast("PreTrainedConfig", module.config)
    implementation = str(config._attn_implementation).removeprefix(_PREFIX)
    if implementation not in _MASKS:
        hint = "Call model.set_attn_implementation('sdpa') first."
        raise BadInput(f"{path} ({name})", "attention that runs on sdpa or eager", implementation, hint)
    scope, _ = _forward_scope(type(module))
    if implementation in scope["ALL_ATTENTION_FUNCTIONS"]._local_mapping:
        raise BadInput(f"{path} ({name})", "the library's own sdpa", "one of the model's own")
    if _asks_for(type(module).__module__, implementation) and not _only_reorders(config):
        raise BadInput(f"{path} ({name})", f"code that does not ask whether it runs on {implementation}", "such code")


@cache
def _asks_for(module: str, implementation: str) -> bool:
    """Whether the code of a model asks for the implementation by name, which is another one once converted."""
    pattern = rf"""_attn_implementation\s*(==|!=|in|not in)\s[^\n]*["']{implementation}["']"""
    return re.search(pattern, inspect.getsource(sys.modules[module])) is not None


def _only_reorders(config: PreTrainedConfig) -> bool:
    """GPT-2 and its relatives ask for "eager" only to upcast, which they do not do unless told to."""
    return not getattr(config, "reorder_and_upcast_attn", True)


def _heads(module: nn.Module) -> int:
    """Heads of the queries; 0 where the module does not say."""
    names = ("num_heads", "num_attention_heads", "n_heads", "n_head")
    owners = (module, module.config)
    return next((int(getattr(o, n)) for o in owners for n in names if isinstance(getattr(o, n, None), int)), 0)


def _configs(model: nn.Module) -> Iterator[PreTrainedConfig]:
    """Every configuration in the model, each once."""
    found = {id(c): c for c in (getattr(m, "config", None) for m in model.modules()) if isinstance(c, PreTrainedConfig)}
    return iter(found.values())


def _install(model: nn.Module, found: list[Place]) -> None:
    for _, module in _interface_modules(model):  # known before the first call: a compiled model should find it so
        config = cast("PreTrainedConfig", module.config)
        _original(type(module), str(config._attn_implementation).removeprefix(_PREFIX))
    for config in _configs(model) if found else ():
        if config._attn_implementation in _MASKS:
            config._attn_implementation_internal = _PREFIX + config._attn_implementation
    if found:
        _CONVERTED.add(model)


def _undo(model: nn.Module) -> None:
    _CONVERTED.discard(model)
    needed = {id(config) for other in _CONVERTED for config in _configs(other)}
    for config in _configs(model):
        name = config._attn_implementation
        if name is not None and id(config) not in needed:
            config._attn_implementation_internal = name.removeprefix(_PREFIX)


# Models built from one configuration object share it: the last one to be restored gives it its old name back.
_CONVERTED: WeakSet[nn.Module] = WeakSet()


AttentionInterface.register("crossnorm", _from_config)
AttentionMaskInterface.register("crossnorm", sdpa_mask)
for _name, _mask in _MASKS.items():
    AttentionInterface.register(_PREFIX + _name, _dosed(_name))
    AttentionMaskInterface.register(_PREFIX + _name, _mask)  # type: ignore[arg-type]

ADAPTER = Adapter(find=_find, install=_install, undo=_undo)

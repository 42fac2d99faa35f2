"""Hugging Face models, through the library's interface for attention functions and masks.

Importing this module registers ``attn_implementation="crossnorm"``, which reads variant and α from the model's
configuration, so that save_pretrained and from_pretrained keep them::

    config.crossnorm = {"name": "convex", "alpha": 0.5}     # as handle.as_config() returns it

`crossnorm.convert` registers names of its own, under which each attention module reads its `SiteAlpha` and calls the
model's former function at α = 0. Imported only when transformers is.

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

from crossnorm.adapters.base import Adapter, uses
from crossnorm.adapters.hf_cache import follow_caches, past_of, unfollow_caches
from crossnorm.adapters.hf_config import configured
from crossnorm.errors import BadInput
from crossnorm.functional import Mixing, attend_with_weights
from crossnorm.functional.mixed_terms import is_exponential
from crossnorm.models.site_alpha import ATTRIBUTE, site_alphas
from crossnorm.models.variant_sites import Site

__all__ = ["ADAPTER"]

_PREFIX = "crossnorm-"
_MASKS = {"sdpa": sdpa_mask, "eager": eager_mask}
_Output = tuple[Tensor, Tensor | None]

# Shifted windows (Swin and models built from it) hide tokens by adding -100 instead of the lowest number.
_BESIDE_WINDOW = -50.0
# Settings of attention that no variant takes into account: an error is raised when a model passes one.
_UNKNOWN = ("softcap", "s_aux", "sinks", "indices", "block_indices", "cache")


def _mixed(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    mixing: Mixing,
    alpha: float | Tensor,
    *,
    dropout: float = 0.0,
    scaling: float | None = None,
    is_causal: bool | None = None,
    position_bias: Tensor | None = None,
    with_weights: bool = False,
    **others: Any,
) -> _Output:
    """Attention with mixed values, with the signature of the interface.

    Args:
        module: The attention module; its `is_causal` is used if the argument is None.
        query: (b, h, q, e).
        key: (b, h or fewer, k, e).
        value: (b, h or fewer, k, d).
        mask: Boolean, True = visible, or additive; broadcasts to (b, h, q, k). None: all, or causal (see below).
        mixing: How the values are mixed.
        alpha: α.
        dropout: Rate on the weights.
        scaling: Factor of the scores; None: e^-½.
        is_causal: Query i sees tokens 0 … i, if there is no mask and more than one query.
        position_bias: Added to the scores; hides no token.
        with_weights: Whether to return the weights, which are then written out.
        others: Settings that do not affect the weights; see `_UNKNOWN`.

    Returns:
        (b, q, h, d) and the weights (b, h, q, k) or None.
    """
    for name in _UNKNOWN:
        if others.get(name) is not None:
            raise BadInput.because(type(module).__name__, f"{name} is not supported; attention must be a plain softmax")
    is_causal = getattr(module, "is_causal", True) if is_causal is None else is_causal
    is_causal = bool(is_causal) and mask is None and query.shape[2] > 1
    if position_bias is not None:
        mask, is_causal = _biased(position_bias, mask, is_causal), False
    if mask is not None and mask.is_floating_point() and _shifts_windows(type(module)):
        mask = mask.masked_fill(mask < _BESIDE_WINDOW, torch.finfo(mask.dtype).min)
    settings: dict[str, Any] = {
        "attn_mask": mask,
        "is_causal": is_causal,
        "dropout_p": dropout,
        "scale": scaling,
        "enable_gqa": key.shape[1] != query.shape[1],
        "mixing": mixing,
        "alpha": alpha,
    }
    past = None
    if mask is None and not is_causal and is_exponential(mixing):
        past = past_of(module, value, query.shape[2], mixing.temperature)
    mixed, weights = attend_with_weights(query, key, value, **settings, needed=with_weights, past=past)
    return mixed.transpose(1, 2).contiguous(), weights


def _shifts_windows(cls: type) -> bool:
    return re.search("swin|clap", cls.__module__) is not None


def _biased(bias: Tensor, mask: Tensor | None, is_causal: bool) -> Tensor:
    """The additive mask that joins a bias on the scores and a mask of either kind."""
    if mask is not None and mask.dtype != torch.bool:
        return bias + mask
    if is_causal:
        mask = torch.ones(bias.shape[-2:], dtype=torch.bool, device=bias.device).tril()
    return bias if mask is None else torch.where(mask, bias, torch.finfo(bias.dtype).min)


def _converted(implementation: str) -> Callable[..., _Output]:
    """The attention function of converted models that used `implementation` before."""

    def attention(
        module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **settings: Any
    ) -> _Output:
        site = getattr(module, ATTRIBUTE, None)
        if site is None or not site.active:
            original = _original(type(module), implementation)
            return original(module, query, key, value, attention_mask, **settings)
        if implementation == "eager":  # a mask of None hides nothing there, and the weights are returned
            settings |= {"is_causal": False, "with_weights": True}
        return _mixed(module, query, key, value, attention_mask, site.mixing, site.operand(), **settings)

    return attention


def _from_config(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **settings: Any
) -> _Output:
    """The attention function ``"crossnorm"``, with variant and α from ``module.config.crossnorm``."""
    mixing, alpha = configured(module)
    if isinstance(alpha, float) and alpha == 0:
        return _original(type(module), "sdpa")(module, query, key, value, attention_mask, **settings)
    alpha = alpha.to(query.device) if isinstance(alpha, Tensor) else alpha
    return _mixed(module, query, key, value, attention_mask, mixing, alpha, **settings)


def _original(cls: type, implementation: str) -> Callable[..., _Output]:
    """The function that modules of the class call for the implementation."""
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
    """The globals of the class's forward and the names that its code mentions."""
    forward = inspect.unwrap(cls.forward)
    return getattr(forward, "__globals__", {}), getattr(getattr(forward, "__code__", None), "co_names", ())


def _uses_interface(cls: type) -> bool:
    return "ALL_ATTENTION_FUNCTIONS" in _forward_scope(cls)[1]


def _find(model: nn.Module) -> list[Site]:
    found = []
    for path, module in _interface_modules(model):
        _check_site(path, module)
        found.append(Site(path=path or type(module).__name__, module=module, heads=_heads(module)))
    for path, module in model.named_modules():
        if isinstance(module, PreTrainedModel):
            _check_model(path or type(module).__name__, module)
    return found


def _interface_modules(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    return ((path, module) for path, module in model.named_modules() if _uses_interface(type(module)))


def _check_model(path: str, model: PreTrainedModel) -> None:
    """Raise for a model that computes some of its attention outside the interface."""
    name = type(model).__name__
    if not model._can_set_attn_implementation():
        raise BadInput(path, "a Hugging Face model that uses the attention interface", name)
    for inner, module in model.named_modules():
        cls = type(module)
        if cls.__module__.startswith(("torch.", "timm.")) or _uses_interface(cls):
            continue
        if re.search("Attention|Attn", cls.__name__) and uses(cls, ("softmax", "scaled_dot_product_attention")):
            raise BadInput.because(
                f"{path}: {inner}", f"{cls.__name__} does not use Hugging Face's attention interface"
            )
    if not model._supports_sdpa and any(True for _ in _interface_modules(model)):
        raise BadInput(path, "a model that supports sdpa, whose attention is plain", name)


def _check_site(path: str, module: nn.Module) -> None:
    """Raise for a module whose attention function cannot be replaced."""
    name, config = type(module).__name__, cast("PreTrainedConfig", module.config)
    implementation = str(config._attn_implementation).removeprefix(_PREFIX)
    if implementation not in _MASKS:
        hint = "Call model.set_attn_implementation('sdpa') first."
        raise BadInput(f"{path} ({name})", "attention implementation sdpa or eager", implementation, hint)
    scope, _ = _forward_scope(type(module))
    if implementation in scope["ALL_ATTENTION_FUNCTIONS"]._local_mapping:
        raise BadInput(f"{path} ({name})", "the library's sdpa", "the model's own implementation of it")
    if _depends_on(type(module).__module__, implementation) and not _only_reorders(config):
        raise BadInput.because(f"{path} ({name})", f"its code depends on the implementation being {implementation}")


@cache
def _depends_on(module: str, implementation: str) -> bool:
    """Whether a model's code compares the implementation's name, which changes when the model is converted."""
    pattern = rf"""_attn_implementation\s*(==|!=|in|not in)\s[^\n]*["']{implementation}["']"""
    return re.search(pattern, inspect.getsource(sys.modules[module])) is not None


def _only_reorders(config: PreTrainedConfig) -> bool:
    """GPT-2 and related models compare it to "eager" only to upcast, which is off by default."""
    return not getattr(config, "reorder_and_upcast_attn", True)


def _heads(module: nn.Module) -> int:
    """Number of query heads; 0 if unknown."""
    names = ("num_heads", "num_attention_heads", "n_heads", "n_head")
    owners = (module, module.config)
    return next((int(getattr(o, n)) for o in owners for n in names if isinstance(getattr(o, n, None), int)), 0)


def _configs(model: nn.Module) -> Iterator[PreTrainedConfig]:
    """Every configuration in the model, each once."""
    found = {id(c): c for c in (getattr(m, "config", None) for m in model.modules()) if isinstance(c, PreTrainedConfig)}
    return iter(found.values())


def _install(model: nn.Module, found: list[Site]) -> None:
    for _, module in _interface_modules(model):  # cached before the first call, for compiled models
        config = cast("PreTrainedConfig", module.config)
        _original(type(module), str(config._attn_implementation).removeprefix(_PREFIX))
    for config in _configs(model) if found else ():
        if config._attn_implementation in _MASKS:
            config._attn_implementation_internal = _PREFIX + config._attn_implementation
    for site in found:
        follow_caches(site.module)
    if found:
        _CONVERTED.add(model)


def _undo(model: nn.Module) -> None:
    for module in model.modules():
        if getattr(module, ATTRIBUTE, None) is None:
            unfollow_caches(module)
    needed = {id(config) for other in _CONVERTED if site_alphas(other) for config in _configs(other)}
    for config in _configs(model):
        name = config._attn_implementation
        if name is not None and id(config) not in needed:
            config._attn_implementation_internal = name.removeprefix(_PREFIX)


# Models may share a configuration object: it gets its old implementation back when the last of them is restored.
_CONVERTED: WeakSet[nn.Module] = WeakSet()


AttentionInterface.register("crossnorm", _from_config)
AttentionMaskInterface.register("crossnorm", sdpa_mask)
for _name, _mask in _MASKS.items():
    AttentionInterface.register(_PREFIX + _name, _converted(_name))
    AttentionMaskInterface.register(_PREFIX + _name, _mask)  # type: ignore[arg-type]

ADAPTER = Adapter(find=_find, install=_install, undo=_undo)

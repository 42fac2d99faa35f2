"""Exponentials beside the key-value caches of Hugging Face models, so that a generated token does not compute them all.

The library gives the cache to the attention module, and only keys and values to the attention function. So a hook
before the module looks which values the cache holds. If they are those of the last call, what was kept of that call
still holds for them, and the cache will append to them. Whatever else happened (beams that were reordered, a cache
that was cut, another cache) has made another tensor, or has written into it, and everything is computed anew.
"""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle
from transformers.cache_utils import DynamicLayer

from crossnorm.functional.past import Past

__all__ = ["follow_caches", "past_of", "unfollow_caches"]


@dataclass(frozen=True)
class _Kept:
    """The exponentials of the values of a cache; they do not keep the values alive."""

    past: Past
    values: weakref.ref[Tensor]
    version: int

    def is_of(self, values: Tensor | None) -> bool:
        return values is not None and self.values() is values and values._version == self.version


_HOOKS: weakref.WeakKeyDictionary[nn.Module, RemovableHandle] = weakref.WeakKeyDictionary()
_KEPT: weakref.WeakKeyDictionary[nn.Module, _Kept] = weakref.WeakKeyDictionary()
# During a call with a cache that grows: the exponentials of its values before the call, if they are known.
_BEFORE: weakref.WeakKeyDictionary[nn.Module, Past | None] = weakref.WeakKeyDictionary()


def follow_caches(module: nn.Module) -> None:
    """Keep exponentials beside the caches that an attention module is given."""
    if module not in _HOOKS:
        _HOOKS[module] = module.register_forward_pre_hook(_look, with_kwargs=True)


def unfollow_caches(module: nn.Module) -> None:
    """Undo `follow_caches`."""
    for known in (_KEPT, _BEFORE):
        known.pop(module, None)
    hook = _HOOKS.pop(module, None)
    if hook is not None:
        hook.remove()


def _look(module: nn.Module, arguments: tuple[Any, ...], settings: dict[str, Any]) -> None:
    if torch.compiler.is_compiling():
        return
    kept = _KEPT.pop(module, None)
    _BEFORE.pop(module, None)
    cache = settings.get("cache", settings.get("past_key_values"))
    layers, index = getattr(cache, "layers", ()), getattr(module, "layer_idx", None)
    if torch.is_grad_enabled() or not isinstance(index, int) or not index < len(layers):
        return
    layer = layers[index]
    if type(layer) is DynamicLayer:  # others cut, quantize or overwrite what they hold
        _BEFORE[module] = kept.past if kept is not None and kept.is_of(layer.values) else None


def past_of(module: nn.Module, value: Tensor, temperature: float) -> Past | None:
    """The exponentials of τ times the values (b, h, k, d) of a growing cache, kept for the next call; None: no cache.

    Args:
        module: The attention module, during a call.
        value: V.
        temperature: τ.
    """
    if torch.compiler.is_compiling() or module not in _BEFORE or value.is_inference():
        return None
    before = _BEFORE.pop(module)
    past = None
    if before is not None:
        past = before.followed_by(value[..., before.terms.shape[-2] :, :] * temperature)
    if past is None:
        past = Past.of(value * temperature)

    def forget(values: weakref.ref[Tensor]) -> None:
        kept = _KEPT.get(module)
        if kept is not None and kept.values is values:
            del _KEPT[module]

    _KEPT[module] = _Kept(past, weakref.ref(value, forget), value._version)
    return past

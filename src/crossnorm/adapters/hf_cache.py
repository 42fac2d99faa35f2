"""Exponentials beside the key-value caches of Hugging Face models, so that a generated token does not compute them all.

The library gives the cache to the attention module, and only keys and values to the attention function. So a hook
before the module looks which values the cache holds. If they are those of the last call, what was kept of that call
holds for them, and the cache is about to append to them. If they are others (beams were reordered, the cache was cut,
written into or exchanged), everything is computed anew. Only a plain `DynamicCache` is followed: other caches cut,
quantize or overwrite what they hold. Models on ``eager`` pass a mask at every token, and keep nothing.
"""

from __future__ import annotations

import threading
import weakref
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers.cache_utils import DynamicCache, DynamicLayer

from crossnorm.functional.past import Past

__all__ = ["follow_caches", "past_of", "unfollow_caches"]


@dataclass(frozen=True)
class _Kept:
    """The exponentials of τ times the values of a cache; they do not keep the values alive."""

    past: Past
    temperature: float
    values: weakref.ref[Tensor]
    version: int

    def is_of(self, values: Tensor | None) -> bool:
        return values is not None and self.values() is values and values._version == self.version


@dataclass(frozen=True)
class _Call:
    """A call of a module in a thread, with a cache that grows, and what was kept of its values before the call."""

    thread: int
    kept: _Kept | None


_KEPT: weakref.WeakKeyDictionary[nn.Module, _Kept] = weakref.WeakKeyDictionary()
_CALLS: weakref.WeakKeyDictionary[nn.Module, _Call] = weakref.WeakKeyDictionary()


def follow_caches(module: nn.Module) -> None:
    """Keep exponentials beside the caches that an attention module is given. Copies of the module do so too."""
    unfollow_caches(module)
    module.register_forward_pre_hook(_look, with_kwargs=True)


def unfollow_caches(module: nn.Module) -> None:
    """Undo `follow_caches`."""
    for known in (_KEPT, _CALLS):
        known.pop(module, None)
    hooks = module._forward_pre_hooks  # a copied module has the hook, but no handle that removes it
    for number in [number for number, hook in hooks.items() if hook is _look]:
        del hooks[number]
        module._forward_pre_hooks_with_kwargs.pop(number, None)


def _look(module: nn.Module, arguments: tuple[Any, ...], settings: dict[str, Any]) -> None:
    if torch.compiler.is_compiling():
        return
    kept = _KEPT.pop(module, None)
    _CALLS.pop(module, None)
    cache, index = settings.get("cache", settings.get("past_key_values")), getattr(module, "layer_idx", None)
    if torch.is_grad_enabled() or type(cache) is not DynamicCache or not isinstance(index, int):
        return
    layer = cache.layers[index] if index < len(cache.layers) else None
    if type(layer) is DynamicLayer:
        known = kept is not None and kept.is_of(layer.values)
        _CALLS[module] = _Call(threading.get_ident(), kept if known else None)


def past_of(module: nn.Module, value: Tensor, queries: int, temperature: float) -> Past | None:
    """The exponentials of τ times the values of a growing cache, which are kept for the next call.

    Args:
        module: The attention module, during a call.
        value: V (b, h, k, d).
        queries: The number of tokens that this call has added.
        temperature: τ.

    Returns:
        None: there is no such cache, or the values spread too widely.
    """
    if torch.compiler.is_compiling():
        return None
    call = _CALLS.pop(module, None)
    if call is None or call.thread != threading.get_ident() or value.is_inference():
        return None
    past, kept = None, call.kept
    if kept is not None and kept.temperature == temperature and kept.past.tokens + queries == value.shape[-2]:
        past = kept.past.followed_by(value[..., -queries:, :] * temperature)
    past = past or Past.of(value * temperature)
    if past is not None:
        owner = weakref.ref(module)

        def forget(values: weakref.ref[Tensor]) -> None:
            module = owner()
            kept = None if module is None else _KEPT.get(module)
            if module is not None and kept is not None and kept.values is values:
                del _KEPT[module]

        _KEPT[module] = _Kept(past, temperature, weakref.ref(value, forget), value._version)
    return past

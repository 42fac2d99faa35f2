"""Exponentials kept beside the cache of a converted model: the same results, computed once."""

from __future__ import annotations

import copy
import gc
import inspect
import threading
import weakref

import pytest
import torch

from crossnorm import Variant, convert
from crossnorm.adapters.handle import Handle
from tests.adapters.adapter_models import ids, llama

pytest.importorskip("transformers")

from transformers import DynamicCache

from crossnorm.adapters import hf_cache
from crossnorm.functional.past import Past

LAYERS = 2


@pytest.fixture
def model():
    torch.manual_seed(2)
    return llama().eval()


@pytest.fixture
def computed(monkeypatch):
    """The numbers of tokens whose exponentials were computed at once."""
    lengths = []
    original = Past.of

    def noting(x):
        lengths.append(x.shape[-2])
        return original(x)

    monkeypatch.setattr(Past, "of", staticmethod(noting))
    return lengths


def step(model, tokens, cache):
    with torch.no_grad():
        name = "cache" if "cache" in inspect.signature(model.forward).parameters else "past_key_values"  # before 5.24
        return model(input_ids=tokens, use_cache=True, **{name: cache}).logits[:, -1:]


@pytest.mark.parametrize("name", ["convex", "matched", "centred", "laser", "signed", "attenuated"])
def test_generated_tokens_need_their_own_exponentials_only(model, computed, name):
    convert(model, Variant(name=name, alpha=0.6, temperature=1.0 if name == "attenuated" else 1.7))
    settings = {"max_new_tokens": 6, "min_new_tokens": 6, "do_sample": False, "attention_mask": torch.ones_like(ids())}
    settings |= {"output_logits": True, "return_dict_in_generate": True}
    with_cache, without = (model.generate(ids(), use_cache=use, **settings) for use in (True, False))
    for a, b in zip(with_cache.logits, without.logits, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-5)
    assert computed == ([] if name in ("signed", "attenuated") else [ids().shape[1] + 1] * LAYERS)


@pytest.mark.parametrize("change", ["none", "crop", "write", "reorder", "another"])
def test_a_cache_that_was_changed_is_read_again(model, computed, change):
    convert(model, Variant(name="matched", alpha=0.6))
    tokens, cache = ids(), DynamicCache(config=model.config)
    step(model, tokens, cache)
    step(model, tokens[:, :1], cache)
    step(model, tokens[:, 1:2], cache)
    if change == "crop":
        cache.crop(-1)
    elif change == "write":
        for layer in cache.layers:
            layer.values.mul_(2)
    elif change == "reorder":
        cache.batch_select_indices(torch.tensor([2, 0, 1]))
    elif change == "another":
        cache = DynamicCache(config=model.config)
        step(model, tokens.flip(-1), cache)
        step(model, tokens[:, :1], cache)
    before = [(layer.keys.clone(), layer.values.clone()) for layer in cache.layers]
    del computed[:]
    got = step(model, tokens[:, 2:3], cache)
    assert len(computed) == (0 if change in ("none", "another") else LAYERS)
    fresh = DynamicCache(config=model.config)
    for index, (keys, values) in enumerate(before):
        fresh.update(keys, values, index)
    hf_cache._KEPT.clear()
    torch.testing.assert_close(got, step(model, tokens[:, 2:3], fresh), rtol=0, atol=1e-5)


def test_what_is_kept_goes_with_the_cache(model):
    convert(model, Variant(name="matched", alpha=0.6))
    cache = DynamicCache(config=model.config)
    step(model, ids(), cache)
    step(model, ids()[:, :1], cache)
    assert len(hf_cache._KEPT) == LAYERS
    del cache
    gc.collect()
    assert len(hf_cache._KEPT) == 0


def test_variants_without_exponentials_keep_nothing(model):
    convert(model, Variant(name="signed", alpha=0.6))
    cache = DynamicCache(config=model.config)
    step(model, ids(), cache)
    step(model, ids()[:, :1], cache)
    assert len(hf_cache._KEPT) == 0


def test_a_cache_of_another_class_is_not_followed(model, computed):
    class Window(DynamicCache):
        def update(self, *arguments, **settings):
            super().update(*arguments, **settings)
            layer = self.layers[arguments[2]]
            layer.keys, layer.values = layer.keys[..., -4:, :], layer.values[..., -4:, :]
            return layer.keys, layer.values

    convert(model, Variant(name="matched", alpha=0.6))
    cache = Window(config=model.config)
    for i in range(7):
        step(model, ids()[:, i : i + 1], cache)
    assert not computed


def test_a_thread_uses_no_exponentials_of_another(model):
    """Two threads generate with one model: the first is held between the hook and the attention."""
    convert(model, Variant(name="matched", alpha=0.6))
    caches = [DynamicCache(config=model.config) for _ in range(2)]
    tokens = [ids(), ids().flip(-1)]
    for cache, words in zip(caches, tokens, strict=True):
        step(model, words, cache)
    step(model, ids()[:, :1], caches[0])
    held, go = threading.Event(), threading.Event()
    first = threading.current_thread()

    def hold(*_):
        if threading.current_thread() is not first and not held.is_set():
            held.set()
            go.wait(20)

    attention = next(module for module in model.modules() if module._forward_pre_hooks)
    attention.q_proj.register_forward_pre_hook(hold)
    found = []
    other = threading.Thread(target=lambda: found.append(step(model, ids()[:, 1:2], caches[0])))
    other.start()
    assert held.wait(20)
    step(model, ids()[:, :1], caches[1])
    step(model, ids()[:, 1:2], caches[1])
    with torch.no_grad():
        hf_cache._look(attention, (), {"cache": caches[1]})  # as a third token would begin
    go.set()
    other.join(20)
    fresh = DynamicCache(config=model.config)
    for words in (ids(), ids()[:, :1]):
        step(model, words, fresh)
    torch.testing.assert_close(found[0], step(model, ids()[:, 1:2], fresh), rtol=0, atol=1e-6)


def test_a_copy_is_followed_once_and_restored(model, computed):
    convert(model, Variant(name="matched", alpha=0.6))
    other = copy.deepcopy(model)
    Handle(other).restore()
    assert not any(module._forward_pre_hooks for module in other.modules())
    convert(other, Variant(name="matched", alpha=0.6))
    assert max(len(module._forward_pre_hooks) for module in other.modules()) == 1


def test_a_model_is_not_kept_alive_by_its_cache():
    model = llama().eval()
    convert(model, Variant(name="matched", alpha=0.6))
    cache = DynamicCache(config=model.config)
    step(model, ids(), cache)
    step(model, ids()[:, :1], cache)
    attention = weakref.ref(next(module for module in model.modules() if module._forward_pre_hooks))
    del model
    gc.collect()
    assert attention() is None
    assert len(cache.layers) == LAYERS  # the cache is still there


def test_a_restored_model_has_no_hooks(model):
    handle = convert(model, Variant(name="matched", alpha=0.6))
    hooked = [module for module in model.modules() if module._forward_pre_hooks]
    assert len(hooked) == LAYERS
    handle.restore()
    assert not any(module._forward_pre_hooks for module in model.modules())

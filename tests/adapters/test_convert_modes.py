"""Converted models under torch.compile, gradient checkpointing and torch's native fast path."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from crossnorm import Variant, convert
from tests.adapters.adapter_models import CASES, EVERY, bert, encoder, ids, like, llama, real

ZERO = Variant(name="convex", alpha=0.0)
nested = pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors:UserWarning")


class Counting:
    """A back end that runs graphs as they are and counts what it was given."""

    def __init__(self):
        self.graphs = 0

    def __call__(self, graph, inputs):
        self.graphs += 1
        return graph.forward


@pytest.fixture
def dynamo():
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")
@pytest.mark.parametrize("name", ["bert", "llama", "timm-vit", "torch-encoder", "cct"])
def test_a_compiled_model_is_compiled_anew_only_when_the_dose_leaves_or_returns_to_zero(name, dynamo):
    case, count = EVERY[name], Counting()
    model = case.model()
    plain = case.call(model, case.pads)
    handle = convert(model, ZERO)
    compiled = torch.compile(model, backend=count)

    def graphs(alpha):
        handle.alpha, before = alpha, count.graphs
        output = case.call(compiled, case.pads)
        assert torch.allclose(output, case.call(model, case.pads), atol=1e-5)
        return count.graphs - before, output

    first, output = graphs(0.0)
    assert first > 0
    assert torch.equal(output, plain)
    assert graphs(0.3)[0] > 0
    assert graphs(0.7)[0] == 0
    assert graphs((0.1,) * (case.sites - 1) + (0.9,))[0] == 0
    assert torch.equal(graphs(0.0)[1], plain)
    assert graphs(0.5)[0] == 0
    assert graphs(0.0)[0] == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "backend"), [("bert", "aot_eager"), ("timm-vit", "aot_eager"), ("torch-encoder", "inductor")]
)
def test_at_zero_compiled_code_has_the_models_own_bits(name, backend, dynamo):
    case = CASES[name]
    model = case.model()
    before = case.call(torch.compile(model, backend=backend), case.pads)
    torch._dynamo.reset()
    convert(model, ZERO)
    assert torch.equal(case.call(torch.compile(model, backend=backend), case.pads), before)


def checkpointed_gradients(model, reentrant):
    model.train()
    if reentrant is not None:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": reentrant})
    torch.manual_seed(3)
    outputs = model(input_ids=ids(), attention_mask=real(True).long())
    outputs[0].square().sum().backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.filterwarnings("ignore:`gradient_checkpointing_enable` is deprecated:FutureWarning")
@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad=True:UserWarning")
@pytest.mark.parametrize("reentrant", [False, True], ids=["saved", "reentrant"])
@pytest.mark.parametrize("build", [bert, llama], ids=["bert", "llama"])
@pytest.mark.parametrize("alpha", [0.0, 0.6, "learned"])
def test_gradient_checkpointing_changes_nothing(build, reentrant, alpha):
    found = []
    for checkpoint, converted in ((None, True), (reentrant, True), (reentrant, False)):
        torch.manual_seed(11)
        model = build()
        if converted and alpha == "learned":
            convert(model, "convex", learnable="layer")
        elif converted:
            convert(model, Variant(name="convex", alpha=alpha))
        found.append(checkpointed_gradients(model, checkpoint))
    without, beside, original = found
    assert without.keys() == beside.keys()
    assert all(torch.allclose(without[name], beside[name], atol=1e-5, rtol=1e-4) for name in without)
    assert any("crossnorm" in name for name in beside) == (alpha == "learned")
    if alpha == 0.0:
        assert all(torch.equal(beside[name], original[name]) for name in original)


@nested
@pytest.mark.parametrize("layers", [(0,), (1,), (0, 1)])
def test_the_native_fast_path_is_left_where_and_only_where_a_layer_mixes(layers):
    """Without gradients torch skips Python for whole layers, and packs padded batches into nested tensors."""
    torch.manual_seed(11)
    model = encoder().eval()
    x, hidden = like(model, torch.randn(3, 7, 22)), ~real(True)
    slow = {}
    with torch.no_grad():
        plain = model(x, src_key_padding_mask=hidden)
        handle = convert(model, Variant(name="convex", alpha=0.6, layers=layers))
        for pads in (True, False):
            mask = hidden if pads else None
            mixed = model(x, src_key_padding_mask=mask)
            with torch.enable_grad():
                slow[pads] = model(x, src_key_padding_mask=mask)
            assert torch.allclose(
                mixed[real(pads)] if pads else mixed, slow[pads][real(pads)] if pads else slow[pads], atol=1e-5
            )
        handle.alpha = 0.0
        assert torch.equal(model(x, src_key_padding_mask=hidden), plain)
    assert not torch.allclose(slow[True][~hidden], plain[~hidden], atol=1e-3)


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("averaged", [True, False])
def test_multihead_attention_gives_its_weights(batch_first, averaged):
    torch.manual_seed(1)
    model = nn.MultiheadAttention(22, 2, batch_first=batch_first).eval()
    x = torch.randn(3, 7, 22) if batch_first else torch.randn(7, 3, 22)
    masks = {
        "attn_mask": torch.zeros(7, 7).masked_fill(torch.ones(7, 7, dtype=torch.bool).triu(1), -torch.inf),
        "key_padding_mask": torch.zeros(3, 7),
    }
    alone = {"attn_mask": masks["attn_mask"]}
    settings = {"average_attn_weights": averaged}
    before, single = model(x, x, x, **masks, **settings), model(x[0], x[0], x[0], **settings)
    convert(model, Variant(name="convex", alpha=0.5))
    after, same = model(x, x, x, **masks, **settings), model(x, x, x, **alone, **settings)
    assert after[0].shape == before[0].shape
    assert torch.allclose(after[1], before[1], atol=1e-6)
    assert torch.allclose(after[0], same[0], atol=1e-6)
    one = model(x[0], x[0], x[0], **settings)
    assert [t.shape for t in one] == [t.shape for t in single]
    assert torch.allclose(one[1], single[1], atol=1e-6)


def test_masks_of_different_kinds_hide_the_same():
    torch.manual_seed(1)
    model = nn.MultiheadAttention(22, 2, batch_first=True).eval()
    convert(model, Variant(name="matched", alpha=0.5))
    x, causal, hidden = torch.randn(3, 7, 22), torch.ones(7, 7, dtype=torch.bool).triu(1), ~real(True)

    def added(mask):
        return torch.zeros(mask.shape).masked_fill(mask, -torch.inf)

    per_head = causal.expand(6, 7, 7)
    outputs = [
        model(x, x, x, attn_mask=a, key_padding_mask=b)[0]
        for a, b in ((causal, hidden), (added(causal), added(hidden)), (causal, added(hidden)), (per_head, hidden))
    ]
    for output in outputs[1:]:
        assert torch.allclose(output, outputs[0], atol=1e-6)

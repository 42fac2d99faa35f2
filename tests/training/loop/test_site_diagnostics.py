"""What is said of a site, against numpy loops over one model's values."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from crossnorm.functional import Variant, Visibility, mixed_share, observed, pool
from crossnorm.functional.weights import Explicit
from crossnorm.training.loop.site_diagnostics import linear_fit, site_diagnostics
from tests.training.training_cases import convex, member

IMAGES = torch.from_numpy(np.random.default_rng(3).standard_normal((5, 2, 7, 5))).float()


def look(variant):
    model = member(variant=variant).model.eval()
    return site_diagnostics(model, lambda: model(IMAGES))


def test_linear_fit_is_the_pooled_r_squared():
    draws = np.random.default_rng(1)
    x, y = draws.standard_normal((3, 7, 5)), draws.standard_normal((3, 7, 5))
    y = y + 2 * x
    residual = total = 0.0
    for b in range(3):
        for d in range(5):
            slope, offset = np.polyfit(x[b, :, d], y[b, :, d], 1)
            residual += ((y[b, :, d] - slope * x[b, :, d] - offset) ** 2).sum()
            total += ((y[b, :, d] - y[b, :, d].mean()) ** 2).sum()
    assert linear_fit(torch.from_numpy(x), torch.from_numpy(y)) == pytest.approx(1 - residual / total)
    assert linear_fit(torch.from_numpy(x), 3 - torch.from_numpy(x)) == pytest.approx(1)
    assert linear_fit(torch.from_numpy(x), torch.ones(3, 7, 5)) == 1


def test_share_is_that_of_the_norms():
    draws = np.random.default_rng(2)
    weights = draws.random((3, 2, 7))
    weights /= weights.sum(-1, keepdims=True)
    value = draws.standard_normal((3, 7, 5))
    softmax = np.exp(value) / np.exp(value).sum(1, keepdims=True)
    kept, mixed = (0.4 * np.linalg.norm(weights @ value), 0.6 * np.linalg.norm(weights @ softmax))
    share = mixed_share(
        Explicit(torch.from_numpy(weights)), torch.from_numpy(value), Visibility(), convex(0.6).mixing, 0.6
    )
    assert share == pytest.approx(mixed / (kept + mixed), rel=1e-6)


def test_hidden_tokens_are_not_looked_at():
    draws = torch.Generator().manual_seed(4)
    tokens, scores = torch.randn(2, 7, 5, generator=draws), torch.randn(2, 7, generator=draws)
    mask = torch.arange(7) < torch.tensor([[7], [4]])
    seen = []
    with observed(lambda *arguments: seen.append((arguments[1], mixed_share(*arguments)))):
        for content in (0.0, torch.nan):
            pool(tokens.masked_fill(~mask.unsqueeze(-1), content), scores, mask=mask, mixing=convex(0.6).mixing)
    (clean, share), (dirty, same) = seen
    assert torch.equal(clean, dirty)
    assert share == same > 0


def test_every_site_is_described():
    found = look(Variant(name="convex", alpha=0.5, site="both"))
    assert sorted(found) == sorted(
        f"{what}_{site}" for what in ("sd", "share", "r2") for site in ("attention0", "attention1", "pool")
    )
    assert all(value > 0 for value in found.values())


def test_where_nothing_acts_the_share_is_zero():
    assert {look(None)[f"share_{site}"] for site in ("attention0", "pool")} == {0.0}
    assert look(Variant(name="attenuated", alpha=0.5))["share_attention1"] == 0.0
    only_pool = look(Variant(name="convex", alpha=0.5, site="pool"))
    assert only_pool["share_attention0"] == 0.0
    assert only_pool["share_pool"] > 0


def test_sd_is_that_of_the_values():
    model = member().model.eval()
    seen = []
    with observed(lambda weights, value, *rest: seen.append(value)):
        model(IMAGES)
    assert len(seen) == 3
    assert look(None)["sd_attention1"] == pytest.approx(float(np.std(seen[1].detach().numpy(), ddof=1)), rel=1e-5)


def test_at_the_usual_initialization_the_softmax_is_nearly_linear():
    assert look(None)["r2_attention0"] > 0.9


def test_small_values_in_half_precision_are_no_less_linear():
    model = member(variant=convex(0.5)).model.eval()
    for name, parameter in model.named_parameters():
        if name.endswith("qkv.weight"):
            parameter.data[-len(parameter) // 3 :] *= 0.02
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = site_diagnostics(model, lambda: model(IMAGES))
    assert found["sd_attention0"] < 0.02
    assert found["r2_attention0"] > 0.9999

"""Dropout of attention weights: rate, scale, gradients, and the same draw in every type."""

from __future__ import annotations

import pytest
import torch
from scipy import stats

from crossnorm.functional.dropout import drop
from crossnorm.rng import addressed


def drawn(weights: torch.Tensor, probability: float, step: int = 0) -> torch.Tensor:
    with addressed(7, "dropout", step):
        return drop(weights, probability)


@pytest.mark.parametrize("probability", [0.1, 0.37, 0.9])
def test_each_entry_is_dropped_with_the_probability(probability: float) -> None:
    ones = torch.ones(13, 101, 211, dtype=torch.float64)
    out = drawn(ones, probability)
    dropped = int((out == 0).sum())
    assert stats.binomtest(dropped, ones.numel(), probability).pvalue > 1e-3
    # The four entries of a word, each on its own, and as if they knew nothing of each other.
    quarters = (out == 0).flatten()[: ones.numel() // 4 * 4].view(-1, 4).double()
    for part in quarters.T:
        assert stats.binomtest(int(part.sum()), len(part), probability).pvalue > 1e-3
    between = torch.corrcoef(quarters.T) - torch.eye(4)
    assert between.abs().max() < 4 / len(quarters) ** 0.5


@pytest.mark.parametrize("probability", [0.1, 0.25])
def test_what_is_kept_is_scaled_by_the_rest(probability: float) -> None:
    out = drawn(torch.full((7, 11, 13), 3.0, dtype=torch.float64), probability)
    share = round(probability * 65536) / 65536  # the nearest probability that 16 bits can have
    assert abs(share - probability) < 1e-5
    torch.testing.assert_close(out[out != 0], torch.full_like(out[out != 0], 3.0 / (1 - share)), rtol=1e-15, atol=0)


def test_every_floating_type_and_number_of_threads_drops_the_same() -> None:
    before = torch.get_num_threads()
    masks = []
    try:
        for dtype, threads in ((torch.float64, 1), (torch.float32, 2), (torch.bfloat16, 1)):
            torch.set_num_threads(threads)
            masks.append(drawn(torch.ones(31, 37, 41, dtype=dtype), 0.3) == 0)
    finally:
        torch.set_num_threads(before)
    assert torch.equal(masks[0], masks[1])
    assert torch.equal(masks[0], masks[2])
    assert not torch.equal(masks[0], drawn(torch.ones(31, 37, 41), 0.3, step=1) == 0)


def test_nothing_and_everything_can_be_dropped() -> None:
    weights = torch.randn(3, 5, 7)
    assert torch.equal(drawn(weights, 0.0), weights)
    assert torch.equal(drawn(weights, 1.0), torch.zeros(3, 5, 7))


def test_the_gradient_is_the_scaled_mask() -> None:
    weights = torch.randn(3, 5, 7, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda w: drawn(w, 0.3), (weights,))

"""Diagnostics of a variant at each site, computed from the values V of a probe batch."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from crossnorm.functional import Mixing, Visibility, mixed_share, observed
from crossnorm.functional.normalizers import softmax_over_tokens
from crossnorm.functional.weights import Weights
from crossnorm.models.site_alpha import site_alphas
from crossnorm.models.variant_sites import own_sites

__all__ = ["linear_fit", "site_diagnostics", "site_names"]


@torch.inference_mode()
def site_diagnostics(model: nn.Module, forward: Callable[[], object]) -> dict[str, float]:
    """``sd_SITE``, ``share_SITE`` and ``r2_SITE`` for the sites ``attention0``, ``attention1`` … and ``pool``.

    - `sd`: standard deviation of V.
    - `share`: see `crossnorm.functional.mixed_share`; 0 means that the variant has no effect.
    - `r2`: R² of S(V) on V, see `linear_fit`. Near 1, S(V) is nearly a linear map of V.

    A converted model at α = 0 calls the original function, which is not observed.

    Args:
        model: In evaluation mode.
        forward: Runs the model once on the probe batch.
    """
    found: dict[str, float] = {}
    names = iter(site_names(model).values())

    def observe(
        weights: Weights, value: Tensor, visible: Visibility, mixing: Mixing | None, alpha: float | Tensor
    ) -> None:
        site = next(names, None)
        if site is None:
            return  # layers that share weights: only the first pass is recorded
        found[f"sd_{site}"] = float(value.float().std())
        share = mixed_share(weights, value, visible, mixing, alpha)
        if share is not None:
            found[f"share_{site}"] = share
        temperature = 1.0 if mixing is None else mixing.temperature
        wide = value.float()  # in half precision, rounding would dominate the nonlinear part
        found[f"r2_{site}"] = linear_fit(
            wide, softmax_over_tokens(wide * temperature, Visibility(keys=visible.to_any(value.device)))
        )

    with observed(observe):
        forward()
    return found


def site_names(model: nn.Module) -> dict[str, str]:
    """Module path → ``attention0`` … or ``pool``, for every site of a crossnorm model or of a converted model."""
    paths = [site.path for site in own_sites(model)] or list(site_alphas(model))
    return {path: "pool" if "pool" in path else f"attention{i}" for i, path in enumerate(paths)}


def linear_fit(x: Tensor, y: Tensor) -> float:
    """R² of y on x over the tokens, pooled over examples and channels: Σ cov² / var(x) over Σ var(y); 1 for constant y.

    Args:
        x: (…, tokens, dim).
        y: Of the same shape.
    """
    x, y = (t.double() - t.double().mean(-2, keepdim=True) for t in (x, y))
    total = partial(torch.sum, dim=-2)
    explained = total(x * y).square() / total(x * x).clamp(min=1e-300)
    variance = float(total(y * y).sum())
    return float(explained.sum()) / variance if variance > 0 else 1.0

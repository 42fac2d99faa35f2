"""What a variant does at each site of a model: whether it could matter at all.

Looks at the values V of a fixed probe batch; draws nothing and changes nothing. Knows nothing of training.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from crossnorm.functional import Mixing, Visibility, mixed_share, observed
from crossnorm.functional.normalizers import softmax_over_tokens
from crossnorm.models.site_alpha import site_alphas
from crossnorm.models.variant_sites import own_sites

__all__ = ["linear_fit", "site_diagnostics", "site_names"]


@torch.inference_mode()
def site_diagnostics(model: nn.Module, forward: Callable[[], object]) -> dict[str, float]:
    """Per site the sd of V, the share of the mixed part, and R² of S(V) on V, under ``<what>_<site>``.

    Sites are ``attention0``, ``attention1`` … and ``pool``; those of a converted model at α = 0 are the library's own
    and not seen. `sd`: standard deviation of V. `share`: see
    `crossnorm.functional.mixed_share`; 0 says that the variant did nothing. `r2`: see `linear_fit`; near 1, S(V) is
    a linear map of V and tells the model little that is new.

    Args:
        model: In evaluation mode.
        forward: Runs the model once on the probe batch.
    """
    found: dict[str, float] = {}
    names = iter(site_names(model).values())

    def observe(
        weights: Tensor, value: Tensor, visible: Visibility, mixing: Mixing | None, alpha: float | Tensor
    ) -> None:
        site = next(names, None)
        if site is None:
            return  # layers that share their weights: only the first pass is looked at
        found[f"sd_{site}"] = float(value.float().std())
        share = mixed_share(weights, value, visible, mixing, alpha)
        if share is not None:
            found[f"share_{site}"] = share
        temperature = 1.0 if mixing is None else mixing.temperature
        wide = value.float()  # of a half-precision S(V) of small V the rounding would be what is not linear
        found[f"r2_{site}"] = linear_fit(
            wide, softmax_over_tokens(wide * temperature, Visibility(keys=visible.to_any()))
        )

    with observed(observe):
        forward()
    return found


def site_names(model: nn.Module) -> dict[str, str]:
    """Path → ``attention0`` … or ``pool``: every site of crossnorm's models; of other models those converted."""
    paths = [site.path for site in own_sites(model)] or list(site_alphas(model))
    return {path: "pool" if "pool" in path else f"attention{i}" for i, path in enumerate(paths)}


def linear_fit(x: Tensor, y: Tensor) -> float:
    """R² of y on x over the tokens, per example and channel, pooled: Σ cov² / var(x) over Σ var(y); 1 if y is constant.

    Args:
        x: (…, tokens, dim).
        y: Of the same shape.
    """
    x, y = (t.double() - t.double().mean(-2, keepdim=True) for t in (x, y))
    mean = partial(torch.sum, dim=-2)
    explained = mean(x * y).square() / mean(x * x).clamp(min=1e-300)
    total = float(mean(y * y).sum())
    return float(explained.sum()) / total if total > 0 else 1.0

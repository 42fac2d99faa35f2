"""crossnorm's own models, whose layers read their `SiteAlpha` themselves."""

from __future__ import annotations

from torch import nn

from crossnorm.adapters.base import Adapter
from crossnorm.models.site_alpha import ATTRIBUTE
from crossnorm.models.variant_sites import own_sites

__all__ = ["ADAPTER"]


def _undo(model: nn.Module) -> None:
    for site in own_sites(model):
        site.module.register_module(ATTRIBUTE, None)


ADAPTER = Adapter(find=own_sites, undo=_undo)

"""Pure functions: attention, sequence pooling, and the variants that change their values.

Axes: b batch, h heads, q queries, k tokens (keys and values), e channels of query and key, d channels of a value.
Names are loaded on first use, so that listing the variants does not import torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from crossnorm.functional._attention import attend as attend
    from crossnorm.functional._attention import attend_with_weights as attend_with_weights
    from crossnorm.functional._attention import attention as attention
    from crossnorm.functional.masks import Visibility as Visibility
    from crossnorm.functional.pooling import pool as pool
    from crossnorm.functional.pooling import sequence_pool as sequence_pool
    from crossnorm.functional.user_variants import per_query as per_query
    from crossnorm.functional.variant_registry import VARIANTS as VARIANTS
    from crossnorm.functional.variants import SITES as SITES
    from crossnorm.functional.variants import Mixing as Mixing
    from crossnorm.functional.variants import Variant as Variant
    from crossnorm.functional.variants import as_variant as as_variant
    from crossnorm.functional.variants import mix as mix
    from crossnorm.functional.variants import mixed_share as mixed_share
    from crossnorm.functional.variants import observed as observed

_HOME = {
    "Mixing": "variants",
    "SITES": "variants",
    "VARIANTS": "variant_registry",
    "Variant": "variants",
    "Visibility": "masks",
    "as_variant": "variants",
    "attend": "_attention",
    "attend_with_weights": "_attention",
    "attention": "_attention",
    "mix": "variants",
    "mixed_share": "variants",
    "observed": "variants",
    "per_query": "user_variants",
    "pool": "pooling",
    "sequence_pool": "pooling",
}

__all__ = [
    "SITES",
    "VARIANTS",
    "Mixing",
    "Variant",
    "Visibility",
    "as_variant",
    "attend",
    "attend_with_weights",
    "attention",
    "mix",
    "mixed_share",
    "observed",
    "per_query",
    "pool",
    "sequence_pool",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value

"""Pure functions: attention, sequence pooling, and the variants that change their values.

Axes: b batch, h heads, q queries, k tokens (keys and values), e channels of query and key, d channels of a value.
Names are loaded on first use, so that listing the variants does not import torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from crossnorm._lazy import lazy

if TYPE_CHECKING:
    from crossnorm.functional._attention import attend as attend
    from crossnorm.functional._attention import attend_with_weights as attend_with_weights
    from crossnorm.functional._attention import attention as attention
    from crossnorm.functional.masks import Visibility as Visibility
    from crossnorm.functional.mixing import mix as mix
    from crossnorm.functional.mixing import mixed_share as mixed_share
    from crossnorm.functional.mixing import observed as observed
    from crossnorm.functional.pooling import pool as pool
    from crossnorm.functional.pooling import sequence_pool as sequence_pool
    from crossnorm.functional.user_variants import per_query as per_query
    from crossnorm.functional.variant import SITES as SITES
    from crossnorm.functional.variant import Mixing as Mixing
    from crossnorm.functional.variant import Variant as Variant
    from crossnorm.functional.variant import as_variant as as_variant
    from crossnorm.functional.variant_registry import VARIANTS as VARIANTS

_HOME = {
    "Mixing": "crossnorm.functional.variant",
    "SITES": "crossnorm.functional.variant",
    "VARIANTS": "crossnorm.functional.variant_registry",
    "Variant": "crossnorm.functional.variant",
    "Visibility": "crossnorm.functional.masks",
    "as_variant": "crossnorm.functional.variant",
    "attend": "crossnorm.functional._attention",
    "attend_with_weights": "crossnorm.functional._attention",
    "attention": "crossnorm.functional._attention",
    "mix": "crossnorm.functional.mixing",
    "mixed_share": "crossnorm.functional.mixing",
    "observed": "crossnorm.functional.mixing",
    "per_query": "crossnorm.functional.user_variants",
    "pool": "crossnorm.functional.pooling",
    "sequence_pool": "crossnorm.functional.pooling",
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


__getattr__ = lazy(__name__, _HOME)

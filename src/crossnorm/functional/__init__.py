"""Pure functions: normalisers along one named axis, attention, sequence pooling, the catalogue of variants.

Axis letters, here and everywhere: b batch, h heads, q queries, k tokens (keys and values), e channels of query and
key, d channels of a value. Knows nothing of parameters, training or studies.
"""

from crossnorm.functional.attention import attend, attend_with_weights, attention
from crossnorm.functional.catalogue import VARIANTS
from crossnorm.functional.masks import Visibility
from crossnorm.functional.own import per_query
from crossnorm.functional.pooling import pool, sequence_pool
from crossnorm.functional.variants import SITES, Variant, as_variant, mix, mixed_share, observed

__all__ = [
    "SITES",
    "VARIANTS",
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

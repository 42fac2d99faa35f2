"""The family of comparisons that a study declares: Bonferroni's correction counts them."""

from __future__ import annotations

from crossnorm.stats.runs.run_table import Table

__all__ = ["family_size"]


def family_size(table: Table) -> int:
    """Number of comparisons: arms other than the baseline, plus contrasts with other arms (at least 1)."""
    return max(1, len(table.arms) - 1 + len(table.contrasts))

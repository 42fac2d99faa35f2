"""Cost and power of a study before it runs: stored or pilot runs, hours, disk, detectable differences.

The power formulas are in ``stats.power``.
"""

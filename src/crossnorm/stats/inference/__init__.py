"""Paired differences: intervals, sequential tests, bands, trend, divergence, when to stop.

The verdict that joins them is in ``stats.verdicts``.
"""

"""The verdict on a table of runs: comparisons, the declared answer, its sentence, robustness checks.

What a reader sees of it is in ``report``.
"""

"""Statistical power before and after a study, and false-positive rates of A/A arms.

Costs in hours are in ``study.planning``.
"""

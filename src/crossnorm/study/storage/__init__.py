"""A study on disk: its folder, the folder of each run, locks, mirror, and the table of results.

Atomic writes are in ``crossnorm.io``.
"""

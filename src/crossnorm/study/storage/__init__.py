"""A study on disk: its folder, the folder of each run, locks, mirror, the table of results, the runs still needed.

Atomic writes are in ``crossnorm.io``.
"""

"""The machine: devices, process memory, distributed training, global random state.

Addressed random numbers are in ``crossnorm.rng``.
"""

"""What depends on the machine: devices, process memory, distributed training, global random state.

The addressed random numbers are in ``crossnorm.rng``.
"""

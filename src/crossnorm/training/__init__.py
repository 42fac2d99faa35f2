"""Training: recipes, schedules, the training loop, evaluation, checkpoints.

A cohort is a list of members (runs) of one seed that train on the same batches.
"""

"""Training: recipes, schedules, the loop over a cohort, evaluation, checkpoints.

Knows nothing of studies, arms or verdicts: a cohort is a list of members of one seed that see the same batches.
"""

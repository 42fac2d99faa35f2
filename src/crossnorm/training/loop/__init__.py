"""The training loop of a cohort: batches, losses, steps, evaluation and site diagnostics.

The settings of a run are in ``training.recipe``.
"""

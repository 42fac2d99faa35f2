"""The training loop: runs of one seed in lock step, their batches, losses, diagnostics and evaluation.

The settings of a run are in ``training.recipe``.
"""

"""Recipes, that is all settings of training, and the schedules of learning rate and α.

The optimizers are in ``training.optim``.
"""

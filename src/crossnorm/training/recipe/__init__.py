"""Recipes (all settings of training), and the schedules of the learning rate and of α.

The optimizers are in ``training.optim``.
"""

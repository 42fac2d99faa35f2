"""Optimizers: AdamW and Muon, built from a recipe.

Schedules of the learning rate are in ``training.recipe``.
"""

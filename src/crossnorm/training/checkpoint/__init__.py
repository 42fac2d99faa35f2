"""Checkpoints: nested state as tensors and JSON, and the file format. Nothing is pickled.

Their location in a study's folder is set in ``study.storage``.
"""

"""Resume points: nested state as tensors and JSON, and the file format. Nothing is pickled.

Where a study keeps them is in ``study.storage``.
"""

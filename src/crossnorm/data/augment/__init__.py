"""Augmentation of whole uint8 batches: flips, crops, AutoAugment, RandAugment, mixup and CutMix.

Which task uses which augmentation is set in ``data.task_registry``.
"""

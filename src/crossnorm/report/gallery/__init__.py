"""The gallery of ``crossnorm picture``: products of images as matrices, and attention heads.

Figures of studies are in ``report.figures``.
"""

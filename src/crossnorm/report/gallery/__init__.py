"""The gallery of ``crossnorm picture``: images as matrices, normalised and multiplied, and attention heads.

Figures of studies are in ``report.figures``.
"""

"""The audit of a study: are stored runs bit-identical when repeated, and how often do A/A arms differ?

The false-positive rates are computed in ``stats.aa_false_positives``.
"""

"""Studies: the study file, its plan of runs and cohorts, the folder on disk, and the execution of the runs.

The statistics are in ``stats``, figures and pages in ``report``.
"""

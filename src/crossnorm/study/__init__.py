"""Studies: the study file, its plan of runs and cohorts, the folder on disk, and who executes the runs.

Knows nothing of estimates or pictures: what comes out is a folder of learning curves.
"""

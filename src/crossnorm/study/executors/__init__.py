"""Execute runs: in worker processes on this machine or on a Ray cluster, with retries of crashed runs.

What one run does is in ``study.workload``.
"""

"""Who carries out the runs: worker processes on this machine, or a Ray cluster; and how crashed runs are retried.

What one run does is in ``study.workload``.
"""

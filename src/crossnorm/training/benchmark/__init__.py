"""Training and evaluation speed on this machine, and the overhead of each variant, on random data.

Longer comparisons are scripts in benchmarks/.
"""

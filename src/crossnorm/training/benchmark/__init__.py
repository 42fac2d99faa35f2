"""How fast this machine trains: throughput, overhead of the variants, repeated timings.

Longer comparisons are scripts in benchmarks/.
"""

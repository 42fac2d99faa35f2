"""Terminal summaries of verdicts, plans, audits and benchmarks, as rich renderables.

The commands that print them are in ``cli``.
"""

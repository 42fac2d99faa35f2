"""Summaries for the terminal: verdict, plan, audit and benchmark.

The commands that print them are in ``cli``.
"""

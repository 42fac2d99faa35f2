"""The study file: its schema, the built-in studies, and the plan of arms, seeds and cohorts made from it.

Nothing here reads data or trains.
"""

"""The table of runs that all statistics read: from records or a study, with summaries of its curves.

How a study's folder becomes a table is in ``study.storage.results_table``.
"""

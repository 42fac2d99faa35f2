"""HTML: the one-file report, the live page and its server, and what a notebook displays.

The templates are in ``report/templates``.
"""

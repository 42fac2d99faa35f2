"""The report as HTML: the one-file page, the live page with its server, and notebook fragments.

Templates are in ``report/templates``.
"""

"""Output while a study runs: progress bar, time left, status file, trackers, messages.

The live page that reads the status file is in ``report.html``.
"""

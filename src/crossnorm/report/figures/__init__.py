"""matplotlib figures of a study: learning curves, trend over α, learned α, confusion matrix, and their style.

The interactive charts of the page are in ``report.html``.
"""

"""Images from class folders or zip files: listed, decoded, and cut to size.

The images that libraries bring along are in ``data.builtin_datasets``.
"""

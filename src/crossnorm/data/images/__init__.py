"""Images from class folders or zip files: listing, decoding, cropping.

Data sets of installed libraries are in ``data.builtin_datasets``.
"""

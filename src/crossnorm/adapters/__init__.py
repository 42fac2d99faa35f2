"""`convert` puts a variant into a model of any library and returns a handle that sets α.

One adapter each for Hugging Face, timm, torch.nn and crossnorm's own models, loaded only if its library is.
"""

from crossnorm.adapters.conversion import convert
from crossnorm.adapters.handle import Handle, find_handle

__all__ = ["Handle", "convert", "find_handle"]

"""Models of other libraries: `convert` puts a variant into them and gives back a handle that turns α.

Knows Hugging Face, timm, torch.nn and crossnorm's own models, and imports none of the first two: an adapter is
loaded when its library already is. Knows nothing of data or training.
"""

from crossnorm.adapters.conversion import convert
from crossnorm.adapters.handle import Handle

__all__ = ["Handle", "convert"]

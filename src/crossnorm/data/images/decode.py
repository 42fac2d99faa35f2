"""An image file as a Pillow image, grey or RGB. Knows nothing of where they come from."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from typing import TYPE_CHECKING

from crossnorm.errors import BadInput

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["decoded"]

_GREY = ("1", "L", "LA")
_COLOUR = ("P", "PA", "RGB", "RGBA", "CMYK", "YCbCr")


def decoded(read: Callable[[], bytes], where: str) -> Image:
    """The image, of mode "L" if it is grey, else "RGB" (a transparency channel is dropped).

    Args:
        read: Gives the bytes of the file; whatever it raises counts as damage too.
        where: Names it in an error.

    Raises:
        BadInput: Not an image, or one of more than 8 bits per channel.
    """
    from PIL import Image

    try:
        image: Image.Image = Image.open(BytesIO(read()))
        image.load()
    except Exception as error:  # decoders raise anything on damaged files
        found = f"a file that Pillow cannot read ({type(error).__name__})"
        raise BadInput(where, "an image", found) from None
    if image.mode not in (*_GREY, *_COLOUR):
        raise BadInput(where, "8 bits per channel, grey or colour", f"an image of mode {image.mode}")
    if image.mode in ("P", "PA"):
        image = image.convert("RGBA")  # first: a palette may carry transparency
    return image.convert("L" if image.mode in _GREY else "RGB")

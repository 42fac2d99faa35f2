"""Decode an image file to a Pillow image, gray or RGB."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from typing import TYPE_CHECKING

from crossnorm.errors import BadInput

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["decoded"]

_GRAY = ("1", "L", "LA")
_FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")  # others start programs, such as Ghostscript for EPS
_MOST_PIXELS = 89_478_485  # Pillow warns from here on
_LONGEST_SIDE = 65_535  # as in JPEG
_COLOR = ("P", "PA", "RGB", "RGBA", "CMYK", "YCbCr")


def decoded(read: Callable[[], bytes], where: str) -> Image:
    """The image, in mode "L" if it is gray, else "RGB"; transparency is dropped.

    Args:
        read: Returns the bytes of the file. Any exception means a damaged file.
        where: Names the file in errors.

    Raises:
        BadInput: Not an image of a known format, whatever the file is called; too many pixels; or more than 8 bits per
            channel.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        image: Image.Image = Image.open(BytesIO(read()), formats=_FORMATS)
        if image.width * image.height > _MOST_PIXELS:
            raise Image.DecompressionBombError
        if max(image.size) > _LONGEST_SIDE:
            raise BadInput(where, f"sides of at most {_LONGEST_SIDE} pixels", f"{image.width} × {image.height}")
        image.load()
    except BadInput:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise BadInput(where, f"at most {_MOST_PIXELS / 1e6:.0f} million pixels", "more", "Scale it down.") from None
    except UnidentifiedImageError:
        raise BadInput(where, f"an image ({', '.join(_FORMATS)})", "another file") from None
    except Exception as error:  # decoders raise many types on damaged files
        found = f"a file that Pillow cannot read ({type(error).__name__})"
        raise BadInput(where, "an image", found) from None
    if image.mode not in (*_GRAY, *_COLOR):
        raise BadInput(where, "8 bits per channel, gray or color", f"an image of mode {image.mode}")
    if image.mode in ("P", "PA"):
        image = image.convert("RGBA")  # a palette may have transparency
    return image.convert("L" if image.mode in _GRAY else "RGB")

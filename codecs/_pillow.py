"""What the codecs on Pillow share: clean pixels in, clear errors out."""

from __future__ import annotations

import struct
import warnings
from io import BytesIO

import numpy as np
from PIL import Image as PILImage

from bench.codec import Scalar
from bench.errors import DecodeError, EncodeError
from bench.image import MAX_PIXELS, Image


def encode_pillow(image: Image, format_name: str, *, limit: int, **options: Scalar) -> bytes:
    """Return ``image`` as a file of ``format_name``.

    The Pillow image is made from the array alone, so no profile, EXIF block or comment of the
    source can reach the file.

    Parameters
    ----------
    image
        uint8 RGB (H, W, 3).
    format_name
        Pillow's name of the format.
    limit
        The longest side that the format holds, in pixels.
    options
        Passed to Pillow's ``save``.

    Raises
    ------
    EncodeError
        If the image is larger than the format allows, or the library fails.
    """
    height, width = image.shape[:2]
    if max(height, width) > limit:
        raise EncodeError(
            f"{format_name} holds at most {limit} pixels a side, found {width}x{height}",
            "Crop the image, or leave this codec out.",
        )
    buffer = BytesIO()
    try:
        PILImage.fromarray(image).save(buffer, format_name, **options)
    except (OSError, ValueError, RuntimeError, MemoryError) as error:
        raise EncodeError(f"{format_name} encoder failed: {error}") from error
    return buffer.getvalue()


def decode_pillow(data: bytes, format_name: str) -> Image:
    """Return the pixels of a file of ``format_name``, uint8 RGB (H, W, 3).

    Raises
    ------
    DecodeError
        If the data is of another format, damaged, truncated or absurdly large.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            opened = PILImage.open(BytesIO(data), formats=[format_name])
            width, height = opened.size
            if width * height > MAX_PIXELS:
                raise DecodeError(f"{format_name} header claims {width}x{height} pixels")
            return np.array(opened.convert("RGB"))
    except (
        OSError,
        SyntaxError,
        ValueError,
        RuntimeError,
        EOFError,
        IndexError,
        MemoryError,
        struct.error,
        PILImage.DecompressionBombError,
    ) as error:
        raise DecodeError(
            f"not a readable {format_name} file ({error})", "The file is damaged or truncated."
        ) from error

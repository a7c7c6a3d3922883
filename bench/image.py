"""The one image type: uint8 RGB of shape (H, W, 3), C-contiguous. Load, save, check."""

from __future__ import annotations

import hashlib
import re
import stat
import struct
import warnings
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bench.errors import ImageError, OutputError
from bench.files import write_atomically

if TYPE_CHECKING:
    from PIL import Image as PILImage

Image = NDArray[np.uint8]

MAX_PIXELS = 178_956_970
"""A larger image is refused before its pixels are allocated: Pillow's own limit, 537 MB as RGB."""

FORMATS = ("PNG", "PPM", "BMP", "TIFF", "JPEG", "WEBP", "GIF")
"""What ``load`` reads, by Pillow's names. PPM covers PGM and PBM."""

_DEEP_MODES = ("I", "F", "I;16", "I;16B", "I;16L", "I;16N")
_ALPHA_MODES = ("RGBA", "LA", "PA", "La", "RGBa")
_LOSSLESS = {".png": "PNG", ".ppm": "PPM", ".bmp": "BMP", ".tif": "TIFF", ".tiff": "TIFF"}


def check(image: Image) -> Image:
    """Return ``image`` if it is uint8 RGB of shape (H, W, 3) with at least one pixel.

    Raises
    ------
    ImageError
        If it is anything else.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        raise ImageError(
            f"not an image: wanted uint8 of shape (H, W, 3), found {image.dtype} of {image.shape}"
        )
    return np.ascontiguousarray(image)


def pixels_sha256(image: Image) -> str:
    """Return the sha256 of the row-major RGB bytes (the shape is not part of it)."""
    return hashlib.sha256(np.ascontiguousarray(image).data).hexdigest()


def load(path: Path | str) -> Image:
    """Return the pixels of an 8-bit RGB, gray or palette file as uint8 RGB (H, W, 3).

    Gray and palette files, and an alpha channel that is opaque throughout, carry the same
    picture as RGB and are converted. Deeper, transparent, animated and CMYK files do not, and are
    refused. ICC profile, gamma (PNG ``gAMA``) and EXIF orientation are ignored: the suite measures
    sample values as they are stored, row by row, which is what published numbers do. A photo
    that a viewer turns upright by its EXIF tag is therefore measured as the sensor saw it.

    Raises
    ------
    ImageError
        If the file is missing, damaged, not an image, or would lose information as 8-bit RGB.
    """
    from PIL import Image as PILImage
    from PIL import UnidentifiedImageError

    path = Path(path)
    _check_file(path)
    with warnings.catch_warnings():
        # Odd metadata does not concern us, and the size is checked below.
        warnings.simplefilter("ignore")
        try:
            with path.open("rb") as file, PILImage.open(file, formats=FORMATS) as opened:
                return _to_rgb(opened, path)
        except UnidentifiedImageError:
            raise ImageError(
                f"{path} is not an image that the suite reads ({', '.join(FORMATS)})",
                "Convert it to PNG.",
            ) from None
        except PILImage.DecompressionBombError:
            raise _too_large(path, "more") from None
        except MemoryError:
            raise ImageError(f"{path} does not fit into memory", "Crop it.") from None
        except _DAMAGE as error:
            if isinstance(error, OSError) and error.errno:
                raise _cannot_read(path, error) from error
            raise ImageError(
                f"{path} is damaged or truncated ({error})", "Fetch or convert it again."
            ) from error


# What Pillow's readers let through on damaged files. Flipping and cutting bytes of 16 files
# showed the first four; the others are what their code can raise.
_DAMAGE = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    EOFError,
    KeyError,
    IndexError,
    OverflowError,
    RuntimeError,
    struct.error,
    zlib.error,
)


def _check_file(path: Path) -> None:
    """Raise ImageError unless ``path`` is a regular file; reading a pipe could hang."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        raise ImageError(f"{path}: no such file", "Check the path.") from None
    except (OSError, ValueError) as error:
        raise _cannot_read(path, error) from error
    if stat.S_ISDIR(mode):
        raise ImageError(
            f"{path} is a folder, wanted an image",
            f"To measure a folder: bench all --dataset folder:{path}",
        )
    if not stat.S_ISREG(mode):
        raise ImageError(f"{path} is not a regular file", "Save the image to a file first.")


def _cannot_read(path: Path, error: Exception) -> ImageError:
    told = getattr(error, "strerror", None) or error
    return ImageError(f"cannot read {path}: {told}", "Check the path and its permissions.")


def _too_large(path: Path, found: str) -> ImageError:
    return ImageError(
        f"{path} is too large: at most {MAX_PIXELS} pixels, found {found}", "Crop it."
    )


def _to_rgb(opened: PILImage.Image, path: Path) -> Image:
    """Convert an opened Pillow image, refusing what 8-bit RGB cannot hold."""
    width, height = opened.size
    if width * height > MAX_PIXELS:
        raise _too_large(path, f"{width}x{height}")
    mode = opened.mode
    if mode in _DEEP_MODES or _bits(opened) > 8:
        raise ImageError(
            f"{path} has more than 8 bits a sample; the suite measures 8-bit RGB",
            "Convert it to 8 bits first, so that the rounding is yours.",
        )
    frames = getattr(opened, "n_frames", 1)
    # The further pictures of an MPO, a camera's JPEG, are previews and depth maps.
    if frames > 1 and opened.format != "MPO":
        raise ImageError(f"{path} has {frames} pictures, wanted one", "Save one of them as PNG.")
    if mode in ("CMYK", "LAB", "YCbCr", "HSV"):
        raise ImageError(
            f"{path} is {mode}, wanted RGB or gray",
            "Convert it to RGB with its own colour profile.",
        )
    if mode in _ALPHA_MODES or "transparency" in opened.info:
        rgba = np.asarray(opened.convert("RGBA"))
        if (rgba[..., 3] != 255).any():
            raise ImageError(
                f"{path} has transparent pixels; no codec here carries alpha",
                "Flatten it on a background first.",
            )
        return np.ascontiguousarray(rgba[..., :3])
    # convert() copies even what is RGB already.
    return check(np.array(opened if mode == "RGB" else opened.convert("RGB")))


def _bits(opened: PILImage.Image) -> int:
    """Return the bits a sample of the file, which Pillow silently cuts to 8 where it is RGB."""
    if opened.format == "TIFF":
        tags: Mapping[int, Any] = getattr(opened, "tag_v2", {})
        return int(np.max(tags.get(258, 1)))  # BitsPerSample
    words = [str(getattr(tile, "args", tile[-1])) for tile in getattr(opened, "tile", ())]
    if opened.format == "PPM":  # ("RGB", largest sample)
        numbers = [int(n) for word in words for n in re.findall(r"\b\d+\b", word)]
        return max(numbers, default=255).bit_length()
    return 16 if opened.format == "PNG" and any(";16" in word for word in words) else 8


def save(image: Image, path: Path | str) -> None:
    """Write ``image`` losslessly; the suffix names the format (PNG, PPM, BMP or TIFF).

    The file appears whole or not at all.

    Raises
    ------
    OutputError
        If the suffix is lossy or unknown, or the file cannot be written.
    """
    from io import BytesIO

    from PIL import Image as PILImage

    path = Path(path)
    if path.suffix.lower() not in _LOSSLESS:
        raise OutputError(
            f"{path}: wanted a lossless suffix ({', '.join(_LOSSLESS)}), found {path.suffix!r}",
            "Name the output .png.",
        )
    buffer = BytesIO()
    PILImage.fromarray(check(image)).save(buffer, _LOSSLESS[path.suffix.lower()])
    write_atomically(path, buffer.getvalue())

"""The one image type: uint8 RGB of shape (H, W, 3), C-contiguous. Load, save, check."""

from __future__ import annotations

import hashlib
import re
import stat
import struct
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bench.errors import ImageError, OutputError
from bench.files import write_atomically
from bench.image import limits
from bench.image.limits import (
    MAX_MEGAPIXELS,
    MAX_PIXELS,
    at_most,
    jpeg_problem,
    max_pixels,
    pillow_limit,
    size_problem,
    webp_problem,
)

if TYPE_CHECKING:
    from PIL import Image as PILImage

__all__ = [
    "FORMATS",
    "MAX_MEGAPIXELS",
    "MAX_PIXELS",
    "Image",
    "at_most",
    "check",
    "check_suffix",
    "jpeg_problem",
    "load",
    "max_pixels",
    "pillow_limit",
    "pixels_sha256",
    "save",
    "size_problem",
    "webp_problem",
]

Image = NDArray[np.uint8]

FORMATS = ("PNG", "PPM", "BMP", "TIFF", "JPEG", "WEBP", "GIF")
"""What ``load`` reads, by Pillow's names. PPM covers PGM and PBM."""

_DEEP_MODES = ("I", "F", "I;16", "I;16B", "I;16L", "I;16N")
_ALPHA_MODES = ("RGBA", "LA", "PA", "RGBa")
_PNG_LEVEL = 3
"""Of zlib: Pillow's 6 takes three times as long for a photograph, whose file is as large then."""

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


def frozen(image: Image) -> Image:
    """Return a copy that nobody can write to by way of numpy, whatever flag is set on it."""
    return np.ndarray(image.shape, np.uint8, image.tobytes())


def is_frozen(image: Image) -> bool:
    """Return whether an image is such that nobody can write to it by way of numpy."""
    if image.flags.writeable or image.base is None or isinstance(image.base, np.ndarray):
        return False
    try:
        return memoryview(image.base).readonly
    except TypeError:
        return False


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
    with pillow_limit():  # odd metadata does not concern us
        try:
            with path.open("rb") as file:
                _check_content(file, path)
                with PILImage.open(file, formats=FORMATS) as opened:
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


def _check_content(file: IO[bytes], path: Path) -> None:
    """Refuse what Pillow would believe: a PNG's wrong checksums, sizes that a file cannot fill."""
    problem = limits.content_problem(file)
    if problem == limits.DEEP:
        raise _too_deep(path)
    if problem.startswith(limits.CLAIMS):
        raise _too_large(path, "more")
    if problem:
        raise ImageError(f"{path} is damaged or truncated ({problem})", "Fetch it again.")


def _too_deep(path: Path) -> ImageError:
    return ImageError(
        f"{path} has more than 8 bits a sample; the suite measures 8-bit RGB",
        "Convert it to 8 bits first, so that the rounding is yours.",
    )


def _cannot_read(path: Path, error: Exception) -> ImageError:
    reason = getattr(error, "strerror", None) or error
    return ImageError(f"cannot read {path}: {reason}", "Check the path and its permissions.")


def _too_large(path: Path, found: str) -> ImageError:
    return ImageError(
        f"{path} is too large: at most {max_pixels()} pixels, found {found}",
        "Crop it, or raise bench --max-megapixels.",
    )


def _to_rgb(opened: PILImage.Image, path: Path) -> Image:
    """Convert an opened Pillow image, refusing what 8-bit RGB cannot hold."""
    width, height = opened.size
    if width * height > max_pixels():
        raise _too_large(path, f"{width}x{height}")
    mode = opened.mode
    if mode in _DEEP_MODES or _bits(opened) > 8:
        raise _too_deep(path)
    frames = getattr(opened, "n_frames", 1)
    # The further pictures of an MPO, a camera's JPEG, are previews and depth maps.
    if frames > 1 and opened.format != "MPO":
        raise ImageError(f"{path} has {frames} pictures, wanted one", "Save one of them as PNG.")
    if mode in ("CMYK", "LAB", "YCbCr", "HSV"):
        raise ImageError(
            f"{path} is {mode}, wanted RGB or gray",
            "Convert it to RGB with its own colour profile.",
        )
    if mode == "La":
        raise ImageError(
            f"{path} is gray with premultiplied alpha, which is not read",
            "Flatten it on a background first.",
        )
    if mode in _ALPHA_MODES or "transparency" in opened.info:
        if _transparent(opened):
            raise ImageError(
                f"{path} has transparent pixels; no codec here carries alpha",
                "Flatten it on a background first.",
            )
        if mode in ("1", "L", "RGB"):
            opened.info.pop("transparency", None)  # a value that no pixel has
        else:
            opened = opened.convert("RGBA")
    # convert() copies even what is RGB already.
    return check(np.array(opened if mode == "RGB" else opened.convert("RGB")))


def _transparent(opened: PILImage.Image) -> bool:
    """Return whether any pixel is; Pillow compares shallow gray after scaling it, key unscaled."""
    key = opened.info.get("transparency")
    if opened.mode not in ("1", "L", "RGB") or key is None or isinstance(key, bytes):
        return bool((np.asarray(opened.convert("RGBA"))[..., 3] != 255).any())
    # A key has 16 bits, of which those count that a sample has (PNG, 11.3.2.1).
    top = 255
    if opened.format == "PNG" and opened.mode != "RGB":
        top = {"1": 1, "L;2": 3, "L;4": 15}.get(" ".join(_raw_modes(opened)), 255)
    keys = np.array(key) & top
    samples = np.asarray(opened.convert("L") if opened.mode == "1" else opened)
    hits = samples == keys * (255 // top)
    return bool((hits.all(axis=-1) if opened.mode == "RGB" else hits).any())


def _bits(opened: PILImage.Image) -> int:
    """Return the bits a sample of the file, which Pillow silently cuts to 8 where it is RGB."""
    if opened.format == "TIFF":
        tags: Mapping[int, Any] = getattr(opened, "tag_v2", {})
        return int(np.max(tags.get(258, 1)))  # BitsPerSample
    words = _raw_modes(opened)
    if opened.format == "PPM":  # ("RGB", largest sample)
        numbers = [int(n) for word in words for n in re.findall(r"\b\d+\b", word)]
        return max(numbers, default=255).bit_length()
    return 16 if opened.format == "PNG" and any(";16" in word for word in words) else 8


def _raw_modes(opened: PILImage.Image) -> list[str]:
    """Return how the samples of each tile are stored, in Pillow's words."""
    return [str(getattr(tile, "args", tile[-1])) for tile in getattr(opened, "tile", ())]


def check_suffix(path: Path) -> None:
    """Raise OutputError unless the suffix names a lossless format that ``save`` writes."""
    if path.suffix.lower() not in _LOSSLESS:
        raise OutputError(
            f"{path}: wanted a lossless suffix ({', '.join(_LOSSLESS)}), found {path.suffix!r}",
            "Name the output .png.",
        )


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
    check_suffix(path)
    buffer = BytesIO()
    kind = _LOSSLESS[path.suffix.lower()]
    more = {"compress_level": _PNG_LEVEL} if kind == "PNG" else {}
    PILImage.fromarray(check(image)).save(buffer, kind, **more)
    write_atomically(path, buffer.getvalue())

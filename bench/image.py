"""The one image type: uint8 RGB of shape (H, W, 3), C-contiguous. Load, save, check."""

from __future__ import annotations

import hashlib
import os
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bench.errors import ImageError, OutputError

if TYPE_CHECKING:
    from PIL import Image as PILImage

Image = NDArray[np.uint8]

MAX_PIXELS = 1 << 28
"""A larger image is refused before its pixels are allocated (268 megapixels, 805 MB)."""

_DEEP_MODES = ("I", "F", "I;16", "I;16B", "I;16L", "I;16N")


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
    picture as RGB and are converted. Deeper, transparent and CMYK files do not, and are refused.
    Colour profiles and orientation tags are ignored: the suite measures stored sample values.

    Raises
    ------
    ImageError
        If the file is missing, damaged, not an image, or would lose information as 8-bit RGB.
    """
    from PIL import Image as PILImage
    from PIL import UnidentifiedImageError

    path = Path(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PILImage.DecompressionBombWarning)
        try:
            with PILImage.open(path) as opened:
                return _to_rgb(opened, path)
        except FileNotFoundError:
            raise ImageError(f"{path}: no such file", "Check the path.") from None
        except IsADirectoryError:
            raise ImageError(
                f"{path} is a folder, wanted an image",
                f"To measure a folder: bench all --dataset folder:{path}",
            ) from None
        except UnidentifiedImageError:
            raise ImageError(
                f"{path} is not an image that Pillow can read", "Convert it to PNG."
            ) from None
        except PILImage.DecompressionBombError:
            raise _too_large(path, "more pixels than Pillow opens") from None
        except (OSError, SyntaxError, ValueError) as error:
            raise ImageError(
                f"{path} is damaged or truncated ({error})", "Fetch or convert it again."
            ) from error


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
    if mode in _DEEP_MODES or _is_deep_png(opened):
        raise ImageError(
            f"{path} has more than 8 bits a sample (mode {mode}); the suite measures 8-bit RGB",
            "Convert it to 8 bits first, so that the rounding is yours.",
        )
    if mode in ("CMYK", "LAB", "YCbCr", "HSV"):
        raise ImageError(
            f"{path} is {mode}, wanted RGB or gray",
            "Convert it to RGB with its own colour profile.",
        )
    if mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in opened.info:
        rgba = np.asarray(opened.convert("RGBA"))
        if (rgba[..., 3] != 255).any():
            raise ImageError(
                f"{path} has transparent pixels; no codec here carries alpha",
                "Flatten it on a background first.",
            )
        return np.ascontiguousarray(rgba[..., :3])
    return check(np.array(opened.convert("RGB")))


def _is_deep_png(opened: PILImage.Image) -> bool:
    """Return whether this is a 16-bit RGB PNG, which Pillow would silently cut to 8 bits."""
    tile = getattr(opened, "tile", None)
    raw_mode = tile[0][3] if opened.format == "PNG" and tile else ""
    text = raw_mode if isinstance(raw_mode, str) else str(raw_mode[0]) if raw_mode else ""
    return ";16" in text


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
    formats = {".png": "PNG", ".ppm": "PPM", ".bmp": "BMP", ".tif": "TIFF", ".tiff": "TIFF"}
    if path.suffix.lower() not in formats:
        raise OutputError(
            f"{path}: wanted a lossless suffix ({', '.join(formats)}), found {path.suffix!r}",
            "Name the output .png.",
        )
    buffer = BytesIO()
    PILImage.fromarray(check(image)).save(buffer, formats[path.suffix.lower()])
    write_atomically(path, buffer.getvalue())


def write_atomically(path: Path, data: bytes) -> None:
    """Write ``data`` to ``path`` by way of a temporary file beside it; nothing is half-written.

    Raises
    ------
    OutputError
        If the folder is missing or read-only, or the disk is full.
    """
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise _cannot_write(path, error) from error
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        Path(name).chmod(0o666 & ~_umask())
        Path(name).replace(path)
    except OSError as error:
        Path(name).unlink(missing_ok=True)
        raise _cannot_write(path, error) from error
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _cannot_write(path: Path, error: OSError) -> OutputError:
    return OutputError(
        f"cannot write {path}: {error.strerror or error}; nothing was written there",
        "Choose another folder, or make room.",
    )

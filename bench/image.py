"""The one image type: uint8 RGB of shape (H, W, 3), C-contiguous. Load, save, check."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import stat
import struct
import warnings
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bench.errors import ImageError, OutputError, UsageError
from bench.files import write_atomically

if TYPE_CHECKING:
    from PIL import Image as PILImage

Image = NDArray[np.uint8]

MAX_PIXELS = 178_956_970
"""The default of ``max_pixels``: Pillow's own limit, 537 MB as RGB."""

MAX_MEGAPIXELS = "BENCH_MAX_MEGAPIXELS"
"""The environment variable behind ``bench --max-megapixels``, which worker processes inherit."""

FORMATS = ("PNG", "PPM", "BMP", "TIFF", "JPEG", "WEBP", "GIF")
"""What ``load`` reads, by Pillow's names. PPM covers PGM and PBM."""

DEEP = "more than 8 bits a sample"
_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_DEEP_MODES = ("I", "F", "I;16", "I;16B", "I;16L", "I;16N")
_ALPHA_MODES = ("RGBA", "LA", "PA", "RGBa")
_LOSSLESS = {".png": "PNG", ".ppm": "PPM", ".bmp": "BMP", ".tif": "TIFF", ".tiff": "TIFF"}


def max_pixels() -> int:
    """Return how many pixels a file may claim: ``$BENCH_MAX_MEGAPIXELS`` millions, or the default.

    One bound for loading and for every codec, applied before anything is allocated.

    Raises
    ------
    UsageError
        If the variable is not a number of at least 0.000001.
    """
    text = os.environ.get(MAX_MEGAPIXELS, "")
    if not text:
        return MAX_PIXELS
    try:
        pixels = int(float(text) * 1e6 + 0.5)
    except (ValueError, OverflowError):
        pixels = 0
    if pixels < 1:
        raise UsageError(
            f"--max-megapixels (or {MAX_MEGAPIXELS}) is {text!r}, wanted a number above 0",
            f"The default is {MAX_PIXELS / 1e6:g}.",
        )
    return pixels


def size_problem(width: int, height: int, block: int = 1) -> str:
    """Return why no picture of this size is allocated, or ``""``.

    Parameters
    ----------
    width, height
        What a file claims, in pixels.
    block
        To what multiple a codec pads both sides; the padded picture is what takes memory.
    """
    padded = -(-width // block) * -(-height // block) * block**2
    most = max_pixels()
    if width > 0 and height > 0 and padded <= most:
        return ""
    note = "" if width * height > most or not padded else f", {padded} with its blocks padded"
    return f"{width}x{height} pixels{note}, wanted 1 to {most} (see bench --max-megapixels)"


@contextlib.contextmanager
def pillow_limit() -> Iterator[None]:
    """Make Pillow's own limit the suite's, and its warnings silent, for the time of a ``with``."""
    from PIL import Image as PILImage

    before = PILImage.MAX_IMAGE_PIXELS
    # Pillow warns above its limit, and raises above twice its limit.
    PILImage.MAX_IMAGE_PIXELS = (max_pixels() + 1) // 2
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        PILImage.MAX_IMAGE_PIXELS = before


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
    return np.frombuffer(image.tobytes(), np.uint8).reshape(image.shape)


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
    head = file.read(8)
    file.seek(0)
    for magic, problem_of in _CONTENT_CHECKS:
        if head.startswith(magic):
            problem = problem_of(file.read())
            file.seek(0)
            if problem == DEEP:
                raise _too_deep(path)
            if problem:
                raise ImageError(f"{path} is damaged or truncated ({problem})", "Fetch it again.")


def _png_problem(data: bytes) -> str:
    """Return what Pillow does not see: a wrong CRC, or less data than the size needs.

    A byte of zlib's data stands for at most 1032 bytes of samples.
    """
    position, packed = len(_PNG), 0
    while position + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, position)
        end = position + 8 + length
        name = kind.decode("latin-1")
        if end + 4 > len(data):
            return f"the PNG chunk {name!r} breaks off"
        if zlib.crc32(data[position + 4 : end]) != int.from_bytes(data[end : end + 4]):
            return f"wrong checksum of the PNG chunk {name!r}"
        packed += length if kind == b"IDAT" else 0
        position = end + 4
        if kind == b"IEND":
            break
    width, height, depth, colour = struct.unpack_from(">IIBB", data.ljust(26, b"\0"), 16)
    row_bits = width * depth * {2: 3, 4: 2, 6: 4}.get(colour, 1)
    if height * (row_bits // 8) > 1032 * packed and width * height <= max_pixels():
        return f"{packed} bytes of data cannot hold {width}x{height} pixels"
    return ""


def _gif_problem(data: bytes) -> str:
    """Return whether the screen is more than LZW fills: a code of 3 bits gives at most 4096."""
    width, height = struct.unpack_from("<HH", data.ljust(10, b"\0"), 6)
    if 3 * width * height > 8 * 4096 * len(data):
        return f"{len(data)} bytes of data cannot hold {width}x{height} pixels"
    return ""


def jpeg_problem(data: bytes) -> str:
    """Return why a JPEG is not decoded, ``DEEP`` or a reason, by its frame header; or ``""``.

    Each block of 8 by 8 samples takes at least one bit under Huffman coding; arithmetic coding,
    which has no such bound and which hardly any writer uses, is refused.
    """
    position = 2
    while position + 10 <= len(data) and data[position] == 0xFF:
        marker, length = data[position + 1], int.from_bytes(data[position + 2 : position + 4])
        if marker == 0xFF:  # a fill byte
            position += 1
        elif marker in _JPEG_FRAMES:
            return _jpeg_frame_problem(marker, data[position + 4 :])
        else:
            position += 2 + (0 if 0xD0 <= marker <= 0xD8 or marker == 1 else max(2, length))
    return ""


def _jpeg_frame_problem(marker: int, frame: bytes) -> str:
    depth, height, width, count = struct.unpack_from(">BHHB", frame)
    if depth != 8:
        return DEEP
    if marker > 0xC8:
        return "arithmetic coding is not supported"
    factors = [divmod(frame[7 + 3 * k], 16) for k in range(count) if 7 + 3 * k < len(frame)]
    if not factors or not all(h and v for h, v in factors):
        return ""  # libjpeg says what is wrong
    most_h, most_v = (max(side) for side in zip(*factors, strict=True))
    blocks = sum(-(-width * h // (8 * most_h)) * -(-height * v // (8 * most_v)) for h, v in factors)
    if blocks > 8 * len(frame):
        return f"{len(frame)} bytes of data cannot hold {width}x{height} pixels"
    return ""


_CONTENT_CHECKS = ((_PNG, _png_problem), (b"\xff\xd8", jpeg_problem), (b"GIF8", _gif_problem))


def _too_deep(path: Path) -> ImageError:
    return ImageError(
        f"{path} has more than 8 bits a sample; the suite measures 8-bit RGB",
        "Convert it to 8 bits first, so that the rounding is yours.",
    )


def _cannot_read(path: Path, error: Exception) -> ImageError:
    told = getattr(error, "strerror", None) or error
    return ImageError(f"cannot read {path}: {told}", "Check the path and its permissions.")


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
        words = " ".join(
            str(getattr(tile, "args", tile[-1])) for tile in getattr(opened, "tile", ())
        )
        top = {"1": 1, "L;2": 3, "L;4": 15}.get(words, 255)
    keys = np.array(key) & top
    samples = np.asarray(opened.convert("L") if opened.mode == "1" else opened)
    hits = samples == keys * (255 // top)
    return bool((hits.all(axis=-1) if opened.mode == "RGB" else hits).any())


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
    PILImage.fromarray(check(image)).save(buffer, _LOSSLESS[path.suffix.lower()])
    write_atomically(path, buffer.getvalue())

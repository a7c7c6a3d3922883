"""What the codecs on Pillow share: clean pixels in, clear errors out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PILImage

from bench.codec import Scalar, Setting
from bench.errors import BenchError, DecodeError, EncodeError
from bench.image import Image, max_pixels, pillow_limit, size_problem

DAMAGED = "The file is damaged, truncated or of another codec."
_STRIP_PIXELS = 1 << 21
_OVERLAP = 32  # rows that a strip sees of its neighbours
_FEW_BYTES = 1 << 18  # of a picture whose colours are not worth a table of all
_SIDE = 512


def format_and_tuning(setting: Setting) -> str:
    """Return ``4:4:4 8-bit``, and what the encoder is tuned for if not for PSNR."""
    tune = setting.get("tune", "psnr")
    words = f"{setting.get('subsampling', '4:4:4')} 8-bit"
    return words + (f" tune {tune}" if tune != "psnr" else "")


def lossless_of_parts(image: Image, subsampling: str, call: Callable[[Image], Image]) -> Image:
    """Return what ``call`` makes of an image, in less time and memory than that of the whole.

    Parameters
    ----------
    image
        uint8 RGB (H, W, 3).
    subsampling
        ``4:4:4``: ``call`` converts each pixel by itself; else by few rows around it.
    call
        A library's conversion of colour and back: lossless coding, which is slow.
    """
    return (_by_colour if subsampling == "4:4:4" else _in_strips)(image, call)


def _in_strips(image: Image, call: Callable[[Image], Image]) -> Image:
    """Return what ``call`` makes of an image, strip by strip."""
    height, width = image.shape[:2]
    rows = max(_OVERLAP, _STRIP_PIXELS // width // _OVERLAP * _OVERLAP)
    if height <= rows + _OVERLAP:
        return call(image)
    out = np.empty_like(image)
    for top in range(0, height, rows):
        first = max(0, top - _OVERLAP)
        part = call(np.ascontiguousarray(image[first : top + rows + _OVERLAP]))
        out[top : top + rows] = part[top - first : top - first + rows]
    return out


def _by_colour(image: Image, call: Callable[[Image], Image]) -> Image:
    """Return what ``call`` makes of an image, from a picture of each of its colours once.

    A photograph has one colour for five or six pixels, and in their order they cost less to code.
    """
    if image.size < _FEW_BYTES:
        return call(image)
    strips = range(0, len(image), max(1, _STRIP_PIXELS // image.shape[1]))
    parts = [slice(top, top + strips.step) for top in strips]
    seen = np.zeros(1 << 24, bool)
    for part in parts:
        seen[_codes(image[part])] = True
    colours = np.flatnonzero(seen)
    filled = np.concatenate([colours, np.repeat(colours[-1:], -len(colours) % _SIDE)])
    bytes_of = filled.astype(">u4").view(np.uint8).reshape(-1, _SIDE, 4)
    converted = _in_strips(np.ascontiguousarray(bytes_of[..., 1:]), call)
    table = np.empty((1 << 24, 3), np.uint8)
    table[colours] = converted.reshape(-1, 3)[: len(colours)]
    out = np.empty_like(image)
    for part in parts:
        out[part] = table[_codes(image[part])]
    return out


def _codes(image: Image) -> NDArray[np.uint32]:
    """Return each pixel as one integer."""
    red, green, blue = np.moveaxis(image.astype(np.uint32), 2, 0)
    return np.asarray((red << 16) | (green << 8) | blue, np.uint32)


def encode_pillow(
    image: Image, format_name: str, *, limit: int, **options: Scalar | list[float] | dict[str, str]
) -> bytes:
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


def decode_pillow(data: bytes, format_name: str, size: tuple[int, int] | None = None) -> Image:
    """Return the pixels of a still, opaque, 8-bit file of ``format_name``, uint8 RGB (H, W, 3).

    Parameters
    ----------
    data
        The whole file.
    format_name
        Pillow's name of the format.
    size
        Width and height as the header says, read beforehand by adapters of libraries that
        allocate the picture while they open the file.

    Raises
    ------
    DecodeError
        If the data is of another format, damaged, truncated or absurdly large, or holds what
        RGB cannot: alpha, animation, CMYK, more than 8 bits.
    """
    if size is not None:
        check_size(format_name, *size)
    try:
        with pillow_limit(), PILImage.open(BytesIO(data), formats=[format_name]) as opened:
            check_size(format_name, *opened.size)
            _check_kind(opened)
            return np.array(opened if opened.mode == "RGB" else opened.convert("RGB"))
    except BenchError:
        raise
    except PILImage.DecompressionBombError:
        raise DecodeError(
            f"{format_name} header claims over {max_pixels()} pixels (see bench --max-megapixels)",
            DAMAGED,
        ) from None
    except Exception as error:  # whatever Pillow's parsers trip over in damaged bytes
        raise DecodeError(f"not a readable {format_name} file ({error})", DAMAGED) from error


def _check_kind(opened: PILImage.Image) -> None:
    frames = getattr(opened, "n_frames", 1)
    if opened.mode not in ("RGB", "L") or frames != 1:
        raise DecodeError(
            f"{opened.format} file does not fit 8-bit RGB: mode {opened.mode}, {frames} frames",
            "Only still, opaque pictures of 8 bits are measured.",
        )


def check_depth(format_name: str, bits: int) -> None:
    """Return if 8-bit RGB holds the samples, which the libraries would cut to 8 bits in silence.

    Raises
    ------
    DecodeError
        If they have more than 8 bits.
    """
    if bits > 8:
        raise DecodeError(
            f"{format_name} file is deeper than 8 bits: it has {bits} bits a sample",
            "Only pictures of 8 bits are measured; decode it with its own tools.",
        )


def check_size(format_name: str, width: int, height: int) -> None:
    """Return if a decoder may allocate ``width`` by ``height`` pixels.

    Raises
    ------
    DecodeError
        If there are none, or more than the suite handles.
    """
    if problem := size_problem(width, height):
        raise DecodeError(f"{format_name} header claims {problem}", DAMAGED)


def boxes(data: bytes, start: int = 0) -> Iterator[tuple[bytes, int, int, int]]:
    """Yield type, start, start of the content and end of each box of an ISO base media file.

    AVIF, JPEG 2000 and JPEG XL share this structure (ISO/IEC 14496-12, 4.2): 32-bit length,
    type, and a 64-bit length where the first is 1; 0 reaches to the end.

    Raises
    ------
    DecodeError
        If the boxes do not fill the file exactly.
    """
    while start < len(data):
        length, content = int.from_bytes(data[start : start + 4]), start + 8
        kind = data[start + 4 : content]
        if length == 1:
            length, content = int.from_bytes(data[content : content + 8]), start + 16
        end = start + length if length else len(data)
        if not content <= end <= len(data):
            raise DecodeError(
                f"box {kind!r} at byte {start} claims {length} bytes, found {len(data) - start}",
                DAMAGED,
            )
        yield kind, start, content, end
        start = end


def item_properties(meta: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield type and content of each item property in the content of a ``meta`` box.

    AVIF and HEIC share this structure (ISO/IEC 23008-12, 9.3).

    Raises
    ------
    DecodeError
        If boxes do not fill what is around them.
    """
    for kind, _, first, last in boxes(meta, 4):
        for inner, _, start, end in boxes(meta[:last], first) if kind == b"iprp" else ():
            for name, _, content, close in boxes(meta[:end], start) if inner == b"ipco" else ():
                yield name, meta[content:close]

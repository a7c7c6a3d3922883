"""JPEG XL by pillow-jxl-plugin (libjxl), if it is installed: lossy VarDCT in XYB."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from importlib.metadata import distribution

try:
    from pillow_jxl import JpegXLImagePlugin
except ImportError as error:
    raise ImportError(
        f"{error}; to add JPEG XL: pip install 'agvae-bench[jxl]' (or pillow-jxl-plugin)"
    ) from error

from bench.codec import Codec, Parameter, Setting
from bench.codecs._pillow import DAMAGED, boxes, check_depth, decode_pillow, encode_pillow
from bench.errors import DecodeError
from bench.image import Image

_SIGNATURE = b"\xff\x0a"
_CONTAINER = b"\x00\x00\x00\x0cJXL \r\n\x87\n"
# Width over height by the three bits of SizeHeader (ISO/IEC 18181-1, annex D.2).
_RATIOS = ((0, 1), (1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))
_SIZE_BITS = (9, 13, 18, 30)
JpegXLImagePlugin.DECODE_THREADS = 0  # none beside the caller's


class JpegXL(Codec):
    """A bare codestream. The plug-in offers libjxl's quality, not its butteraugli distance.

    XYB is computed in floating point: the conversion alone costs nothing.
    """

    name = "jxl"
    title = "JPEG XL (pillow-jxl-plugin, libjxl)"
    display = "JPEG XL"
    suffix = ".jxl"
    rate = "quality"
    in_default_run = False
    parameters = (
        Parameter("quality", 75, "libjxl's quality", low=0, high=99),
        Parameter("effort", 7, "1 fast, 9 slow", low=1, high=9),
    )

    def ladder(self) -> Sequence[Setting]:
        """Return 8 rungs over 0.14 to 2 bpp on Kodak."""
        return [Setting(quality=q) for q in (1, 8, 20, 38, 58, 73, 84, 91)]

    def version(self) -> str:
        """Return libjxl's version where the plug-in tells, and the plug-in's."""
        return _version()

    def describe(self, setting: Setting) -> str:  # noqa: ARG002
        """Return chroma format and depth."""
        return "4:4:4 8-bit"

    def effort(self, setting: Setting) -> str:
        """Return libjxl's effort."""
        return f"effort {setting.get('effort', 7)}"

    def note(self) -> str:
        """Return what libjxl optimises."""
        return "libjxl optimises butteraugli, not PSNR or MS-SSIM"

    def encode(self, image: Image, setting: Setting) -> bytes:
        """Return a JPEG XL codestream."""
        return encode_pillow(image, "JXL", limit=1 << 18, num_threads=0, **setting)

    def decode(self, data: bytes) -> Image:
        """Return the decoded pixels."""
        check_depth("JPEG XL", _depth(data))
        return decode_pillow(data, "JXL", _size(data))

    def recognises(self, data: bytes) -> bool:
        """Return whether the data begins with a codestream or a container signature."""
        return data.startswith((_SIGNATURE, _CONTAINER))

    def ledger(self, data: bytes) -> dict[str, int]:
        """Return everything around the codestream, and the codestream."""
        payload = len(_codestream(data))
        return {"header": len(data) - payload, "payload": payload}


@cache
def _version() -> str:
    """Return the versions; libjxl's stands only in the wheel's bill of materials."""
    plugin = distribution("pillow-jxl-plugin")
    bills = [file.read_text() for file in plugin.files or () if file.suffix == ".json"]
    found = re.search(r"libjxl-(\d[\w.]*)", "".join(bills))
    return (f"libjxl {found[1]}, " if found else "") + f"pillow-jxl-plugin {plugin.version}"


def _codestream(data: bytes) -> bytes:
    """Return the codestream, out of its container if there is one.

    Raises
    ------
    DecodeError
        If there is none.
    """
    if data.startswith(_CONTAINER):
        whole = (data[start:end] for kind, _, start, end in boxes(data) if kind == b"jxlc")
        parts = [data[start + 4 : end] for kind, _, start, end in boxes(data) if kind == b"jxlp"]
        data = next(whole, b"".join(parts))
    if not data.startswith(_SIGNATURE):
        raise DecodeError("no JPEG XL codestream in the file", DAMAGED)
    return data


def _size(data: bytes) -> tuple[int, int]:
    """Return width and height by the codestream's SizeHeader; the plug-in allocates them."""
    return _dimensions(_Bits(_codestream(data)[2:42]))


def _depth(data: bytes) -> int:
    """Return bits a sample by the codestream's ImageMetadata (18181-1, D.3); the plug-in cuts them.

    Raises
    ------
    DecodeError
        If the file is animated: the plug-in shows the first frame as if it were the only one.
    """
    bits = _Bits(_codestream(data)[2:42])
    _dimensions(bits)
    if bits.take(1):  # all metadata are the default
        return 8
    if bits.take(1):  # extra fields
        bits.take(3)
        if bits.take(1):  # size that is meant to be shown
            _dimensions(bits)
        if bits.take(1) or bits.take(1):
            raise DecodeError(
                "JPEG XL file is animated or has a preview", "Only still pictures are measured."
            )
    floating = bits.take(1)
    choice = bits.take(2)
    fixed = (32, 16, 24) if floating else (8, 10, 12)
    return fixed[choice] if choice < 3 else 1 + bits.take(6)


def _dimensions(bits: _Bits) -> tuple[int, int]:
    in_eighths = bits.take(1)
    height = _side(bits, in_eighths)
    over, under = _RATIOS[bits.take(3)]
    return (height * over // under if over else _side(bits, in_eighths)), height


def _side(bits: _Bits, in_eighths: int) -> int:
    if in_eighths:
        return 8 * (bits.take(5) + 1)
    return bits.take(_SIZE_BITS[bits.take(2)]) + 1


class _Bits:
    """Bits of a codestream, least significant first."""

    def __init__(self, data: bytes) -> None:
        self._rest = int.from_bytes(data, "little")

    def take(self, count: int) -> int:
        value = self._rest & ((1 << count) - 1)
        self._rest >>= count
        return value

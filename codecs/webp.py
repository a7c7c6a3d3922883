"""Lossy WebP by Pillow (libwebp): VP8 key frames, always 4:2:0 with 8 bits."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import features

from bench import colour
from bench.codec import Codec, Parameter, Setting
from bench.codecs._pillow import DAMAGED, decode_pillow, encode_pillow
from bench.errors import DecodeError, Unavailable
from bench.image import Image, webp_problem

_RIFF_BYTES = 12
_CHUNK_BYTES = 8
_FRAME_BYTES = 10  # VP8 frame tag, start code, width, height (RFC 6386, 9.1)


class WebP(Codec):
    """Pillow's defaults otherwise: no sharp YUV, one pass, four segments, auto filter off.

    libwebp converts to video-range BT.601 itself and averages chroma under a gamma of 0.8.
    """

    name = "webp"
    title = "WebP, lossy (Pillow, libwebp)"
    display = "WebP"
    suffix = ".webp"
    rate = "quality"
    parameters = (
        Parameter("quality", 80, "libwebp's quality", low=0, high=100),
        Parameter("method", 4, "effort: 0 fast, 6 slow", low=0, high=6),
    )

    def __init__(self) -> None:
        if not features.check("webp"):
            raise Unavailable(
                "this Pillow was built without libwebp",
                "Install Pillow's wheel: pip install pillow",
            )

    def ladder(self) -> Sequence[Setting]:
        """Return 8 rungs over 0.11 to 2 bpp on Kodak."""
        return [Setting(quality=q) for q in (0, 1, 5, 15, 35, 60, 80, 90)]

    def version(self) -> str:
        """Return libwebp's version."""
        return f"libwebp {features.version('webp')}"

    def describe(self, setting: Setting) -> str:  # noqa: ARG002
        """Return chroma format and depth."""
        return "4:2:0 8-bit"

    def effort(self, setting: Setting) -> str:
        """Return libwebp's method."""
        return f"method {setting.get('method', 4)}"

    def encode(self, image: Image, setting: Setting) -> bytes:
        """Return a WebP file, RIFF header included."""
        return encode_pillow(image, "WEBP", limit=16_383, **setting)

    def decode(self, data: bytes) -> Image:
        """Return the decoded pixels; chroma is up-sampled bilinearly (libwebp's fancy way)."""
        if len(data) < _RIFF_BYTES or len(data) != 8 + int.from_bytes(data[4:8], "little"):
            raise DecodeError(f"not a WebP file of {len(data)} bytes by its own header", DAMAGED)
        if problem := webp_problem(data):
            raise DecodeError(f"WebP file: {problem}", DAMAGED)
        return decode_pillow(data, "WEBP")

    def ceiling(self, image: Image, setting: Setting) -> Image:  # noqa: ARG002
        """Return the image after libwebp's conversion to 4:2:0 and back."""
        return colour.round_trip(
            image, matrix="bt601", chroma="4:2:0", limited=True, chroma_gamma=0.8
        )

    def recognises(self, data: bytes) -> bool:
        """Return whether the data begins with a RIFF header of type WEBP."""
        return data[:4] == b"RIFF" and data[8:12] == b"WEBP"

    def ledger(self, data: bytes) -> dict[str, int]:
        """Return headers, modes (VP8's first partition) and coefficients (the others)."""
        header = _RIFF_BYTES + _CHUNK_BYTES + _FRAME_BYTES
        if data[12:16] != b"VP8 " or len(data) < header:
            raise DecodeError("not a simple lossy WebP file", DAMAGED)
        start = _RIFF_BYTES + _CHUNK_BYTES
        chunk_bytes = int.from_bytes(data[16:20], "little")
        modes = int.from_bytes(data[start : start + 3], "little") >> 5
        payload = chunk_bytes - _FRAME_BYTES - modes
        if payload < 0 or header + modes + payload > len(data):
            raise DecodeError("WebP partitions are longer than the file", DAMAGED)
        return {
            "header": len(data) - modes - payload,
            "side_information": modes,
            "payload": payload,
        }

"""JPEG by Pillow (libjpeg-turbo): baseline or progressive, 4:2:0 or 4:4:4."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO

from PIL import Image as PILImage
from PIL import features

from bench import colour
from bench.codec import Codec, Parameter, Setting
from bench.codecs._pillow import decode_pillow, encode_pillow
from bench.image import Image


class Jpeg(Codec):
    """Pillow's defaults otherwise: baseline Huffman, JFIF header, standard quantisation tables."""

    name = "jpeg"
    title = "JPEG (Pillow, libjpeg-turbo)"
    suffix = ".jpg"
    rate = "quality"
    parameters = (
        Parameter("quality", 75, "libjpeg's quality", low=1, high=100),
        Parameter("subsampling", "4:2:0", "chroma format", choices=("4:2:0", "4:4:4")),
        Parameter("optimize", False, "optimised Huffman tables: smaller, slower"),
        Parameter("progressive", False, "progressive scans"),
    )

    def ladder(self) -> Sequence[Setting]:
        """Return 8 rungs over about 0.2 to 2 bpp on Kodak."""
        return [Setting(quality=q) for q in (5, 15, 30, 45, 60, 75, 85, 91)]

    def version(self) -> str:
        """Return libjpeg-turbo's version."""
        return f"libjpeg-turbo {features.version('libjpeg_turbo') or features.version('jpg')}"

    def describe(self, setting: Setting) -> str:
        """Return chroma format and depth."""
        extra = "".join(f" {word}" for word in ("optimize", "progressive") if setting.get(word))
        return f"{setting['subsampling']} 8-bit{extra}"

    def encode(self, image: Image, setting: Setting) -> bytes:
        """Return a JFIF file."""
        return encode_pillow(image, "JPEG", limit=65_500, **setting)

    def decode(self, data: bytes) -> Image:
        """Return the decoded pixels; libjpeg's fancy up-sampling is Pillow's default."""
        return decode_pillow(data, "JPEG")

    def ceiling(self, image: Image, setting: Setting) -> Image:
        """Return the image after full-range BT.601 and back, chroma halved at 4:2:0."""
        return colour.round_trip(image, matrix="bt601", chroma=str(setting["subsampling"]))

    def recognises(self, data: bytes) -> bool:
        """Return whether the data begins with a JPEG start-of-image marker."""
        return data[:3] == b"\xff\xd8\xff"

    def ledger(self, data: bytes) -> dict[str, int]:
        """Return header bytes (markers and tables) and entropy-coded bytes."""
        with PILImage.open(BytesIO(data)):
            pass
        scan = data.find(b"\xff\xda")
        return {"header": scan, "scans": len(data) - scan}

"""JPEG by jpegli (pyjpegli), if it is installed: files that any JPEG decoder reads."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

try:
    import pyjpegli
except ImportError as error:
    raise ImportError(
        f"{error}; to add jpegli: pip install 'agvae-bench[jpegli]' (or pyjpegli)"
    ) from error

from bench import colour
from bench.codec import Codec, Parameter, Setting
from bench.codecs.jpeg import Jpeg
from bench.errors import EncodeError
from bench.image import Image

_LONGEST = 65_500


class Jpegli(Jpeg):
    """jpegli's encoder, and the decoder of the codec ``jpeg``: the two differ in the encoder alone.

    pyjpegli offers quality and nothing else: its files are baseline 4:2:0 with optimised Huffman
    tables and adaptive quantisation. Viewers decode them with libjpeg-turbo, so that is what is
    measured; jpegli's own decoder gains 0.2 to 0.5 dB above quality 95 and loses 0.05 dB below 80.
    """

    name = "jpegli"
    title = "JPEG (pyjpegli, jpegli)"
    display = "jpegli"
    in_default_run = False
    parameters = (Parameter("quality", 75, "jpegli's quality", low=1, high=100),)
    recognises = Codec.recognises  # none: a JPEG does not say who wrote it, and `jpeg` decodes it

    def ladder(self) -> Sequence[Setting]:
        """Return 8 rungs over 0.3 to 2 bpp on Kodak; jpegli goes hardly lower."""
        return [Setting(quality=q) for q in (1, 6, 13, 22, 36, 55, 72, 86)]

    def version(self) -> str:
        """Return pyjpegli's version; jpegli, which is compiled into it, has none."""
        return f"pyjpegli {pyjpegli.__version__}"

    def describe(self, setting: Setting) -> str:  # noqa: ARG002
        """Return chroma format and depth."""
        return "4:2:0 8-bit"

    def effort(self, setting: Setting) -> str:  # noqa: ARG002
        """Return which scans and Huffman tables."""
        return "baseline optimised"

    def note(self) -> str:
        """Return what jpegli optimises, and which decoder is measured."""
        return "jpegli optimises butteraugli, not PSNR or MS-SSIM; decoded by libjpeg-turbo"

    def encode(self, image: Image, setting: Setting) -> bytes:
        """Return a JFIF file."""
        height, width = image.shape[:2]
        if max(height, width) > _LONGEST:
            raise EncodeError(
                f"JPEG holds at most {_LONGEST} pixels a side, found {width}x{height}",
                "Crop the image, or leave this codec out.",
            )
        pixels = np.ascontiguousarray(image)
        try:
            return bytes(pyjpegli.encode(pixels, width, height, int(setting["quality"])))
        except (RuntimeError, ValueError, MemoryError) as error:
            raise EncodeError(f"jpegli encoder failed: {error}") from error

    def ceiling(self, image: Image, setting: Setting) -> Image:  # noqa: ARG002
        """Return the image after full-range BT.601 and back, chroma halved."""
        return colour.round_trip(image, matrix="bt601", chroma="4:2:0")

"""A codec that does nothing: what a run with it costs is the harness and the store.

``floor.py`` puts it beside the suite's own, whose processes it shares as JPEG does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from bench.codec import Codec, Parameter, Setting
from bench.image import Image

_NOISE = np.random.default_rng(0).bytes(100_000)
_decoded: dict[bytes, Image] = {}


class Nothing(Codec):
    """Files of 1 to 100 kB, of which each decodes to gray of the size of the picture."""

    name = "nothing"
    title = "No codec"
    display = "nothing"
    suffix = ".nothing"
    rate = "quality"
    parameters: ClassVar[tuple[Parameter, ...]] = (
        Parameter("quality", 50, "size of the file, kB", low=1, high=100),
    )

    def ladder(self) -> Sequence[Setting]:
        """Return two rungs."""
        return [Setting(quality=quality) for quality in (10, 50)]

    def version(self) -> str:
        """Return the only one."""
        return "1"

    def describe(self, setting: Setting) -> str:  # noqa: ARG002
        """Return no colour conversion."""
        return "4:4:4 8-bit"

    def encode(self, image: Image, setting: Setting) -> bytes:
        """Return the shape, then noise."""
        return np.array(image.shape, ">i4").tobytes() + _NOISE[: 1000 * int(setting["quality"])]

    def decode(self, data: bytes) -> Image:
        """Return the same array for all pictures of a shape."""
        head = data[:12]
        if head not in _decoded:
            _decoded[head] = np.full(tuple(np.frombuffer(head, ">i4")), 128, np.uint8)
        return _decoded[head]

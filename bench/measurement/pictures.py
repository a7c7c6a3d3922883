"""The pictures that a worker keeps from one task to the next."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np

from bench import rate_search
from bench.codec import Codec
from bench.dataset.open import Item, load_item
from bench.errors import CodecFailed
from bench.image import Image


@dataclass(slots=True)
class Loaded:
    """An image, a copy that no codec sees, and the reference side of every metric so far.

    Whoever asks for one of the two gets an array of its own, whose memory cannot be written by way
    of numpy, whatever flag is changed.
    """

    shape: tuple[int, ...]
    given: bytes
    copy: bytes
    states: dict[str, Any]
    curves: dict[tuple[str, ...], rate_search.Curve]

    @property
    def image(self) -> Image:
        """The image for codecs, uint8 RGB (H, W, 3)."""
        return np.ndarray(self.shape, np.uint8, self.given)

    @property
    def kept(self) -> Image:
        """The copy for metrics, uint8 RGB (H, W, 3)."""
        return np.ndarray(self.shape, np.uint8, self.copy)


_images: dict[str, Loaded] = {}


def forget_all_but(pixels: Collection[str] = ()) -> None:
    """Keep the pictures of these pixels alone."""
    for other in _images.keys() - set(pixels):
        del _images[other]


def load(item: Item, pixels: str) -> Loaded:
    """Return the image of ``item``, kept from the last task where it is the same.

    Raises
    ------
    BenchError
        If the file no longer holds the pixels that were planned.
    """
    if pixels not in _images:
        image = load_item(item, pixels)
        shape, given = image.shape, image.tobytes()
        del image  # never three of a large picture
        _images[pixels] = Loaded(shape, given, bytes(memoryview(given)), {}, {})
    return _images[pixels]


def require_untouched(codec: Codec, pixels: str) -> None:
    """Raise ``CodecFailed`` if the codec changed the picture it was given, and forget that."""
    if _images[pixels].given != _images[pixels].copy:
        _images.clear()
        raise CodecFailed(f"crashed: {codec.name} wrote into the picture that it was given")

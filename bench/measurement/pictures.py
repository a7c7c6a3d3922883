"""The pictures that a worker keeps from one task to the next."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np

from bench import rate_search
from bench.codec import Codec
from bench.dataset.open import Item, load_item
from bench.errors import CodecFailed, DatasetError
from bench.image import Image, frozen, pixels_sha256


@dataclass(slots=True)
class Loaded:
    """An image, a copy that no codec sees, and the reference side of every metric so far."""

    image: Image
    kept: Image
    states: dict[str, Any]
    curves: dict[tuple[str, ...], rate_search.Curve]


_images: dict[str, Loaded] = {}


def forget_all_but(pixels: Collection[str] = ()) -> None:
    """Keep the pictures of these pixels alone."""
    for other in _images.keys() - set(pixels):
        del _images[other]


def load(item: Item, pixels: str) -> Loaded:
    """Return the image of ``item``, kept from the last task where it is the same.

    Its memory cannot be written by way of numpy, whatever flag a codec changes.

    Raises
    ------
    DatasetError
        If the file no longer holds the pixels that were planned.
    """
    if pixels not in _images:
        image = load_item(item)
        found = pixels_sha256(image)
        if found != pixels:
            raise DatasetError(
                f"{item.path} changed during the run: planned were pixels of sha256 "
                f"{pixels[:12]}, found {found[:12]}; it was not measured",
                "Run again: it will be planned as it is now.",
            )
        _images[pixels] = Loaded(frozen(image), image, {}, {})
    return _images[pixels]


def require_untouched(codec: Codec, pixels: str) -> None:
    """Raise ``CodecFailed`` if the codec changed the picture it was given, and forget that."""
    if not np.array_equal(_images[pixels].image, _images[pixels].kept):
        _images.clear()
        raise CodecFailed(f"crashed: {codec.name} wrote into the picture that it was given")

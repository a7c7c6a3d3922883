"""Which pixels a pass codes: batches of one size, no picture twice, another set every other pass.

A codec may keep what it found out about its last image (AG-VAE keeps its latent, for ladders). So
passes go by turns over the images and over the same upside down, and a batch that is larger than
the set is filled with shifted copies.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from bench.image import Image

_SHIFT = 16

Batches = list[list[Image]]


def upside_down(image: Image) -> Image:
    """Return the image with its rows in reverse, a copy."""
    return np.ascontiguousarray(image[::-1])


def landscape(image: Image) -> Image:
    """Return the image with its longer side across: a portrait is turned by 90 degrees."""
    height, width = image.shape[:2]
    return np.ascontiguousarray(np.rot90(image)) if height > width else image


def shifted(image: Image, times: int) -> Image:
    """Return the image with its rows moved down around the edge, 16 for each time."""
    return np.roll(image, _SHIFT * times, axis=0)


def batches(images: Sequence[Image], size: int) -> Batches:
    """Return what one pass codes, batch by batch.

    Parameters
    ----------
    images
        uint8 RGB (H, W, 3).
    size
        Of a batch. At 1, every image as it is. Above, whole batches alone: of the commonest image
        size, portraits turned, with shifted copies where there are too few for one batch.
    """
    if size == 1:
        return [[image] for image in images]
    turned = [landscape(image) for image in images]
    common = Counter(image.shape for image in turned).most_common(1)[0][0]
    chosen = [image for image in turned if image.shape == common]
    number = len(chosen)
    chosen += [shifted(chosen[k % number], k // number) for k in range(number, size)]
    whole = len(chosen) // size * size
    return [chosen[i : i + size] for i in range(0, whole, size)]


def megapixels(groups: Batches) -> float:
    """Return the pixels of a pass in millions."""
    return sum(image.shape[0] * image.shape[1] for group in groups for image in group) / 1e6

"""What a pixel of a large picture costs AG-VAE beside one of a Kodak picture, in one process.

``python tests/benchmarks/large_pictures.py --data FOLDER_OF_KODAK --megapixels 40``

CPU milliseconds (user and system) a megapixel on one thread, and the most memory that the process
has held so far. The large picture is kodim05 and its mirror images side by side; Kodak's size is
measured before and after it.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch

from bench import image as images
from bench import registry
from bench.codec import Codec, Setting

T = TypeVar("T")


def mirrored(photo: images.Image, megapixels: float) -> images.Image:
    """Return a picture of that size, 3 by 2, of a photograph and its mirror images."""
    height = int((megapixels * 1e6 / 1.5) ** 0.5)
    width = int(height * 1.5)
    pair = np.concatenate((photo, photo[:, ::-1]), 1)
    four = np.concatenate((pair, pair[::-1]), 0)
    times = (-(-height // four.shape[0]), -(-width // four.shape[1]), 1)
    return np.ascontiguousarray(np.tile(four, times)[:height, :width])


def timed(words: str, pixels: int, call: Callable[[], T]) -> T:
    """Return what a call returns, and print what it took."""
    before = os.times()
    found = call()
    after = os.times()
    used_s = after.user - before.user + after.system - before.system
    held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    sys.stdout.write(f"{words}: {1e9 * used_s / pixels:.0f} CPU ms/MP, {held:.2f} GiB at most\n")
    sys.stdout.flush()
    return found


def both_ways(codec: Codec, picture: images.Image, words: str) -> None:
    """Encode and decode a picture at level 4."""
    pixels = picture.shape[0] * picture.shape[1]
    given = images.frozen(picture)
    data = timed(f"{words} encode", pixels, lambda: codec.encode(given, Setting(level=4.0)))
    timed(f"{words} decode", pixels, lambda: codec.decode(data))


def main() -> None:
    """Print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--megapixels", type=float, default=40)
    options = parser.parse_args()
    torch.set_num_threads(1)
    codec, photo = registry.create("agvae"), images.load(options.data / "kodim05.png")
    for picture in (photo, photo[::-1], photo):  # a picture again would not be analysed again
        both_ways(codec, picture, "Kodak")
    both_ways(codec, mirrored(photo, options.megapixels), f"{options.megapixels:g} MP")
    for picture in (photo, photo[::-1]):
        both_ways(codec, picture, "Kodak")


if __name__ == "__main__":
    main()

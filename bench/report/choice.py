"""Which images of a dataset the viewer shows, and which part of a large one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from bench.analysis.summary import natural, succeeded
from bench.image import Image

MAX_IMAGES = 6
"""How many images of a dataset the viewer offers."""

_FAMOUS = ("kodim04", "kodim20", "kodim05", "kodim15", "kodim13", "kodim23")
_WINDOW = (768, 512)


def choose_images(rows: pd.DataFrame, wanted: Sequence[str], count: int = MAX_IMAGES) -> list[str]:
    """Return the images to show of one dataset, most telling first.

    Those of ``wanted`` that it has; without any, the ones that papers show, then images spread
    evenly from the easiest to the hardest by their mean rate.
    """
    cost = succeeded(rows).groupby("image")["bpp"].mean()
    known = sorted((str(name) for name in cost.index), key=natural)
    if wanted:
        return [name for name in wanted if name in known]
    chosen = [name for name in _FAMOUS if name in known][:count]
    others = sorted((n for n in known if n not in chosen), key=lambda name: (cost[name], name))
    places = np.linspace(0, len(others) - 1, min(count - len(chosen), len(others)))
    chosen += [others[round(place)] for place in places]
    return chosen


def busiest_window(pixels: Image, size: tuple[int, int] = _WINDOW) -> tuple[int, int, int, int]:
    """Return x, y, width, height of the part to show: all, or where most detail is.

    A portrait is given a window upright; detail is the sum of absolute differences of neighbours.
    """
    height, width = pixels.shape[:2]
    if width * height <= 1.1 * size[0] * size[1]:
        return 0, 0, width, height
    wanted = size if width >= height else size[::-1]
    w, h = min(width, wanted[0]), min(height, wanted[1])
    gray = pixels.astype(np.float32).mean(axis=2)
    detail = np.zeros((height + 1, width + 1))
    detail[1:height, 1:width] = np.abs(np.diff(gray, axis=0))[:, :-1]
    detail[1:height, 1:width] += np.abs(np.diff(gray, axis=1))[:-1]
    total = detail.cumsum(axis=0).cumsum(axis=1)
    sums = total[h:, w:] - total[:-h, w:] - total[h:, :-w] + total[:-h, :-w]
    y, x = np.unravel_index(int(sums[::8, ::8].argmax()), sums[::8, ::8].shape)
    return 8 * int(x), 8 * int(y), w, h

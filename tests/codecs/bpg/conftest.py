"""What the tests of BPG share."""

from __future__ import annotations

import math

import numpy as np
import pytest

from bench.codecs.bpg import Bpg
from bench.codecs.bpg.container import ColorSpace, PixelFormat

WEIGHTS = {
    ColorSpace.BT601: (0.299, 0.114),
    ColorSpace.BT709: (0.2126, 0.0722),
    ColorSpace.BT2020: (0.2627, 0.0593),
}


def _reference_planes(rgb, header):
    """Return float planes at full resolution, not rounded, of RGB in 0..255."""
    red, green, blue = (rgb[..., k] / 255.0 for k in range(3))
    step = 1 << (header.bit_depth - 8)
    top, centre = (1 << header.bit_depth) - 1, 128 * step
    black, white, chroma = 0, top, top
    if header.limited_range:
        black, white, chroma = 16 * step, 219 * step, 224 * step
    if header.pixel_format == PixelFormat.GRAY:
        return [black + white * green]
    if header.color_space == ColorSpace.RGB:
        return [black + white * c for c in (green, blue, red)]
    if header.color_space == ColorSpace.YCGCO:
        red, green, blue = (black + white * c for c in (red, green, blue))
        return [
            (red + 2 * green + blue) / 4,
            (2 * green - red - blue) / 4 + centre,
            (red - blue) / 2 + centre,
        ]
    kr, kb = WEIGHTS[header.color_space]
    luma = kr * red + (1 - kr - kb) * green + kb * blue
    cb, cr = (blue - luma) / (2 - 2 * kb), (red - luma) / (2 - 2 * kr)
    return [black + white * luma, centre + chroma * cb, centre + chroma * cr]


@pytest.fixture(scope="session")
def reference_planes():
    """The function (RGB, header) -> float planes, from the standards' formulas."""
    return _reference_planes


@pytest.fixture(scope="session")
def luma_weights():
    """Kr and Kb of each matrix."""
    return WEIGHTS


@pytest.fixture(scope="session")
def bpg():
    """The codec."""
    return Bpg()


@pytest.fixture(scope="session")
def crop(photo):
    """A colourful piece of a photograph, of odd size."""
    return np.ascontiguousarray(photo[100:197, 150:273])


@pytest.fixture(scope="session")
def psnr_db():
    """The function (reference, decoded) -> PSNR over RGB, written apart from the suite's own."""

    def psnr(reference, decoded):
        error = np.mean((reference.astype(float) - decoded) ** 2)
        return math.inf if error == 0 else 10 * math.log10(255**2 / error)

    return psnr

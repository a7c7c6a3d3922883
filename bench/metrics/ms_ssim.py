"""MS-SSIM as the package pytorch_msssim defines it, in loops of its own.

Z. Wang, E. P. Simoncelli, A. C. Bovik, "Multiscale structural similarity for image quality
assessment", Asilomar 2003. The flavour is that of ``pytorch_msssim.ms_ssim(data_range=255)``:
11-tap Gaussian windows of sigma 1.5 that lie wholly inside the image, five scales, per channel of
RGB, 2x2 averages between scales with a zero row or column ahead of an odd side, negative means
set to zero.

With d = x - y, and with means and (co)variances under a window::

    cs   = (2 cov(x, y) + C2) / (var x + var y + C2)         = 1 - var d / (var x + var y + C2)
    ssim = cs (2 mean x mean y + C1) / (mean2 x + mean2 y + C1)
         = cs (1 - mean2 d / (mean2 x + mean2 y + C1))

The right-hand forms are what is computed: they give exactly 1 for equal images and keep their
precision close to 1, where the textbook forms cancel. With var y = var x - (var x - var y), and
x^2 - y^2 = d (x + y), three maps are filtered per decoded image (d, d^2, d (x + y)); those of x are
prepared once per reference, in float64.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.image import Image
from bench.metrics import Decibels, Metric, require_same_shape
from bench.metrics import _ms_ssim_loops as loops

FloatMap = NDArray[np.float32]
Samples = NDArray[np.uint8] | FloatMap

WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Exponents of the five scales, finest first (Wang et al. 2003, section 3.2)."""

MARGIN = 5
"""Half a window: the rows and columns at each edge that have no whole window."""

MIN_SIDE = 2 * MARGIN * 2 ** (len(WEIGHTS) - 1) + 1
"""161 pixels: below, the coarsest scale has no whole window."""

# Large images are processed in strips of this many samples: memory, not speed.
_STRIP_SAMPLES = 1 << 22

# Above this many pixels the reference's maps are recomputed for each decoded image rather than
# kept: they take 24 bytes per pixel.
_KEEP_PIXELS = 1 << 23


@dataclass(frozen=True, slots=True)
class _Strip:
    """Some rows of the reference at one scale.

    Attributes
    ----------
    x
        The rows, (rows + 10, W, 3).
    maps
        2 mean (x - 128), then 2 var x + C2, under each of the (rows, W - 10) windows by channel,
        flat.
    """

    x: Samples
    maps: FloatMap


@dataclass(frozen=True, slots=True)
class _Scale:
    """The reference at one scale, in strips; ``kept`` is empty for a very large image."""

    x: Samples  # (H, W, 3)
    kept: tuple[_Strip, ...]

    def strips(self) -> Iterator[_Strip]:
        """Yield the strips from top to bottom."""
        return iter(self.kept) if self.kept else _strips(self.x)


@dataclass(frozen=True, slots=True)
class Reference:
    """What ``score`` needs of the reference image: shape (H, W, 3) and the five scales."""

    shape: tuple[int, ...]
    scales: tuple[_Scale, ...]


def _strips(x: Samples) -> Iterator[_Strip]:
    """Yield the reference's strips; neighbours overlap by the margins."""
    height, width, _ = x.shape
    rows = max(16, _STRIP_SAMPLES // (3 * width))
    for top in range(0, height - 2 * MARGIN, rows):
        part = x[top : top + rows + 2 * MARGIN]
        yield _Strip(part, loops.reference(part.reshape(-1), 3 * width))


def _mean_deficit(scale: _Scale, y: Samples, *, coarsest: bool) -> NDArray[np.float64]:
    """Return 1 - mean cs (1 - mean ssim at the coarsest scale) per channel."""
    height, width, _ = y.shape
    sums, top = np.zeros(3), 0
    for strip in scale.strips():
        rows = y[top : top + strip.x.shape[0]]
        x = strip.x.reshape(-1)
        sums += loops.deficits(x, rows.reshape(-1), strip.maps, 3 * width, coarsest=coarsest)
        top += strip.x.shape[0] - 2 * MARGIN
    return sums / ((height - 2 * MARGIN) * (width - 2 * MARGIN))


def to_db(value: float) -> float:
    """Return MS-SSIM in dB, -10 log10(1 - value): ``inf`` at 1."""
    return math.inf if value >= 1 else -10 * math.log10(1 - value)


class MsSsim(Metric):
    """MS-SSIM; on photographs within 1e-8 of the definition in exact arithmetic."""

    name = "ms_ssim"
    title = "MS-SSIM"
    definition = (
        "MS-SSIM of pytorch_msssim: per channel of RGB, data range 255, five scales, whole "
        "11-tap Gaussian windows only, mean over channels."
    )
    smallest_px = MIN_SIDE
    limits = (0.0, 1.0)
    decibels = Decibels(
        column="ms_ssim_db",
        title="MS-SSIM",
        of=to_db,
        definition="-10 log10(1 - mean MS-SSIM), of the mean over images.",
    )
    in_default_run = True
    rank = 1

    def prepare(self, reference: Image) -> Reference:
        """Return the five scales of the reference with what is filtered once."""
        self.require_defined(reference)
        height, width = reference.shape[:2]
        x: Samples = np.ascontiguousarray(reference)
        scales = []
        for _ in WEIGHTS:
            kept = tuple(_strips(x)) if height * width <= _KEEP_PIXELS else ()
            scales.append(_Scale(x, kept))
            x = loops.halved(x)
        return Reference(reference.shape, tuple(scales))

    def score(self, state: Reference, decoded: Image) -> float:
        """Return the MS-SSIM of ``decoded``, 0 to 1."""
        require_same_shape(state.shape, decoded)
        y: Samples = np.ascontiguousarray(decoded)
        product = np.ones(3)
        for scale, weight in zip(state.scales, WEIGHTS, strict=True):
            coarsest = scale is state.scales[-1]
            deficit = _mean_deficit(scale, y, coarsest=coarsest)
            # Rounding may leave a variance a hair below zero; the relu is the definition's own.
            product *= np.clip(1 - deficit, 0, 1) ** weight
            if not coarsest:
                y = loops.halved(y)
        return float(product.mean())

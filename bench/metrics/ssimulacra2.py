"""SSIMULACRA2 on OpenCV's separable filters.

J. Sneyers, "SSIMULACRA 2: structural similarity unveiling local and compression related artifacts",
Cloudinary, 2022; constants and weights of version 2.1 (github.com/cloudinary/ssimulacra2). In the
colour space XYB, at six scales, three maps are computed: the structural dissimilarity, edges that
the decoded image has and the original has not, and the reverse. The mean and the 4-norm of each,
for each component, are weighted: 108 numbers. 100 is an exact copy, 90 cannot be told from it, 70
is high, 50 medium and 30 low quality; it may be negative.

Means are taken under an 11-tap Gaussian window of sigma 1.5, with zeros beside the image and its
mirror image above and below, which is how the package ``ssimulacra2`` reads the original's
recursive filter. What depends on the reference alone is computed once.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.image import Image
from bench.image.opencv import cv2
from bench.metrics import Metric, require_same_shape

FloatMap = NDArray[np.float32]

SCALES = 6
MIN_SIDE = 8
"""Pixels: no scale has a shorter side. From 225 pixels on all six are used."""

MARGIN = 5
_C2 = np.float32(0.0009)
_STRIP_SAMPLES = 1 << 17  # rows are processed in strips whose maps stay in the cache

_TAPS = np.exp(-(np.arange(-MARGIN, MARGIN + 1) ** 2) / (2 * 1.5**2))
_WINDOW = np.asarray(_TAPS / _TAPS.sum(), dtype=np.float32)

_OPSIN = np.array(
    [
        [0.30, 1 - 0.078 - 0.30, 0.078],
        [0.23, 1 - 0.078 - 0.23, 0.078],
        [0.24342268924547819, 0.20476744424496821, 1 - 0.24342268924547819 - 0.20476744424496821],
    ]
)
_BIAS = 0.0037930732552754493
_ROOT = np.cbrt(_BIAS)

# From the cube roots of the three mixtures to X, Y and B, moved and scaled to be positive:
# X = 14 (l - m) / 2 + 0.42, Y = (l + m) / 2 + 0.01, B = s - (l + m) / 2 + 0.55, each l, m, s less
# the cube root of the bias.
_TO_XYB = np.array([[7.0, -7.0, 0.0], [0.5, 0.5, 0.0], [-0.5, -0.5, 1.0]])
_OFFSETS = np.array([0.42, 0.01, 0.55]) - _ROOT * _TO_XYB.sum(1)


def _affine(matrix: NDArray[np.float64], offsets: NDArray[np.float64]) -> FloatMap:
    """Return a 3x4 matrix as ``cv2.transform`` takes it."""
    return np.hstack([matrix, offsets[:, None]]).astype(np.float32)


_MIX = _affine(_OPSIN, np.full(3, _BIAS))
_MOVE = _affine(_TO_XYB, _OFFSETS)


def _linear() -> FloatMap:
    """Return linear light for each of the 256 values of sRGB (IEC 61966-2-1)."""
    v = np.arange(256) / 255
    return np.where(v <= 0.04045, v / 12.92, ((v + 0.055) / 1.055) ** 2.4).astype(np.float32)


_LINEAR = _linear()

# Component (X, Y, B) by scale, finest first, by norm (mean, 4-norm) by map (dissimilarity, added
# edges, lost edges).
WEIGHTS = np.zeros((3, SCALES, 2, 3))
for _place, _weight in {
    (0, 0, 0, 1): 0.0007376606707406586,
    (0, 0, 1, 1): 0.0007793481682867309,
    (0, 1, 0, 1): 0.0004371155730107379,
    (0, 1, 1, 0): 1.1041726426657346,
    (0, 1, 1, 1): 0.00066284834129271,
    (0, 1, 1, 2): 0.00015231632783718752,
    (0, 2, 0, 1): 0.0016406437456599754,
    (0, 2, 1, 0): 1.8422455520539298,
    (0, 2, 1, 1): 11.441172603757666,
    (0, 3, 0, 0): 0.0007989109436015163,
    (0, 3, 0, 1): 0.000176816438078653,
    (0, 3, 1, 0): 1.8787594979546387,
    (0, 3, 1, 1): 10.94906990605142,
    (0, 4, 0, 0): 0.0007289346991508072,
    (0, 4, 0, 1): 0.9677937080626833,
    (0, 4, 1, 0): 0.00014003424285435884,
    (0, 4, 1, 1): 0.9981766977854967,
    (0, 4, 1, 2): 0.00031949755934435053,
    (0, 5, 0, 0): 0.0004550992113792063,
    (0, 5, 1, 0): 0.0013648766163243398,
    (1, 0, 1, 0): 7.466890328078848,
    (1, 0, 1, 2): 17.445833984131262,
    (1, 1, 0, 0): 0.0006235601634041466,
    (1, 1, 1, 0): 6.683678146179332,
    (1, 1, 1, 1): 0.00037724407979611296,
    (1, 1, 1, 2): 1.027889937768264,
    (1, 2, 0, 0): 225.20515300849274,
    (1, 2, 1, 0): 19.213238186143016,
    (1, 2, 1, 1): 0.0011401524586618361,
    (1, 2, 1, 2): 0.001237755635509985,
    (1, 3, 0, 0): 176.39317598450694,
    (1, 3, 1, 0): 24.43300999870476,
    (1, 3, 1, 1): 0.28520802612117757,
    (1, 3, 1, 2): 0.0004485436923833408,
    (1, 4, 1, 0): 34.77906344483772,
    (1, 4, 1, 1): 44.835625328877896,
    (2, 0, 0, 1): 0.0008680556573291698,
    (2, 1, 0, 1): 0.0005313191874358747,
    (2, 1, 1, 0): 0.00016533814161379112,
    (2, 2, 1, 0): 0.0004179171803251336,
    (2, 2, 1, 1): 0.0017290828234722833,
    (2, 3, 0, 0): 0.0020827005846636437,
    (2, 3, 1, 0): 8.826982764996862,
    (2, 3, 1, 1): 23.19243343998926,
    (2, 4, 0, 0): 95.1080498811086,
    (2, 4, 0, 1): 0.9863978034400682,
    (2, 4, 0, 2): 0.9834382792465353,
    (2, 4, 1, 0): 0.0012286405048278493,
    (2, 4, 1, 1): 171.2667255897307,
    (2, 4, 1, 2): 0.9807858872435379,
    (2, 5, 1, 0): 0.0005130064588990679,
    (2, 5, 1, 2): 0.00010854057858411537,
}.items():
    WEIGHTS[_place] = _weight


def _xyb(linear: FloatMap) -> FloatMap:
    """Return linear RGB (H, W, 3) in positive XYB, with a margin that the windows read.

    The margin is zero on the left and right, and the mirror image above and below. It stays so
    in differences and products.
    """
    xyb = cv2.transform(cv2.pow(cv2.transform(linear, _MIX), 1 / 3), _MOVE)
    xyb = cv2.copyMakeBorder(xyb, 0, 0, MARGIN, MARGIN, cv2.BORDER_CONSTANT)
    xyb = cv2.copyMakeBorder(xyb, MARGIN, MARGIN, 0, 0, cv2.BORDER_REFLECT)
    return np.asarray(xyb, np.float32)


def _halve(linear: FloatMap) -> FloatMap:
    """Return 2x2 means; at an odd side the means of what there is."""
    height, width = linear.shape[:2]
    if height % 2 or width % 2:
        linear = cv2.copyMakeBorder(  # type: ignore[assignment]
            linear, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE
        )
    size = linear.shape[1] // 2, linear.shape[0] // 2
    return cv2.resize(linear, size, interpolation=cv2.INTER_AREA)  # type: ignore[return-value]


def _scales(image: Image) -> list[FloatMap]:
    """Return the XYB of an image at every scale whose sides have at least 8 pixels."""
    linear = np.asarray(cv2.LUT(image, _LINEAR), np.float32)
    found: list[FloatMap] = []
    while len(found) < SCALES and min(linear.shape[:2]) >= MIN_SIDE:
        found.append(_xyb(linear))
        linear = _halve(linear)
    return found


def _inner(values: FloatMap) -> FloatMap:
    """Return a view without the margin."""
    return values[MARGIN:-MARGIN, MARGIN:-MARGIN]


def _blur(values: FloatMap) -> FloatMap:
    """Return the weighted mean under every window, without the margin."""
    blurred = np.asarray(cv2.sepFilter2D(values, -1, _WINDOW, _WINDOW), np.float32)
    return _inner(blurred.reshape(values.shape))


def _edges(x: FloatMap, mean: FloatMap) -> FloatMap:
    """Return 1 + |x - mean|."""
    edges = np.asarray(cv2.absdiff(_inner(x), mean), np.float32)
    edges += np.float32(1)
    return edges


@dataclass(frozen=True, slots=True)
class _Strip:
    """Some rows of the reference at one scale; all but ``x`` lack the margin.

    Attributes
    ----------
    x
        XYB with the margin, (rows + 10, W + 10, 3).
    mean
        Under the window, (rows, W, 3).
    edges
        1 + |x - mean|.
    part
        Components whose dissimilarity has a weight.
    twice_variance
        2 var x + C2 of these.
    """

    x: FloatMap
    mean: FloatMap
    edges: FloatMap
    part: slice
    twice_variance: FloatMap


@dataclass(frozen=True, slots=True)
class Reference:
    """What ``score`` needs of the reference: its shape (H, W, 3) and its scales, finest first."""

    shape: tuple[int, ...]
    scales: tuple[tuple[_Strip, ...], ...]


def _strips(x: FloatMap, part: slice) -> Iterator[_Strip]:
    """Yield the reference's strips from top to bottom; neighbours overlap by the margins."""
    height, width, _ = x.shape
    rows = max(16, _STRIP_SAMPLES // (3 * width))
    for top in range(0, height - 2 * MARGIN, rows):
        inside = x[top : top + rows + 2 * MARGIN]
        mean, chosen = _blur(inside), _of(inside, part)
        variance = _blur(chosen * chosen) - _of(mean, part) ** 2
        yield _Strip(inside, mean, _edges(inside, mean), part, 2 * variance + _C2)


def _of(values: FloatMap, part: slice) -> FloatMap:
    """Return some components, each sample beside the next."""
    return np.ascontiguousarray(values[..., part])


def _dissimilarity(strip: _Strip, d: FloatMap, mean_d: FloatMap, y: FloatMap) -> FloatMap:
    """Return the structural dissimilarity of the weighted components, (rows, W, parts).

    With d = x - y it is 1 - (1 - mean2 d) (1 - var d / (var x + var y + C2)), exactly 0 for equal
    pictures; var y = var x - (var x - var y).
    """
    d, mean_d, mean = (_of(values, strip.part) for values in (d, mean_d, strip.mean))
    total = strip.twice_variance - _blur(d * _of(strip.x + y, strip.part))
    total += mean_d * (2 * mean - mean_d)
    darker = mean_d * mean_d
    found = _blur(d * d) - darker
    found /= total
    found += darker - found * darker
    return np.maximum(found, 0, out=found)


def _sums(strip: _Strip, y: FloatMap) -> NDArray[np.float64]:
    """Return sums over some rows: component, power (1, 4), map; (3, 2, 3)."""
    d = strip.x - y
    mean_d = _blur(d)
    change = _edges(y, strip.mean - mean_d)
    change /= strip.edges
    change -= np.float32(1)
    added = np.maximum(change, 0)
    lost = np.subtract(added, change, out=change)
    sums = np.zeros((3, 2, 3))
    sums[strip.part, :, 0] = _powers(_dissimilarity(strip, d, mean_d, y))
    sums[..., 1], sums[..., 2] = _powers(added), _powers(lost)
    return sums


def _powers(values: FloatMap) -> NDArray[np.float64]:
    """Return the sums of values and of their 4th powers by component; they are overwritten."""
    count = values.shape[2]
    first = cv2.sumElems(values)[:count]
    np.multiply(values, values, out=values)
    np.multiply(values, values, out=values)
    return np.array([first, cv2.sumElems(values)[:count]]).T


def _norms(strips: Iterable[_Strip], y: FloatMap) -> NDArray[np.float64]:
    """Return means and 4-norms of the maps at one scale: component, norm, map; (3, 2, 3)."""
    sums, top = np.zeros((3, 2, 3)), 0
    for strip in strips:
        sums += _sums(strip, y[top : top + strip.x.shape[0]])
        top += strip.mean.shape[0]
    means = sums / _inner(y)[..., 0].size
    means[:, 1] **= 0.25
    return means


class Ssimulacra2(Metric):
    """SSIMULACRA2, version 2.1; within 0.005 of the package ``ssimulacra2`` on photographs."""

    name = "ssimulacra2"
    title = "SSIMULACRA2"
    digits = 2
    definition = (
        "SSIMULACRA2, version 2.1: 11-tap Gaussian windows, samples taken as sRGB; fewer than six "
        "scales where a side has under 225 pixels, as in the original."
    )
    smallest_px = MIN_SIDE
    limits = (-math.inf, 100.0)
    in_default_run = True
    in_every_file = False

    def prepare(self, reference: Image) -> Reference:
        """Return the scales of the reference with what is filtered once."""
        self.require_defined(reference)
        maps = _scales(reference)
        # Of the finest of six scales, only the dissimilarity of Y has a weight.
        parts = [slice(None)] * len(maps)
        if len(maps) == SCALES:
            parts[0] = slice(1, 2)
        scales = (tuple(_strips(*pair)) for pair in zip(maps, parts, strict=True))
        return Reference(reference.shape, tuple(scales))

    def score(self, state: Reference, decoded: Image) -> float:
        """Return the score of ``decoded``, 100 at most."""
        require_same_shape(state.shape, decoded)
        pairs = zip(state.scales, _scales(decoded), strict=True)
        norms = np.stack([_norms(strips, y) for strips, y in pairs], axis=1)
        # With fewer scales the original takes the weights in the same order, hence the reshape.
        weights = WEIGHTS.reshape(-1)[: norms.size].reshape(norms.shape)
        total = 0.9562382616834844 * float((weights * norms).sum())
        curve = (6.248496625763138e-05 * total - 0.020884521182843837) * total + 2.326765642916932
        found = curve * total
        return 100.0 - 10.0 * found**0.6276336467831387 if found > 0 else 100.0

"""Hit a target rate: bisection over a codec's own rate parameter, on the size of real files."""

from __future__ import annotations

import math
from dataclasses import dataclass

from bench import registry
from bench.codec import Codec, Setting
from bench.errors import SettingError
from bench.image import Image

_MAX_ENCODES = 40


@dataclass(frozen=True, slots=True)
class Encoded:
    """A file near a target rate.

    Attributes
    ----------
    data
        The file.
    setting
        What made it.
    bpp
        8 * len(data) / (W * H).
    reached
        Whether bpp lies within the tolerance; whole-numbered parameters may not allow it.
    encodes
        How many files were made on the way.
    """

    data: bytes
    setting: Setting
    bpp: float
    reached: bool
    encodes: int


class _Search:
    """Memory of one search: the file of every value tried, and the best of them."""

    def __init__(self, codec: Codec, image: Image, base: Setting, target: float) -> None:
        self.codec, self.image, self.base, self.target = codec, image, base, target
        self.rate = registry.rate_name(codec)
        self.tried: dict[float, float] = {}
        self.best: tuple[float, bytes, Setting] | None = None

    def log_ratio(self, value: float) -> float:
        """Return log(bpp / target) at one value of the rate parameter."""
        if value not in self.tried:
            setting = registry.complete(self.codec, self.base.replace(**{self.rate: value}))
            data = self.codec.encode(self.image, setting)
            height, width = self.image.shape[:2]
            ratio = math.log(8 * len(data) / (width * height) / self.target)
            self.tried[value] = ratio
            if self.best is None or abs(ratio) < abs(self.best[0]):
                self.best = (ratio, data, setting)
        return self.tried[value]


def encode_to_bpp(
    codec: Codec, image: Image, base: Setting, bpp: float, tolerance: float = 0.01
) -> Encoded:
    """Return the file of ``image`` nearest to ``bpp`` bits a pixel.

    Parameters
    ----------
    codec
        Any codec with a rate search of its own, or whose ``rate`` parameter has bounds.
    image
        uint8 RGB (H, W, 3).
    base
        The options to hold.
    bpp
        Target, in bits per pixel of the whole file.
    tolerance
        Relative; where a whole-numbered parameter cannot meet it, the nearest file is returned
        with ``reached`` false.

    Raises
    ------
    SettingError
        If the codec has neither, or ``bpp`` is not a positive, finite number.
    """
    if not (bpp > 0 and math.isfinite(bpp)):
        raise SettingError(f"--bpp must be positive and finite, found {bpp}")
    own = codec.encode_to_rate(image, bpp, tolerance, base)
    if own is not None:
        return _result(image, *own, bpp, tolerance, encodes=0)
    rate = registry.rate_name(codec)
    parameter = registry.parameters(codec).get(rate)
    if parameter is None or parameter.low is None or parameter.high is None:
        raise SettingError(f"codec {codec.name} has no bounded rate parameter to search over")
    search = _Search(codec, image, base, bpp)
    low, high = _oriented(codec, rate, parameter.low, parameter.high)
    _bisect(search, low, high, tolerance, whole=isinstance(parameter.default, int))
    assert search.best is not None
    _, data, setting = search.best
    return _result(image, data, setting, bpp, tolerance, encodes=len(search.tried))


def _oriented(codec: Codec, rate: str, low: float, high: float) -> tuple[float, float]:
    """Return the bounds with the low-rate end first; ladders run from low to high rate."""
    ladder = codec.ladder()
    rising = float(ladder[-1][rate]) >= float(ladder[0][rate])
    return (low, high) if rising else (high, low)


def _bisect(search: _Search, low: float, high: float, tolerance: float, *, whole: bool) -> None:
    """Narrow the bracket until a file is near enough or the bracket cannot shrink."""
    near = math.log1p(tolerance)
    if search.log_ratio(low) >= 0 or search.log_ratio(high) <= 0:
        return  # the target lies beyond an end: the end is the nearest there is
    for _ in range(_MAX_ENCODES):
        middle = (low + high) / 2
        if whole:
            middle = float(round(middle))
        if middle in (low, high):
            return
        ratio = search.log_ratio(middle)
        if abs(ratio) <= near and not whole:
            return
        low, high = (middle, high) if ratio < 0 else (low, middle)


def _result(
    image: Image, data: bytes, setting: Setting, target: float, tolerance: float, *, encodes: int
) -> Encoded:
    height, width = image.shape[:2]
    found = 8 * len(data) / (width * height)
    return Encoded(data, setting, found, abs(found / target - 1) <= tolerance, encodes)

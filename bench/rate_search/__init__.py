"""Hit a target, a rate or a quality: a search over a codec's own rate parameter, on real files."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise

from bench import metrics as metrics_of
from bench import registry
from bench.codec import Codec, Setting
from bench.errors import SettingError
from bench.image import Image
from bench.rate_search.target import RATE_TOLERANCE, PerImage, Target, targets

__all__ = [
    "Curve",
    "Encoded",
    "PerImage",
    "Target",
    "bits_per_pixel",
    "encode_to_bpp",
    "find",
    "require_rate",
    "search",
    "targets",
]

VERSION = "1"
"""Changes whenever a search may end elsewhere; part of the key of stored files."""

_MAX_ENCODES = 40
_FINEST = 1e-4


@dataclass(frozen=True, slots=True)
class Encoded:
    """A file near a target.

    Attributes
    ----------
    data
        The file.
    setting
        What made it.
    bpp
        8 * len(data) / (W * H).
    reached
        Whether it has what was wanted, within the tolerance; steps of a parameter may not allow it.
    encodes
        How many files were made on the way.
    value
        What it has of the target's metric; NaN without a target.
    note
        Why the target is not reached, or that the curve falls; may be empty.
    encode_s
        What making this one took; None where a search of the codec's own made it.
    exact_bpp
        The rate at the very target, interpolated between the two nearest files around it in the
        logarithm of the rate; NaN where the target is out of reach, or is a rate.
    """

    data: bytes
    setting: Setting
    bpp: float
    reached: bool
    encodes: int
    value: float = field(default=math.nan, compare=False)
    note: str = ""
    encode_s: float | None = field(default=None, compare=False)
    exact_bpp: float = field(default=math.nan, compare=False)


@dataclass(slots=True)
class Curve:
    """What is known of one image, one codec and one metric: every setting that was tried.

    Attributes
    ----------
    codec, image, base
        Options of ``base`` are held.
    measure
        File -> value of the metric.
    """

    codec: Codec
    image: Image
    base: Setting
    measure: Callable[[bytes], float]
    files: dict[float, tuple[bytes, Setting, float, float]] = field(default_factory=dict)

    def at(self, value: float) -> float:
        """Return the metric at one value of the rate parameter."""
        if value not in self.files:
            rate = registry.rate_name(self.codec)
            setting = registry.complete(self.codec, self.base.replace(**{rate: value}))
            started = time.perf_counter()
            data = self.codec.encode(self.image, setting)
            took_s = time.perf_counter() - started
            self.files[value] = data, setting, self.measure(data), took_s
        return self.files[value][2]


def _values(codec: Codec) -> tuple[list[float], bool]:
    """Return the values of the rate parameter by rising rate; whether all between are legal too.

    Raises
    ------
    SettingError
        If the codec has no rate to choose.
    """
    rate, ladder = registry.rate_name(codec), codec.ladder()
    parameter = registry.parameters(codec).get(rate)
    steps = [float(s[rate]) for s in ladder if rate and isinstance(s.get(rate), int | float)]
    if parameter is None or not steps:
        raise SettingError(f"codec {codec.name} has no bounded rate parameter to search over")
    low, high = parameter.low, parameter.high
    between = isinstance(parameter.default, float)
    if parameter.choices or low is None or high is None:
        chosen = [float(c) for c in parameter.choices if isinstance(c, int | float)] or steps
        found, between = sorted(set(chosen)), False
    elif between:
        found = [low, high]
    else:
        found = [float(v) for v in range(math.ceil(low), math.floor(high) + 1)]
    return (found if steps[-1] >= steps[0] else found[::-1]), between


def require_rate(codec: Codec) -> None:
    """Refuse a codec that has no rate to choose.

    Raises
    ------
    SettingError
        If that is so.
    """
    _values(codec)


def find(curve: Curve, target: Target) -> Encoded:
    """Return the file whose metric comes nearest to a target.

    Parameters
    ----------
    curve
        Keeps what it learns: a second target of the same metric starts from there.
    target
        Of two files as near as each other, that of the higher rate is taken.

    Raises
    ------
    SettingError
        If the codec has no rate parameter.
    BenchError
        What the codec or the metric raises.
    """
    codec, image = curve.codec, curve.image
    if target.metric == "bpp":
        own = codec.encode_to_rate(image, target.value, RATE_TOLERANCE, curve.base)
        if own is not None:
            bpp = bits_per_pixel(image, own[0])
            near = abs(bpp / target.value - 1) <= RATE_TOLERANCE
            note = "" if near else f"out of reach: the nearest has {bpp:.4g}"
            return Encoded(*own, bpp, near, 0, bpp, note)
    values, between = _values(codec)
    search = _Search(curve, target, values, between=between)
    search.run()
    value, gap = search.best
    data, setting, found, took_s = curve.files[value]
    reached = abs(gap) <= search.near
    notes = [*([] if reached else [search.why()]), *search.falls()]
    bpp = bits_per_pixel(image, data)
    note = "; ".join(notes)
    exact = math.nan if target.metric == "bpp" else search.exact_bpp()
    tried = len(curve.files)
    return Encoded(data, setting, bpp, reached, tried, found, note, took_s, exact)


def search(codec: Codec, image: Image, base: Setting, target: Target) -> Encoded:
    """Return the file of one image, uint8 RGB (H, W, 3), that comes nearest to a target.

    ``base`` has the options to hold.

    Raises
    ------
    SettingError
        If the codec has no rate parameter.
    BenchError
        What the codec or the metric raises, ``Undefined`` for an image that is too small.
    """
    if target.metric == "bpp":
        return find(Curve(codec, image, base, partial(bits_per_pixel, image)), target)
    metric = metrics_of.create(target.metric)
    metric.require_defined(image)
    state = metric.prepare(image)
    return find(
        Curve(codec, image, base, lambda data: metric.score(state, codec.decode(data))), target
    )


def bits_per_pixel(image: Image, data: bytes) -> float:
    """Return the rate of a whole file."""
    return 8 * len(data) / (image.shape[0] * image.shape[1])


def encode_to_bpp(codec: Codec, image: Image, base: Setting, bpp: float) -> Encoded:
    """Return the file of ``image``, uint8 RGB (H, W, 3), nearest to ``bpp`` bits a pixel.

    ``base`` has the options to hold.

    Raises
    ------
    SettingError
        If the codec has no rate parameter, or ``bpp`` is not a positive, finite number.
    """
    if not (bpp > 0 and math.isfinite(bpp)):
        raise SettingError(f"--bpp must be positive and finite, found {bpp}")
    return search(codec, image, base, Target("bpp", bpp))


class _Search:
    """One search: the gap to the target at the values tried, by places that rise with the rate."""

    def __init__(
        self, curve: Curve, target: Target, values: Sequence[float], *, between: bool
    ) -> None:
        self.curve, self.values, self.between = curve, values, between
        self.beyond, self.near = target.scale()
        self.name = registry.rate_name(curve.codec)
        self.last = float(len(values) - 1)

    def place(self, value: float) -> float:
        """Return the place of a value: a whole number, or one between two values."""
        if not self.between:
            return float(self.values.index(value))
        return (value - self.values[0]) / (self.values[-1] - self.values[0])

    def value(self, place: float) -> float:
        """Return the value at a place."""
        if not self.between:
            return self.values[round(place)]
        return self.values[0] + place * (self.values[-1] - self.values[0])

    def gap(self, place: float) -> float:
        """Return how far the metric lies beyond the target at a place."""
        return self.beyond(self.curve.at(self.value(place)))

    def known(self) -> list[tuple[float, float, float]]:
        """Return place, gap and value of what was tried so far, by rising rate."""
        files = self.curve.files.items()
        return sorted((self.place(v), self.beyond(f[2]), v) for v, f in files)

    @property
    def best(self) -> tuple[float, float]:
        """The value nearest to the target, and its gap."""
        _, gap, value = min(self.known(), key=lambda one: (abs(one[1]), -one[1]))
        return value, gap

    def run(self) -> None:
        """Narrow a bracket until a file is near enough or the bracket cannot shrink."""
        ladder = self.curve.codec.ladder()
        low, high = (self.place(float(ladder[end][self.name])) for end in (0, -1))
        inside = [(place, gap) for place, gap, _ in self.known() if low < place < high]
        low = max([place for place, gap in inside if gap < 0], default=low)
        high = min([place for place, gap in inside if gap >= 0 and place > low], default=high)
        if self.gap(low) >= 0:
            low, high = 0.0, low
        elif self.gap(high) < 0:
            low, high = high, self.last
        if self.gap(low) < 0 < self.gap(high):
            self._narrow(low, high)
        # Else the target lies beyond an end of the range: the end is the nearest there is.

    def _narrow(self, low: float, high: float) -> None:
        for turn in range(_MAX_ENCODES):
            below, above = self.gap(low), self.gap(high)
            share = 0.5
            if turn % 3 < 2 and math.isfinite(below) and math.isfinite(above):
                share = min(max(below / (below - above), 0.1), 0.9)
            middle = low + share * (high - low)
            if not self.between:
                if high - low <= 1:
                    return
                middle = float(min(max(round(middle), low + 1), high - 1))
            elif abs(self.best[1]) <= self.near or high - low < _FINEST:
                return
            low, high = (middle, high) if self.gap(middle) < 0 else (low, middle)

    def why(self) -> str:
        """Return why the target is missed, in words."""
        value, gap = self.best
        pairs = self.known()
        here = [v for _, _, v in pairs].index(value)
        others = pairs[:here][::-1] if gap > 0 else pairs[here + 1 :]
        other = next((v for _, g, v in others if g * gap < 0), None)
        if other is None:
            return f"out of reach: {self._word(value)}, no {'less' if gap > 0 else 'more'}"
        return f"no step between: {self._word(value)}, {self._word(other)}"

    def exact_bpp(self) -> float:
        """Return the rate at the very target; NaN where no two files lie around it."""
        pairs, (value, gap) = self.known(), self.best
        rates = {v: bits_per_pixel(self.curve.image, f[0]) for v, f in self.curve.files.items()}
        here = [v for _, _, v in pairs].index(value)
        other = here - 1 if gap > 0 else here + 1
        if gap == 0 or not 0 <= other < len(pairs):
            return rates[value] if abs(gap) <= self.near else math.nan
        _, beyond, neighbour = pairs[other]
        if beyond * gap >= 0 or not (math.isfinite(beyond) and math.isfinite(gap)):
            return rates[value] if abs(gap) <= self.near else math.nan
        share = gap / (gap - beyond)
        return math.exp((1 - share) * math.log(rates[value]) + share * math.log(rates[neighbour]))

    def falls(self) -> list[str]:
        """Return where the metric falls while the rate rises: one place, or none."""
        pairs = self.known()
        for (_, before, one), (_, after, other) in pairwise(pairs):
            if after < before - self.near:
                return [f"not monotone: {self._word(one)}, {self._word(other)}"]
        return []

    def _word(self, value: float) -> str:
        return f"{self.name} {value:.6g} gives {self.curve.files[value][2]:.5g}"

"""Integer frequency tables of the entropy coder: the same numbers on every machine.

A symbol is the residual ``k = round(y - mu)``; its model is the bin mass of a split normal with
mode 0 and scales ``s_l`` (left) and ``s_r`` (right). Both scales come from a grid of 40, so there
are 1,600 tables. Nothing here that reaches the coder was ever a float: the one-sided masses are
computed with Python's integers, correctly rounded, and each table is apportioned from them by
integer comparisons. ``ENTROPY.md`` beside this file is the specification.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from bench.codecs.agvae.bitstream.rans_kernels import (
    ESCAPE_FLAG,
    PRECISION_BITS,
    SLOT_BITS,
    TOTAL,
    Ints,
    Longs,
    apportion,
    apportion_each,
    contexts,
)

Shorts = npt.NDArray[np.int16]
Floats = npt.NDArray[np.float64]

NUM_SCALES = 40
SCALE_FRACTION_BITS = 16
# fmt: off
SCALE_UNITS = (
    7209, 8038, 8963, 9997, 11153, 12445, 13892, 15511, 17325, 19359,
    21641, 24204, 27085, 30329, 33985, 38112, 42779, 48065, 54068, 60900,
    68698, 77626, 87887, 99729, 113463, 129480, 148284, 170531, 197094, 229159,
    268382, 317144, 379001, 459511, 567877, 720515, 949860, 1330221, 2077549, 4194304,
)
"""The grid in units of 2**-16: ``1/(1/s + 1/8)`` is evenly spaced in its logarithm.

Up to 2 that is a log grid of ratio 1.11 to 1.14; it widens above, where scales are rare and a
wrong one costs little beside the many bits of its symbols. A plain log grid of 40 costs 0.10 %
more rate on Kodak."""
SCALE_THRESHOLDS: npt.NDArray[np.int64] = np.array([
    -551, -523, -495, -467, -439, -411, -383, -354, -326, -297,
    -269, -240, -211, -182, -153, -124, -94, -64, -34, -3,
    28, 60, 92, 124, 158, 192, 227, 264, 301, 341,
    382, 427, 474, 525, 583, 648, 726, 823, 962,
], np.int64)
# fmt: on
"""Index of a log-scale ``t * 2**-8`` = number of thresholds at or under the integer ``t``."""
SCALES: Floats = np.array(SCALE_UNITS, np.float64) / (1 << SCALE_FRACTION_BITS)
"""The 40 scales, from 0.11 to 64 latent steps; exact, since units are multiples of 2**-16."""
for _constant in (SCALE_THRESHOLDS, SCALES):
    _constant.setflags(write=False)
MAX_RADIUS = 255

ESCAPE_LENGTH = NUM_SCALES * NUM_SCALES
"""Context of the bit length of an escaped magnitude; ``ESCAPE_LENGTH + b`` codes b raw bits."""
MAX_LENGTH = 30
RAW_BITS = 8
FIRST_Z = ESCAPE_LENGTH + RAW_BITS + 1
"""Context of z's channel 0."""

_MASS_BITS = 32  # fraction of the one-sided integer masses
_WORK_BITS = 160  # fraction of the fixed-point numbers they are computed with
_INV_SQRT_2PI = 583054796007218040734191730443699882195345907504  # in units of 2**-160
_FAR = 9  # beyond 9 standard deviations less than 2**-62 is left: it rounds to nothing


@cache
def index_table() -> tuple[int, npt.NDArray[np.uint8]]:
    """Return the first log-scale (in steps) of a table of grid indices, and the table."""
    steps = np.arange(SCALE_THRESHOLDS[0] - 1, SCALE_THRESHOLDS[-1] + 1)
    return int(steps[0]), np.searchsorted(SCALE_THRESHOLDS, steps, side="right").astype(np.uint8)


def _half_normal(numerator: int, denominator: int) -> int:
    """Return ``Phi(numerator / denominator) - 1/2`` in units of 2**-160, for a positive ratio.

    The alternating series of the error function, whose terms stay under 2**60 up to 9 standard
    deviations: about 100 bits behind the binary point are right.
    """
    if numerator >= _FAR * denominator:
        return 1 << (_WORK_BITS - 1)
    x = (numerator << _WORK_BITS) // denominator
    square = (x * x) >> _WORK_BITS
    power, total, n = x, 0, 0
    while power:
        term = power // (2 * n + 1)
        total += -term if n & 1 else term
        n += 1
        power = ((power * square) >> _WORK_BITS) // (2 * n)
    return (total * _INV_SQRT_2PI) >> _WORK_BITS


def radius(index: int) -> int:
    """Return the largest magnitude that has a symbol of its own on a side with this scale."""
    six_sigma = -(-6 * SCALE_UNITS[index] >> SCALE_FRACTION_BITS)
    return min(max(3, six_sigma), MAX_RADIUS)


def side_masses(index: int) -> list[int]:
    """Return the integer masses of one side of a split normal.

    Entry 0 is the half bin [0, 1/2], entry k the bin [k - 1/2, k + 1/2] up to the radius, the last
    all beyond: ``s * (Phi(b/s) - Phi(a/s))`` in units of 2**-32, correctly rounded.
    """
    scale = SCALE_UNITS[index]
    # (k + 1/2) / s = (2k + 1) * 2**15 / units
    edges = [
        _half_normal((2 * k + 1) << (SCALE_FRACTION_BITS - 1), scale)
        for k in range(radius(index) + 1)
    ]
    bounds = [0, *edges, 1 << (_WORK_BITS - 1)]
    shift = _WORK_BITS - (_MASS_BITS - SCALE_FRACTION_BITS)
    return [(scale * (b - a) + (1 << (shift - 1))) >> shift for a, b in pairwise(bounds)]


def quantise_pmf(p: npt.ArrayLike, total_bits: int = PRECISION_BITS) -> Ints:
    """Return integer frequencies for a pmf: at least 1 each, ``2**total_bits`` together.

    Every symbol gets 1; what remains is given away one by one, each to the symbol with the
    largest ``p / (2 f + 1)``, the first on a tie (Webster's method of apportionment). That is
    within a second-order term of the least expected code length ``-sum p log2 f``.

    Parameters
    ----------
    p
        Non-negative masses of shape (n,), not necessarily normalised. Integers under 2**41 are
        taken as they are, so the result is exact; floats are scaled to integers first.
    total_bits
        Logarithm of the sum of the frequencies, at most 16.

    Returns
    -------
    int32 array of shape (n,)

    Raises
    ------
    ValueError
        If there are more symbols than units, or the masses are negative, not finite or all zero.
    """
    masses = np.asarray(p)
    if masses.ndim != 1 or not 2 <= masses.size <= 1 << total_bits <= 1 << 16:
        raise ValueError(f"{masses.shape} masses do not fit in 2**{total_bits} units")
    if not np.isfinite(masses).all() or masses.min() < 0 or masses.max() <= 0:
        raise ValueError("masses must be finite, none negative and not all zero")
    if masses.dtype.kind not in "iu":
        masses = np.rint(masses / masses.sum() * (1 << 40))
    weights = np.ascontiguousarray(masses, np.int64)
    if weights.max() > 1 << 41:
        raise ValueError(f"integer masses must stay under 2**41, found {weights.max()}")
    out = np.empty(weights.size, np.int64)
    apportion(weights, 1 << total_bits, out)
    return out.astype(np.int32)


def quantise_all(masses: Sequence[npt.NDArray[np.int64]]) -> tuple[Ints, ...]:
    """Return what ``quantise_pmf`` gives for each of many tables of integer masses, in one go.

    Raises
    ------
    ValueError
        If ``quantise_pmf`` refuses one of them.
    """
    sizes = np.array([len(table) for table in masses], np.int64)
    weights = np.concatenate(masses)
    starts = np.cumsum(sizes) - sizes
    most = np.maximum.reduceat(weights, starts) if sizes.min() else np.zeros(1)
    if weights.min(initial=0) < 0 or most.min() <= 0 or most.max() > 1 << 41:
        raise ValueError("integer masses must lie in [0, 2**41], not all of a table's 0")
    if not 2 <= sizes.min() <= sizes.max() <= TOTAL:
        raise ValueError(f"tables of {sizes.min()} to {sizes.max()} masses, wanted 2 to {TOTAL}")
    out = np.empty(weights.size, np.int64)
    apportion_each(weights, starts + sizes, TOTAL, out)
    return tuple(np.split(out.astype(np.int32), starts[1:]))


def z_tables_from_cdf(cdf: npt.ArrayLike) -> Ints:
    """Return the integer frequencies of z, one table a channel, for ``Bank.with_z``.

    For the exporter of weights: floats end here, and the integers travel with the weights.

    Parameters
    ----------
    cdf
        Cumulative probabilities of shape (C, n + 1) at the n + 1 edges of n unit bins, that is at
        ``low - 1/2, low + 1/2, ..., high + 1/2``.

    Returns
    -------
    int32 array of shape (C, n + 2)
        Column 0 is the escape below ``low``, the last column the escape above ``high``.
    """
    edges = np.asarray(cdf, np.float64)
    full = np.concatenate((np.zeros((len(edges), 1)), edges, np.ones((len(edges), 1))), axis=1)
    return np.stack([quantise_pmf(np.maximum(np.diff(row), 0)) for row in full])


@cache
def split_normal_frequencies() -> tuple[Ints, ...]:
    """Return the 1,600 tables of y: entry ``left * 40 + right``, escapes at both ends."""
    sides = [side_masses(index) for index in range(NUM_SCALES)]
    return quantise_all(
        [
            np.array([*left[:0:-1], left[0] + right[0], *right[1:]], np.int64)
            for left in sides
            for right in sides
        ]
    )


def corrected_frequencies(sign: npt.ArrayLike, tail: npt.ArrayLike) -> tuple[Ints, ...]:
    """Return tables like ``split_normal_frequencies`` from what was counted.

    Parameters
    ----------
    sign
        Masses of negative, zero and positive symbols for each pair of scales, integers (1600, 3).
    tail
        Masses of the magnitudes 1, 2, ... of negative and of positive symbols for each scale,
        integers (2, 40, 256) of sum 2**20; the last that is not 0 is the escape's.
    """
    signs, tails = np.asarray(sign, np.int64), np.asarray(tail, np.int64)
    reach = [radius(index) + 1 for index in range(NUM_SCALES)]
    negative = [side[:n][::-1] for side, n in zip(tails[0], reach, strict=True)]
    positive = [side[:n] for side, n in zip(tails[1], reach, strict=True)]
    whole = int(tails[0, 0].sum())
    masses = []
    for context, (below, zero, above) in enumerate(signs):
        left, right = divmod(context, NUM_SCALES)
        parts = (below * negative[left], [zero * whole], above * positive[right])
        masses.append(np.concatenate(parts))
    return quantise_all(masses)


@dataclass(frozen=True, slots=True, eq=False)
class Bank:
    """All tables of a coder, indexed by context; immutable.

    Attributes
    ----------
    entries
        uint64, one per symbol of every table: cumulative start (bits 0-14), frequency (15-29),
        escape flag (31), symbol as int32 (32-63).
    buckets
        uint64 of shape (contexts * 256,): for each context and each ``slot >> 7``, the entry that
        the bucket's first slot belongs to. Its successors in ``entries`` hold the rest.
    origin
        int32 per context: the entry of symbol k is ``entries[origin + k]``.
    low, high
        int32 per context: symbols at or under ``low``, or at or above ``high``, are escaped.
    """

    entries: Longs
    buckets: Longs
    origin: Ints
    low: Ints
    high: Ints

    def __post_init__(self) -> None:
        for array in (self.entries, self.buckets, self.origin, self.low, self.high):
            array.setflags(write=False)

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle by the arrays, so that a copy is read-only as well."""
        return Bank, (self.entries, self.buckets, self.origin, self.low, self.high)

    @property
    def num_contexts(self) -> int:
        """Number of tables: split normals, escapes, then z's channels."""
        return len(self.origin)

    @property
    def bits(self) -> Floats:
        """Information content of each entry in bits, float64."""
        frequency = (self.entries >> np.uint64(PRECISION_BITS)) & np.uint64(TOTAL - 1)
        found: Floats = np.log2(frequency.astype(np.float64))
        return PRECISION_BITS - found

    @staticmethod
    def y_context(left: Shorts, right: Shorts) -> Ints:
        """Return the contexts of residuals with these log-scales, in steps of 2^-8.

        Parameters
        ----------
        left, right
            int16 of one shape, contiguous.
        """
        first, indices = index_table()
        out = np.empty(left.shape, np.int32)
        flat = (left.reshape(-1), right.reshape(-1))
        contexts(*flat, first, indices, NUM_SCALES, out.reshape(-1))
        return out

    @staticmethod
    def z_context(channel: npt.ArrayLike) -> Ints:
        """Return the contexts of z's channels, any shape; needs ``with_z``."""
        return np.asarray(channel, np.int32) + np.int32(FIRST_Z)

    def with_z(self, z_freqs: npt.ArrayLike, z_low: npt.ArrayLike | None = None) -> Bank:
        """Return a bank that also holds one table per channel of z.

        Parameters
        ----------
        z_freqs
            Integers of shape (C, n + 2) as ``z_tables_from_cdf`` makes them: at least 1 each,
            2**15 per channel, the escapes at both ends.
        z_low
            Symbol of column 1, for all channels or of shape (C,). Default: n is odd and the
            middle column is symbol 0.

        Raises
        ------
        ValueError
            If the integers are no such tables, or -1, 0 and 1 are not among the n symbols.
        """
        freqs = np.asarray(z_freqs)
        if freqs.ndim != 2 or freqs.shape[1] < 5 or freqs.dtype.kind not in "iu":
            found = f"{freqs.dtype} {freqs.shape}"
            raise ValueError(f"tables of z must be integers (C, n + 2), n >= 3, found {found}")
        if freqs.min(initial=1) < 1 or (freqs.sum(axis=1) != TOTAL).any():
            raise ValueError(f"frequencies of z must be positive and sum to {TOTAL} per channel")
        middle = -((freqs.shape[1] - 3) // 2) if z_low is None else z_low
        lows = np.broadcast_to(np.asarray(middle, np.int64), (len(freqs),))
        if lows.max(initial=-1) > -1 or lows.min(initial=0) + freqs.shape[1] - 3 < 1:
            raise ValueError("tables of z must cover the symbols -1, 0 and 1")
        tables = [(int(low) - 1, row, True) for low, row in zip(lows, freqs, strict=True)]
        return _bank(tables, self._without_z())

    def _without_z(self) -> Bank:
        if self.num_contexts == FIRST_Z:
            return self
        entries = int(self.origin[ESCAPE_LENGTH + RAW_BITS]) + (1 << RAW_BITS)
        buckets = FIRST_Z << PRECISION_BITS - SLOT_BITS
        per_context = (self.origin[:FIRST_Z], self.low[:FIRST_Z], self.high[:FIRST_Z])
        return Bank(self.entries[:entries], self.buckets[:buckets], *per_context)


def _bank(tables: Sequence[tuple[int, npt.ArrayLike, bool]], base: Bank | None = None) -> Bank:
    """Return ``base`` plus tables given as (first symbol, frequencies, escapes at both ends)."""
    sizes = np.array([len(np.asarray(f)) for _, f, _ in tables], np.int64)
    first = np.cumsum(sizes) - sizes
    frequency = np.concatenate([np.asarray(f, np.int64) for _, f, _ in tables])
    table = np.repeat(np.arange(len(tables)), sizes)
    start = np.cumsum(frequency) - frequency - table * TOTAL
    lowest = np.array([low for low, _, _ in tables], np.int64)
    symbol = np.arange(frequency.size) - (first - lowest)[table]
    flag = np.zeros(frequency.size, np.int64)
    escapes = np.array([has for _, _, has in tables], bool)
    flag[first[escapes]] = flag[(first + sizes - 1)[escapes]] = ESCAPE_FLAG
    entries = (start | frequency << PRECISION_BITS | flag | symbol << 32).view(np.uint64)
    slots = np.arange(0, TOTAL * len(tables), 1 << SLOT_BITS)
    buckets = entries[np.searchsorted(start + table * TOTAL, slots, side="right") - 1]
    far = np.iinfo(np.int32)
    low = np.where(escapes, lowest, far.min)
    high = np.where(escapes, lowest + sizes - 1, far.max)
    origin = first - lowest + (0 if base is None else base.entries.size)
    new = Bank(entries, buckets, *(a.astype(np.int32) for a in (origin, low, high)))
    if base is None:
        return new
    return Bank(
        *(np.concatenate((getattr(base, n), getattr(new, n))) for n in Bank.__dataclass_fields__)
    )


@cache
def standard_bank() -> Bank:
    """Return the bank without z: the split normals, then the tables that escapes need."""
    return _bank_of_y(split_normal_frequencies())


def corrected_bank(sign: npt.ArrayLike, tail: npt.ArrayLike) -> Bank:
    """Return a bank like ``standard_bank`` of ``corrected_frequencies``; of the same layout."""
    return _bank_of_y(corrected_frequencies(sign, tail))


def _bank_of_y(frequencies: Sequence[Ints]) -> Bank:
    tables: list[tuple[int, npt.ArrayLike, bool]] = [
        (-radius(left) - 1, frequencies[left * NUM_SCALES + right], True)
        for left in range(NUM_SCALES)
        for right in range(NUM_SCALES)
    ]
    lengths = quantise_pmf([1 << (MAX_LENGTH - n) for n in range(MAX_LENGTH + 1)])
    tables.append((0, lengths, False))
    tables += [(0, np.full(1 << b, TOTAL >> b), False) for b in range(1, RAW_BITS + 1)]
    return _bank(tables)

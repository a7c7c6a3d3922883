"""The coder's tables: the formula against integration, the integers against exact arithmetic."""

from __future__ import annotations

import hashlib
import heapq
import math
import pickle
from fractions import Fraction
from itertools import pairwise

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.special import ndtr
from scipy.stats import norm

from bench.codecs.agvae.bitstream import frequency_tables, rans_kernels
from bench.codecs.agvae.bitstream.frequency_tables import (
    NUM_SCALES,
    SCALE_THRESHOLDS,
    SCALES,
    TOTAL,
    Bank,
)

PAIRS = [(0.11, 0.11), (0.11, 64.0), (0.3, 0.5), (1.0, 1.0), (2.7, 0.4), (5.0, 20.0), (64.0, 64.0)]
TABLES = NUM_SCALES * NUM_SCALES
INDEX_PAIRS = [(0, 0), (0, 39), (5, 20), (20, 5), (25, 25), (39, 39), (30, 31)]


def density(x: float, left: float, right: float) -> float:
    """The split normal of the issue's paper, mode 0."""
    scale = left if x < 0 else right
    return math.sqrt(2 / math.pi) / (left + right) * math.exp(-(x**2) / (2 * scale**2))


def split_normal_pmf(scale_left: float, scale_right: float, k: np.ndarray) -> np.ndarray:
    """Return the mass of the unit bins around ``k`` under a split normal with mode 0.

    The reference formula in float64; the coder uses integers. Differences are taken between tails,
    never between numbers near one, so far bins keep their precision.

    Density ``sqrt(2/pi) / (s_l + s_r) * exp(-x**2 / (2 s**2))`` with ``s = s_l`` for x < 0 and
    ``s_r`` otherwise: the two-piece normal, continuous at its mode, as the reading of Cui et al.,
    CVPR 2021, equations 9 and 10, which leave the mass of a bin open.
    """
    symbols = np.asarray(k, np.float64)
    low, high = symbols - 0.5, symbols + 0.5
    left = ndtr(np.minimum(high, 0) / scale_left) - ndtr(np.minimum(low, 0) / scale_left)
    right = ndtr(-np.maximum(low, 0) / scale_right) - ndtr(-np.maximum(high, 0) / scale_right)
    mass = scale_left * left + scale_right * right
    return np.asarray(2 / (scale_left + scale_right) * mass, np.float64)


def frequencies(left: int, right: int) -> np.ndarray:
    return frequency_tables.split_normal_frequencies()[left * NUM_SCALES + right]


def webster(weights: list[int], total: int) -> list[int]:
    """Units given away one by one, in exact fractions: the specification, slowly."""
    freqs = [1] * len(weights)
    heap = [(Fraction(-w, 3), i) for i, w in enumerate(weights)]
    heapq.heapify(heap)
    for _ in range(total - len(weights)):
        i = heap[0][1]
        freqs[i] += 1
        heapq.heapreplace(heap, (Fraction(-weights[i], 2 * freqs[i] + 1), i))
    return freqs


def test_the_grid_is_the_one_that_its_formula_gives():
    """Scales and thresholds are rounded from even steps in log(1 / (1/s + 1/8))."""
    with mpmath.workdps(40):
        low, high = (mpmath.log(1 / (1 / mpmath.mpf(s) + mpmath.mpf(1) / 8)) for s in ("0.11", 64))
        step = (high - low) / (NUM_SCALES - 1)
        scale = [1 / (mpmath.exp(-low - step * i / 2) - mpmath.mpf(1) / 8) for i in range(79)]
        units = [int(mpmath.floor(65536 * s + mpmath.mpf(1) / 2)) for s in scale[::2]]
        thresholds = [int(mpmath.ceil(256 * mpmath.log(s))) for s in scale[1::2]]

    assert list(frequency_tables.SCALE_UNITS) == units
    assert SCALE_THRESHOLDS.tolist() == thresholds


def test_each_scale_has_its_own_index():
    """The logarithm of a grid scale falls on that scale; what lies outside falls on the ends."""
    steps = np.round(256 * np.log(SCALES)).astype(np.int16)
    ends = np.array([-12800, 12800], np.int16)
    indices = np.arange(NUM_SCALES)

    assert (indices * NUM_SCALES + indices).tolist() == Bank.y_context(steps, steps).tolist()
    assert [0, TABLES - 1] == Bank.y_context(ends, ends).tolist()


def test_index_is_an_integer_search():
    """For every fixed-point logarithm the look-up counts the thresholds at or under it."""
    units = np.arange(-700, 1200).astype(np.int16)
    left = np.searchsorted(SCALE_THRESHOLDS, units, side="right")
    right = np.searchsorted(SCALE_THRESHOLDS, units[::-1], side="right")
    expected = left * NUM_SCALES + right

    assert expected.tolist() == Bank.y_context(units, np.ascontiguousarray(units[::-1])).tolist()


@pytest.mark.parametrize(("left", "right"), PAIRS)
def test_formula_equals_numerical_integration(left: float, right: float):
    """The mass of each bin is the integral of the density over it."""
    k = np.arange(-6, 7)
    edges = [
        sum(
            quad(density, a, b, (left, right), epsabs=1e-13)[0]
            for a, b in ((min(i - 0.5, 0), min(i + 0.5, 0)), (max(i - 0.5, 0), max(i + 0.5, 0)))
        )
        for i in k
    ]

    assert pytest.approx(edges, rel=1e-9, abs=1e-12) == split_normal_pmf(left, right, k)


@pytest.mark.parametrize("scale", [0.11, 1.0, 7.3, 64.0])
def test_formula_is_the_gaussian_when_scales_agree(scale: float):
    """Equal scales give the discretised normal, and all masses sum to one."""
    k = np.arange(-600, 601)
    gaussian = norm.cdf(k + 0.5, scale=scale) - norm.cdf(k - 0.5, scale=scale)

    assert pytest.approx(gaussian, abs=1e-15) == split_normal_pmf(scale, scale, k)
    assert pytest.approx(1, abs=1e-12) == split_normal_pmf(scale, 2 * scale, k * 2).sum() + (
        split_normal_pmf(scale, 2 * scale, k * 2 + 1).sum()
    )


@pytest.mark.parametrize("k", [-20, -12, 12, 30])
def test_formula_keeps_precision_in_the_tails(k: int):
    """Far bins agree with 50-digit arithmetic to 12 digits."""
    with mpmath.workdps(50):
        scale = mpmath.mpf(1.25 if k > 0 else 0.75)
        near, far = (mpmath.erfc((abs(k) + d) / scale / mpmath.sqrt(2)) / 2 for d in (-0.5, 0.5))
        exact = float(scale * (near - far) * 2 / (mpmath.mpf(1.25) + mpmath.mpf(0.75)))

    assert exact > 0
    assert pytest.approx(exact, rel=1e-12) == split_normal_pmf(0.75, 1.25, k)


@pytest.mark.parametrize("index", range(NUM_SCALES))
def test_side_masses_are_correctly_rounded(index: int):
    """The fixed-point series gives the integers that 50-digit arithmetic gives."""
    with mpmath.workdps(50):
        scale = mpmath.mpf(frequency_tables.SCALE_UNITS[index]) / 65536
        edges = [
            mpmath.erf((mpmath.mpf(2 * k + 1) / 2) / scale / mpmath.sqrt(2)) / 2
            for k in range(frequency_tables.radius(index) + 1)
        ]
        bounds = [mpmath.mpf(0), *edges, mpmath.mpf(1) / 2]
        exact = [2**32 * scale * (b - a) for a, b in pairwise(bounds)]
        expected = [int(mpmath.floor(x + mpmath.mpf(1) / 2)) for x in exact]

    assert expected == frequency_tables.side_masses(index)


def test_tables_are_the_specified_ones():
    """Masses and frequencies have the digests that ENTROPY.md prints."""
    masses = np.concatenate(
        [np.array(frequency_tables.side_masses(i), "<u8") for i in range(NUM_SCALES)]
    )
    bank = frequency_tables.standard_bank()
    freqs = ((bank.entries >> np.uint64(15)) & np.uint64(TOTAL - 1)).astype("<u2")

    assert (1183, 93581) == (masses.size, freqs.size)
    assert (
        "879d8dcf08836f642edfaee9eae18e6965e19953ba8264a14a2fab815fe46f16"
        == hashlib.sha256(masses.tobytes()).hexdigest()
    )
    assert (
        "3ae0f2365b98d749b2d0a8ff9d6f06bf77329d32360e98544cb30c4370c81a4a"
        == hashlib.sha256(freqs.tobytes()).hexdigest()
    )


def test_frequencies_are_positive_and_complete():
    """Every table of y sums to 2**15 with no zero, and spans both radii and two escapes."""
    radii = [frequency_tables.radius(i) for i in range(NUM_SCALES)]
    for context, freqs in enumerate(frequency_tables.split_normal_frequencies()):
        left, right = divmod(context, NUM_SCALES)

        assert TOTAL == freqs.sum()
        assert freqs.min() >= 1
        assert radii[left] + radii[right] + 3 == freqs.size


@pytest.mark.parametrize(("left", "right"), INDEX_PAIRS)
def test_frequencies_cost_little_over_the_formula(left: int, right: int):
    """Coding the split normal with its integer table costs under 0.004 bits a symbol extra."""
    freqs = frequencies(left, right)
    k = np.arange(-frequency_tables.radius(left), frequency_tables.radius(right) + 1)
    p = split_normal_pmf(SCALES[left], SCALES[right], k)
    p = np.array([0, *p, 0]) + np.array([1, *np.zeros(k.size), 1]) * (1 - p.sum()) / 2
    seen = p > 0
    extra = (p[seen] * (np.log2(p[seen]) - np.log2(freqs[seen] / TOTAL))).sum()

    assert -1e-12 < extra < 0.004


@pytest.mark.parametrize(("left", "right"), [(5, 20), (30, 2), (25, 25)])
def test_frequencies_are_apportioned_as_specified(left: int, right: int):
    """A table equals the one-by-one apportionment in exact fractions."""
    a, b = frequency_tables.side_masses(left), frequency_tables.side_masses(right)
    weights = [*a[:0:-1], a[0] + b[0], *b[1:]]

    assert webster(weights, TOTAL) == frequencies(left, right).tolist()


@given(st.lists(st.integers(0, 2000), min_size=2, max_size=16).filter(any))
def test_quantise_gives_units_one_by_one(weights: list[int]):
    """Small integer masses with many ties and zeros come out as the slow definition says."""
    assert webster(weights, 256) == frequency_tables.quantise_pmf(weights, 8).tolist()


@given(st.lists(st.floats(0, 1), min_size=2, max_size=40).filter(lambda p: sum(p) > 1e-3))
def test_quantise_is_near_the_least_cost(masses: list[float]):
    """No other table of the same precision codes the pmf in noticeably fewer bits."""
    p = np.array(masses) / sum(masses)
    best = np.ones(p.size, int)
    for _ in range(1024 - p.size):  # units by true gain: optimal, since log is concave
        best[np.argmax(p * np.log2((best + 1) / best))] += 1
    freqs = frequency_tables.quantise_pmf(masses, 10)

    assert 1024 == freqs.sum()
    assert freqs.min() >= 1
    assert (p * np.log2(best / freqs)).sum() < 1e-3


def test_many_tables_at_once_are_those_of_one_by_one():
    """The tables of y are made in one call: the same numbers, whatever lies beside them."""
    random = np.random.default_rng(3)
    masses = [random.integers(0, 1 << 41, n) for n in (2, 513, 7, 2, 300)]
    masses.append(np.array([0, 1, 0]))

    one_by_one = [frequency_tables.quantise_pmf(table).tolist() for table in masses]

    assert one_by_one == [table.tolist() for table in frequency_tables.quantise_all(masses)]


@pytest.mark.parametrize("bad", [[], [1], [0, 0], [3, -1], [1, (1 << 41) + 1]])
def test_many_tables_at_once_refuse_what_one_refuses(bad: list[int]):
    """One table that is no pmf is not made up from its neighbours' masses."""
    good = np.array([1, 2, 3])
    for masses in ([np.array(bad, np.int64), good], [good, np.array(bad, np.int64)]):
        with pytest.raises(ValueError, match="masses"):
            frequency_tables.quantise_all(masses)


@pytest.mark.parametrize(
    ("masses", "bits", "complaint"),
    [
        ([1.0], 15, "do not fit"),
        ([1.0] * 300, 8, "do not fit"),
        ([[1.0, 2.0]], 15, "do not fit"),
        ([1.0, 1.0], 17, "do not fit"),
        ([0.0, 0.0], 15, "not all zero"),
        ([1.0, -0.1], 15, "none negative"),
        ([1.0, np.nan], 15, "finite"),
        ([1, 1 << 42], 15, "under"),
    ],
)
def test_quantise_refuses_what_is_no_pmf(masses: list[float], bits: int, complaint: str):
    """Masses without meaning are named, not normalised away."""
    with pytest.raises(ValueError, match=complaint):
        frequency_tables.quantise_pmf(masses, bits)


def test_z_tables_cover_the_tails():
    """A channel's frequencies follow its CDF, with the tails in the outer columns."""
    edges = np.arange(-8.5, 9)
    freqs = frequency_tables.z_tables_from_cdf(norm.cdf(edges / np.array([[0.3], [3.0], [9.0]])))

    assert (3, 19) == freqs.shape
    assert [TOTAL] * 3 == freqs.sum(axis=1).tolist()
    assert freqs.min() >= 1
    assert norm.cdf(-8.5 / 9) * TOTAL == pytest.approx(freqs[2, 0], abs=1)
    assert (norm.cdf(0.5 / 3) - 0.5) * 2 * TOTAL == pytest.approx(freqs[1, 9], rel=0.01)


def test_bank_with_z_keeps_the_other_tables():
    """Channels follow the fixed contexts, and adding z twice replaces it."""
    freqs = frequency_tables.z_tables_from_cdf(
        norm.cdf(np.arange(-8.5, 9) / np.array([[0.3], [3.0]]))
    )
    base = frequency_tables.standard_bank()
    bank = base.with_z(freqs)
    again = bank.with_z(freqs[:1], z_low=[-3])

    assert frequency_tables.FIRST_Z + 2 == bank.num_contexts
    assert frequency_tables.FIRST_Z + 1 == again.num_contexts
    assert [frequency_tables.FIRST_Z, frequency_tables.FIRST_Z + 1] == bank.z_context(
        [0, 1]
    ).tolist()
    assert (base.entries == bank.entries[: base.entries.size]).all()
    assert [-9, -9, -4] == [*bank.low[-2:], again.low[-1]]
    assert [9, 9, 14] == [*bank.high[-2:], again.high[-1]]


def test_bank_looks_every_slot_up():
    """From a slot's bucket, walking on finds the symbol whose interval holds the slot."""
    bank = frequency_tables.standard_bank()
    for context in (
        0,
        39,
        805,
        1599,
        frequency_tables.ESCAPE_LENGTH,
        frequency_tables.ESCAPE_LENGTH + 8,
    ):
        stop = bank.entries.size if context + 1 == bank.num_contexts else None
        first = int(bank.origin[context])
        if context < frequency_tables.ESCAPE_LENGTH:
            first += int(bank.low[context])
            stop = first + len(frequency_tables.split_normal_frequencies()[context])
        elif context == frequency_tables.ESCAPE_LENGTH:
            stop = first + frequency_tables.MAX_LENGTH + 1
        entries = bank.entries[first:stop]
        starts = (entries & np.uint64(TOTAL - 1)).astype(int)
        slots = np.arange(TOTAL)
        owner = np.searchsorted(starts, slots, side="right") - 1
        bucket = bank.buckets[context * 256 + (slots >> rans_kernels.SLOT_BITS)]
        begun = np.searchsorted(starts, (bucket & np.uint64(TOTAL - 1)).astype(int))

        assert (begun <= owner).all()
        assert (entries[begun] == bucket).all()
        assert (entries[owner] >> np.uint64(32)).astype(np.int32).tolist() == (
            owner + (starts[0] + int((entries[0] >> np.uint64(32)).astype(np.int32)))
        ).tolist()


def test_bank_is_immutable():
    """Neither arrays nor attributes can be changed, even in a pickled copy."""
    copy = pickle.loads(pickle.dumps(frequency_tables.standard_bank()))

    assert (copy.buckets == frequency_tables.standard_bank().buckets).all()
    for bank in (frequency_tables.standard_bank(), copy):
        with pytest.raises(ValueError, match="read-only"):
            bank.entries[0] = 0
        with pytest.raises(AttributeError):
            bank.low = bank.high


@pytest.mark.parametrize(
    ("freqs", "low", "complaint"),
    [
        (np.full((2, 8), TOTAL // 8.0), None, "must be integers"),
        (np.full(8, TOTAL // 8), None, "must be integers"),
        (np.full((2, 4), TOTAL // 4), None, "must be integers"),
        (np.full((2, 16), TOTAL // 8), None, "sum to 32768"),
        (np.array([[0, 1, TOTAL - 3, 1, 1]]), None, "must be positive"),
        (np.full((2, 8), TOTAL // 8), 0, "must cover"),
        (np.full((2, 8), TOTAL // 8), [-2, -5], "must cover"),
    ],
)
def test_bank_refuses_bad_tables_of_z(freqs: np.ndarray, low: object, complaint: str):
    """What no decoder could use is refused when the weights are loaded."""
    with pytest.raises(ValueError, match=complaint):
        frequency_tables.standard_bank().with_z(freqs, low)

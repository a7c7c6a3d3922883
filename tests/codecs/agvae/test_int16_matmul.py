"""Products of 16 bits give what float64 gives, bit for bit, or are not used."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from llvmlite import binding

from bench.codecs.agvae.integer import fixed_point, int16_kernel, int16_matmul
from bench.codecs.agvae.integer.fixed_point import LIMIT, Affine, Conv3
from bench.codecs.agvae.integer.int16_matmul import limbs

NEEDS_WORDS = pytest.mark.skipif(
    not int16_matmul.available(), reason="this CPU has no products of 16 bits (AVX2)"
)


def value(digits):
    """Return the integers that limbs stand for."""
    total = torch.zeros(digits.shape[1:], dtype=torch.float64)
    for part in digits:
        total = 2**int16_matmul.LIMB_BITS * total + torch.from_numpy(part)
    return total


def pair(monkeypatch, make):
    """Return a layer that uses 16 bits and the same without."""
    quick = make()
    monkeypatch.setattr(int16_matmul, "available", lambda: False)
    return quick, make()


@NEEDS_WORDS
@pytest.mark.parametrize("width", [8, 16])
@pytest.mark.parametrize(("rows", "inputs", "outputs"), [(1, 2, 1), (7, 6, 16), (17, 64, 33)])
def test_sums_modulo_32_bits(width, rows, inputs, outputs):
    """Vectors of either width give the integers' sums modulo 2^32, for any number of rows."""
    if width > int16_kernel.lanes():
        pytest.skip("this CPU has no vectors of 512 bits")
    random = np.random.default_rng(rows)
    x, weight = (
        random.integers(-(1 << 15), 1 << 15, shape).astype(np.int16)
        for shape in ((rows, inputs), (inputs, outputs))
    )
    x[0] = weight[:, 0] = -(1 << 15)  # two such products have 32 bits and no sign

    got = int16_kernel.product(width)(x, int16_kernel.packed(weight, width))

    expected = (x.astype(np.int64) @ weight.astype(np.int64)).astype(np.int32)
    assert np.array_equal(expected, got[:, :outputs])
    assert not got[:, outputs:].any()


@NEEDS_WORDS
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("top", "count"), [(32767, 1), (32769, 2), (1 << 25, 2)])
def test_digits(dtype, top, count):
    """One limb or two, as the largest number needs, and they stand for the numbers."""
    x = torch.tensor([[0, 1, -1, 2047, 2048, -2048], [-2049, 32767, -32768, -32769, top, -top]])
    x = x.clamp(-top, top).to(dtype)

    digits = limbs(torch.zeros(x.shape[1], 3).double(), 1.0).digits(x)

    assert len(digits) == count
    assert torch.equal(value(digits), x.double())


@NEEDS_WORDS
def test_eighths():
    """What a leaky ReLU leaves is split in eighths."""
    x = fixed_point.leak(torch.arange(-4000.0, 4001, 8, dtype=torch.float64)[None, 1:])

    assert torch.equal(value(limbs(torch.zeros(x.shape[1], 1).double(), 8.0).digits(x)), 8 * x)


@NEEDS_WORDS
@pytest.mark.parametrize("odd", [0.5, 2.0**29, -(2.0**31), 2.0**31, float("inf"), float("nan")])
def test_what_has_no_digits(odd):
    """Fractions and numbers out of reach are said to be such, never cut off."""
    x = torch.full((300, 6), 3.0, dtype=torch.float64)
    x[299, 4] = odd

    assert limbs(torch.zeros(6, 2).double(), 1.0).digits(x) is None


@NEEDS_WORDS
@pytest.mark.parametrize("odd", [0.25, 32768, -32769, 65537, float("nan"), float("inf")])
def test_weights_out_of_reach(odd):
    """Weights that are no integers of 16 bits, or inputs without a pair, are left to float64."""
    weight = torch.full((4, 4), 1.0, dtype=torch.float64)
    weight[0] = torch.tensor([32767, -32768, 0, 1])

    assert limbs(weight, 1.0) is not None
    assert limbs(weight[1:], 1.0) is None
    weight[2, 2] = odd
    assert limbs(weight, 1.0) is None


@NEEDS_WORDS
@pytest.mark.parametrize("top", [100, 30_000, LIMIT // 8 - 1, LIMIT])
@pytest.mark.parametrize("leaky", [False, True])
def test_layers(monkeypatch, top, leaky):
    """One limb or two: the same requantised numbers as from float64."""
    torch.manual_seed(top)
    weight, bias = torch.randn(96, 40), torch.randn(40)
    x = torch.randint(-top, top + 1, (70, 96)).double()
    x = fixed_point.leak(x) if leaky else x
    residual = torch.randint(-LIMIT, LIMIT + 1, (70, 40)).double()
    quick, plain = pair(monkeypatch, lambda: Affine(weight, bias, leaky=leaky))

    assert quick.digits(x) is not None
    assert quick(x).dtype == torch.float32
    assert torch.equal(plain(x), quick(x.float()))
    assert torch.equal(plain.leaky(x), quick.leaky(x))
    assert torch.equal(plain.plus(x, residual), quick.plus(x, residual.float()))


@NEEDS_WORDS
@pytest.mark.parametrize(("step", "count"), [(3728, 1), (3729, 2), (-3728, 1), (-3729, 2)])
def test_largest_sums(monkeypatch, step, count):
    """Two limbs are used exactly from where a sum of one would leave 32 bits."""
    weight, bias = torch.full((1152, 8), 500 / 4096), torch.zeros(8)
    quick, plain = pair(monkeypatch, lambda: Affine(weight, bias))
    x = torch.full((3, 1152), float(step))

    assert (1152 * 500 * abs(step) < 2**31) == (count == 1)
    assert len(quick.digits(x)) == count
    assert torch.equal(plain(x), quick(x))


@NEEDS_WORDS
def test_sums_beyond_two_limbs(monkeypatch):
    """Where even two limbs could leave 32 bits, float64 does the work."""
    quick, plain = pair(monkeypatch, lambda: Affine(torch.full((512, 8), 7.99), torch.zeros(8)))
    x = torch.full((3, 512), LIMIT - 4096.0)
    x[1] = -x[1]

    assert quick.digits(x) is None
    assert torch.equal(plain(x), quick(x))


@NEEDS_WORDS
@pytest.mark.parametrize("size", [(1, 1), (3, 5)])
@pytest.mark.parametrize("top", [200, 5000, 100_000])
def test_convolutions(monkeypatch, size, top):
    """Neighbourhoods are cut out of limbs; zeros around stay zeros."""
    torch.manual_seed(1)
    weight, bias = torch.randn(16, 8, 3, 3), torch.randn(16)
    x = fixed_point.leak(torch.randint(-top, top + 1, (2, *size, 8)).double())
    quick, plain = pair(monkeypatch, lambda: Conv3(weight, bias, shuffle=True, leaky=True))

    assert torch.equal(plain(x, 0.125), quick(x.float(), 0.125))


@NEEDS_WORDS
def test_sums_over_neighbourhoods(monkeypatch):
    """A sum takes from nine positions, and that is where it must not leave 32 bits."""
    weight, bias = torch.full((8, 8, 3, 3), 1.0), torch.zeros(8)
    quick, plain = pair(monkeypatch, lambda: Conv3(weight, bias))
    x = torch.full((1, 3, 3, 8), 10_000.0)

    assert 4096 * 8 * 10_000 < 2**31 < 9 * 4096 * 8 * 10_000
    assert torch.equal(plain(x), quick(x))


@NEEDS_WORDS
def test_nothing_at_all():
    """No position, no result: a latent of one column has two empty classes."""
    assert Affine(torch.randn(8, 4), torch.randn(4))(torch.zeros(0, 8)).shape == (0, 4)


@pytest.mark.parametrize(
    ("features", "width"),
    [(("avx512bw", "avx2"), 16), (("avx2", "avx512f"), 8), (("sse4.2", "avx"), None), ((), None)],
)
def test_vectors_of_cpus(monkeypatch, features, width):
    """The widest vectors are used whose instruction a CPU has; one without is left to float64."""
    monkeypatch.setattr(binding, "get_host_cpu_features", lambda: dict.fromkeys(features, True))

    assert int16_kernel.lanes.__wrapped__() == width


def test_other_machines(monkeypatch):
    """Without the instruction, without its code, or if sums saturate, float64 does the work."""
    available = int16_matmul.available.__wrapped__
    monkeypatch.setattr(int16_kernel, "lanes", lambda: None)
    assert not available()
    assert limbs(torch.zeros(4, 4).double(), 1.0) is None
    monkeypatch.setattr(int16_kernel, "lanes", lambda: 8)
    monkeypatch.setattr(int16_kernel, "product", lambda _: None)
    assert not available()

    def saturating(x, packed):
        weight = packed.transpose(1, 3, 0, 2).reshape(x.shape[1], -1).astype(np.int64)
        return (x @ weight).clip(-(2**31), 2**31 - 1).astype(np.int32)

    monkeypatch.setattr(int16_kernel, "product", lambda _: saturating)
    assert not available()

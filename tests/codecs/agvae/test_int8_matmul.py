"""Products of bytes give what float64 gives, bit for bit, or are not used."""

from __future__ import annotations

import pytest
import torch

from bench.codecs.agvae.integer import fixed_point, int8_matmul
from bench.codecs.agvae.integer.fixed_point import LIMIT, Affine, Conv3
from bench.codecs.agvae.integer.int8_matmul import Limbs

TWO, THREE = 127 * 256 + 127, (127 * 256 + 127) * 256 + 127
NEEDS_BYTES = pytest.mark.skipif(
    not int8_matmul.available(), reason="this CPU multiplies no bytes (AVX512-VNNI)"
)


def value(digits):
    """Return the integers that limbs stand for."""
    total = torch.zeros(digits.shape[1:], dtype=torch.float64)
    for part in digits:
        total = 256 * total + part
    return total


def pair(monkeypatch, make):
    """Return a layer that uses bytes and the same without."""
    quick = make()
    monkeypatch.setattr(int8_matmul, "available", lambda: False)
    return quick, make()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("top", "count"), [(TWO, 2), (TWO + 1, 3), (THREE, 3)])
def test_digits(dtype, top, count):
    """As few limbs as the largest number needs, and they stand for the numbers."""
    x = torch.tensor([[0, 1, -1, 127, 128, -128], [-129, 255, 256, -32640, top, -top]])
    x = x.clamp(-top, top).to(dtype)

    digits = Limbs(torch.zeros(x.shape[1], 3), 1.0).digits(x)

    assert len(digits) == count
    assert torch.equal(value(digits), x.double())


def test_eighths():
    """What a leaky ReLU leaves is split in eighths."""
    x = fixed_point.leak(torch.arange(-4000.0, 4001, 7, dtype=torch.float64)[None])

    assert torch.equal(value(Limbs(torch.zeros(x.shape[1], 1), 8.0).digits(x)), 8 * x)


@pytest.mark.parametrize("odd", [0.5, THREE + 1, -8421505, 2.0**31, float("inf"), float("nan")])
def test_what_has_no_digits(odd):
    """Fractions and numbers out of reach are said to be such, never cut off."""
    x = torch.full((300, 5), 3.0, dtype=torch.float64)
    x[299, 4] = odd

    assert Limbs(torch.zeros(5, 2), 1.0).digits(x) is None


@pytest.mark.parametrize("odd", [0.25, TWO + 1])
def test_weights_out_of_reach(odd):
    """Weights that two limbs cannot hold make no ``Limbs``, and are not taken for fit."""
    weight = torch.full((4, 4), 1.0, dtype=torch.float64)
    weight[3, 2] = odd

    with pytest.raises(ValueError, match="32639"):
        Limbs(weight, 1.0)
    assert odd < 1 or not int8_matmul.fits(weight)


@NEEDS_BYTES
@pytest.mark.parametrize("top", [100, 30_000, LIMIT // 8 - 1, LIMIT])
@pytest.mark.parametrize("leaky", [False, True])
def test_layers(monkeypatch, top, leaky):
    """Two limbs, three, or too many for bytes: the same requantised numbers."""
    torch.manual_seed(top)
    weight, bias = torch.randn(96, 40), torch.randn(40)
    x = torch.randint(-top, top + 1, (70, 96)).double()
    x = fixed_point.leak(x) if leaky else x
    residual = torch.randint(-LIMIT, LIMIT + 1, (70, 40)).double()
    quick, plain = pair(monkeypatch, lambda: Affine(weight, bias, leaky=leaky))

    assert quick.digits(x[:1]) is not None or top == LIMIT
    assert quick(x).dtype == torch.float32
    assert torch.equal(plain(x), quick(x.float()))
    assert torch.equal(plain.leaky(x), quick.leaky(x))
    assert torch.equal(plain.plus(x, residual), quick.plus(x, residual.float()))


@NEEDS_BYTES
def test_largest_sums(monkeypatch):
    """The largest limbs of one sign, where 16-bit sums of pairs would saturate."""
    weight, bias = torch.full((1152, 8), TWO / 4096), torch.zeros(8)
    quick, plain = pair(monkeypatch, lambda: Affine(weight, bias))
    x = torch.tensor([THREE, -THREE, -32640, 0, 1, -1]).double()[:, None].repeat(1, 1152)
    x[3:, ::2] = -128

    sums = quick._limbs.sums(quick.digits(x))

    assert plain._limbs is None
    total = sum(256 ** (2 - i) * torch.from_numpy(part).double() for i, part in enumerate(sums))
    assert torch.equal(total[:, 0] * 256 + total[:, 1], x @ (plain.weight * 4096))
    assert torch.equal(plain(x), quick(x))


@NEEDS_BYTES
@pytest.mark.parametrize("size", [(1, 1), (3, 5)])
def test_convolutions(monkeypatch, size):
    """Neighbourhoods are cut out of limbs; zeros around stay zeros."""
    torch.manual_seed(1)
    weight, bias = torch.randn(16, 8, 3, 3), torch.randn(16)
    x = fixed_point.leak(torch.randint(-5000, 5001, (2, *size, 8)).double())
    quick, plain = pair(monkeypatch, lambda: Conv3(weight, bias, shuffle=True, leaky=True))

    assert torch.equal(plain(x, 0.125), quick(x.float(), 0.125))


@NEEDS_BYTES
def test_nothing_at_all():
    """No position, no result: a latent of one column has two empty classes."""
    assert Affine(torch.randn(8, 4), torch.randn(4))(torch.zeros(0, 8)).shape == (0, 4)


def test_a_pytorch_without_the_operator(monkeypatch):
    """Where PyTorch has no product of bytes, or one that saturates, float64 does the work."""
    monkeypatch.setattr(torch.cpu, "_is_vnni_supported", lambda: True, raising=False)

    def missing(*_):
        raise RuntimeError("not implemented")

    monkeypatch.setattr(torch, "_int_mm", missing)
    assert not int8_matmul.available.__wrapped__()
    monkeypatch.setattr(torch, "_int_mm", lambda a, b: (a.int() @ b.int()).clamp(max=2**21))
    assert not int8_matmul.available.__wrapped__()

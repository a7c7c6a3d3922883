"""The decoder's entropy side gives the same integers however it is computed."""

from __future__ import annotations

import shutil

import pytest
import torch

from bench.codecs.agvae.integer import (
    entropy_networks,
    fixed_point,
    int16_kernel,
    int16_matmul,
)
from bench.codecs.agvae.integer.entropy_networks import ExactEntropyNetworks, reconstruct
from bench.codecs.agvae.model.config import PASSES, preset

LEVELS = (300, 1792, 0, 1001)
SIZE = (10, 7)


def networks(net, device="cpu"):
    """Return the exact networks of a training network."""
    return ExactEntropyNetworks(net.state_dict(), net.config, device)


def run(nets, z, symbols, levels=LEVELS, *, strided=False, step=lambda quarters: quarters):
    """Return everything that the decoder computes: psi, and mu, scales and y_hat of each pass."""
    psi = nets.hyper_features(z, levels, SIZE)
    if strided:  # the same values in another memory layout
        psi = psi.permute(0, 3, 1, 2).contiguous().permute(0, 2, 3, 1)
    y_hat = torch.zeros_like(psi)
    out = [psi]
    for k in range(PASSES):
        for q in step(nets.quarters)(k, psi, y_hat):
            coded = symbols[:, q.rows, q.columns, q.channels].to(q.mu.device)
            y_hat[:, q.rows, q.columns, q.channels] = reconstruct(coded, q.mu)
            out += [q.mu, q.left, q.right]
    return [tensor.cpu() for tensor in (*out, y_hat)]


@pytest.fixture(scope="module")
def inputs():
    """Hyper-latents and residuals of a batch of four, with a few absurd ones."""
    torch.manual_seed(5)
    z = torch.randint(-9, 10, (4, 3, 2, 32), dtype=torch.int32)
    symbols = torch.randint(-6, 7, (4, *SIZE, 64), dtype=torch.int32)
    z[1, 0, 0, 0] = symbols[2, 0, 0, 0] = 2**31 - 1
    z[1, 1, 0, 1] = symbols[2, 3, 1, 5] = -(2**31)
    return z, symbols


@pytest.fixture(scope="module")
def reference(small_net, inputs):
    """What one thread computes for the whole batch."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    out = run(networks(small_net), *inputs)
    torch.set_num_threads(before)
    return out


def assert_equal(expected, got):
    """Fail unless two runs agree in every bit."""
    assert len(expected) == len(got)
    for a, b in zip(expected, got, strict=True):
        assert torch.equal(a, b)


def test_reference_is_not_trivial(reference):
    """The networks under test predict varied modes and scales, and saturate where they must."""
    psi, y_hat = reference[0], reference[-1]
    mu, left, right = (torch.cat([t.flatten() for t in reference[i:-1:3]]) for i in (1, 2, 3))

    assert mu.unique().numel() > 500
    assert left.unique().numel() > 100
    assert (left != right).float().mean() > 0.9
    assert entropy_networks.LIMIT == y_hat.abs().max()
    assert torch.equal(psi, psi.round())


@pytest.mark.parametrize("threads", [1, 2])
def test_threads(small_net, inputs, reference, threads):
    """The number of threads changes nothing."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        assert_equal(reference, run(networks(small_net), *inputs))
    finally:
        torch.set_num_threads(before)


def test_batch(small_net, inputs, reference):
    """Four images one by one give what they give together, each at its own level."""
    nets = networks(small_net)
    z, symbols = inputs

    singles = [
        run(nets, z[i : i + 1], symbols[i : i + 1], LEVELS[i : i + 1]) for i in range(len(z))
    ]

    assert_equal(reference, [torch.cat(parts) for parts in zip(*singles, strict=True)])


def test_mkldnn_off(small_net, inputs, reference):
    """Without oneDNN the results are the same."""
    torch.backends.mkldnn.set_flags(_enabled=False)
    try:
        assert_equal(reference, run(networks(small_net), *inputs))
    finally:
        torch.backends.mkldnn.set_flags(_enabled=True)


def test_memory_layout(small_net, inputs, reference):
    """Channels first in memory or last: the same."""
    assert_equal(reference, run(networks(small_net), *inputs, strided=True))


def test_autocast_and_inference_mode(small_net, inputs, reference):
    """Reduced precision around the decoder cannot reach it."""
    with torch.autocast("cpu", torch.bfloat16), torch.inference_mode():
        assert_equal(reference, run(networks(small_net), *inputs))


@pytest.mark.parametrize("positions", [1, 30, 100])
def test_strips(small_net, inputs, reference, monkeypatch, positions):
    """Strips of two, four or more rows give what the whole gives."""
    monkeypatch.setattr(entropy_networks, "STRIP_POSITIONS", positions)

    assert_equal(reference, run(networks(small_net), *inputs))


@pytest.mark.parametrize("positions", [1, 7])
def test_blocks(small_net, inputs, reference, monkeypatch, positions):
    """However many positions are computed at once, results are the same."""
    monkeypatch.setattr(entropy_networks, "BLOCK_POSITIONS", positions)

    assert_equal(reference, run(networks(small_net), *inputs))


def test_16_bit_products_off(small_net, inputs, reference, monkeypatch):
    """A CPU without products of 16 bits computes the same from float64."""
    monkeypatch.setattr(int16_matmul, "available", lambda: False)

    assert_equal(reference, run(networks(small_net), *inputs))


@pytest.mark.skipif(not int16_matmul.available(), reason="this CPU has no products of 16 bits")
def test_shorter_vectors(small_net, inputs, reference, monkeypatch):
    """A CPU with vectors of 256 bits computes the same."""
    monkeypatch.setattr(int16_kernel, "lanes", lambda: 8)

    assert_equal(reference, run(networks(small_net), *inputs))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda(small_net, inputs, reference):
    """A GPU gives what the CPU gives."""
    assert_equal(reference, run(networks(small_net, "cuda"), *inputs))


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
@pytest.mark.filterwarnings("ignore")
def test_compiled_layer(small_net, tmp_path, monkeypatch):
    """Fused code (multiply-add included) gives what separate operations give.

    Compiled here: the machine's cache may hold code that another CPU's extensions were chosen for.
    """
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    layer = networks(small_net)._trunk[0].depthwise
    x = torch.randint(-30000, 30001, (1, 3, 4, 64)).double()
    strided = x.transpose(1, 2).contiguous().transpose(1, 2)  # keeps numba's kernel out

    compiled = torch.compile(layer.__call__, dynamic=False)

    assert torch.equal(layer(x), compiled(strided))


def test_close_to_the_float_network(small_net, inputs):
    """Fixed point approximates the network that was trained: steps of 2^-8, weights of 2^-12."""
    z, symbols = (part.clamp(-9, 9) for part in inputs)
    out = run(networks(small_net), z[:1], symbols[:1], LEVELS[:1])
    z_float = z[:1].permute(0, 3, 1, 2).float()

    gain = small_net.gain_z.inverse(torch.tensor([300 / 256]))
    psi = small_net.h_s(z_float * gain)[:, :, : SIZE[0], : SIZE[1]]
    mu, _, _ = small_net.context.parameters_of(0, psi, torch.zeros(1))

    torch.testing.assert_close(psi, out[0].permute(0, 3, 1, 2) / 256, rtol=0, atol=0.05)
    first = mu[:, :16, ::2, ::2].permute(0, 2, 3, 1)  # pass 0, class 0, group 0
    torch.testing.assert_close(first, out[1] / 256, rtol=0, atol=0.15)


def test_symmetric_variant_ties_its_scales(inputs):
    """Without asymmetry left and right are the same integers."""
    torch.manual_seed(0)
    from bench.codecs.agvae.model.model import AGVAE

    out = run(networks(AGVAE(preset("small", asymmetric=False))), *inputs)

    for left, right in zip(out[2:-1:3], out[3:-1:3], strict=True):
        assert torch.equal(left, right)


def test_inverse_gain_at_the_ends(small_net):
    """Integer levels use their own row of the table, the last one included."""
    nets = networks(small_net)
    table = small_net.gain_z.log_inverse.double()

    for level in (0, 3, 7):
        expected = (table[level].mul(2**16).round() / 2**16).exp().mul(4096).round()
        assert expected.tolist() == list(nets.inverse_hyper_gain(level * 256))


def test_huge_weights_are_refused(small_net):
    """Weights that could break exactness stop the decoder from being built."""
    state = dict(small_net.state_dict())
    state["context.mix.1.weight"] = state["context.mix.1.weight"] * 1e8

    with pytest.raises(ValueError, match="too large"):
        ExactEntropyNetworks(state, small_net.config)


def test_grid_is_what_the_format_says():
    """The constants of the format: 2^-8 activations, 2^-12 weights, saturation at 2^14."""
    assert (8, 12, 2**22, 2.0**-15) == (
        fixed_point.ACTIVATION_BITS,
        fixed_point.WEIGHT_BITS,
        fixed_point.LIMIT,
        fixed_point.UNIT,
    )

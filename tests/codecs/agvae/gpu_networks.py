"""What the device's networks and transforms compute, against the CPU's.

Not collected by itself: ``test_gpu_rans.py`` runs it as ``gpu_kernels.py``.
"""

from __future__ import annotations

import copy
import dataclasses
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))

from gpu_bounds import DEVICE, bounds  # noqa: F401

from bench.codecs.agvae.bitstream.coding_tables import CodingTables
from bench.codecs.agvae.bitstream.frequency_tables import SCALE_THRESHOLDS, TOTAL, standard_bank
from bench.codecs.agvae.bitstream.latent_coder import LatentCoder, Stream
from bench.codecs.agvae.gpu.entropy_networks import FusedNetworks, Prediction, Shape
from bench.codecs.agvae.gpu.fused_transforms import Analysis, Synthesis
from bench.codecs.agvae.gpu.latent_coder import DeviceLatentCoder
from bench.codecs.agvae.gpu.table_lookup import lookup
from bench.codecs.agvae.integer.entropy_networks import ExactEntropyNetworks, reconstruct
from bench.codecs.agvae.runtime.tiled_transforms import Transforms, hyper_size
from bench.codecs.agvae.weights import checkpoints, counted
from bench.errors import DecodeError
from bench.stopwatch import Phases


@pytest.mark.parametrize("asymmetric", [True, False])
@pytest.mark.parametrize(("size", "batch"), [((5, 3), 2), ((1, 1), 1), ((1, 4), 1)])
def test_networks_are_the_exact_ones(small_net, asymmetric, size, batch):
    """psi, modes, log-scales, contexts and y_hat of every pass, in every bit."""
    config = dataclasses.replace(small_net.config, asymmetric=asymmetric)
    slow = ExactEntropyNetworks(small_net.state_dict(), config)
    fast = FusedNetworks(small_net.state_dict(), config, DEVICE)
    shape, levels = Shape(batch, *size), (300, 1792)[:batch]
    torch.manual_seed(7)
    z = torch.randint(-9, 10, (batch, *hyper_size(*size), 32), dtype=torch.int32)
    coded = torch.randint(-6, 7, (batch, *size, 64), dtype=torch.int32)
    z[0, 0, 0, 0], coded[0, 0, 0, 0], coded[0, 0, 0, 1] = 2**31 - 1, 2**31 - 1, -(2**31)
    psi = slow.hyper_features(z, levels, size)
    y_hat = torch.zeros_like(psi)
    latent = torch.empty(shape.positions, 128, dtype=torch.float64, device=DEVICE)
    fast.begin(z.to(DEVICE), fast.gains(levels).to(DEVICE), latent, shape)
    n = size[0] * size[1] * 16
    mu = torch.empty(batch, n, device=DEVICE)
    left, right = (torch.empty(batch, n, dtype=torch.int16, device=DEVICE) for _ in "lr")
    contexts = torch.full((batch, n + 9), -7, dtype=torch.int32, device=DEVICE)
    finders = torch.empty(batch, n, dtype=torch.int32, device=DEVICE)
    finder = lookup(standard_bank(), DEVICE).finder
    thresholds = torch.from_numpy(SCALE_THRESHOLDS.copy())

    assert torch.equal(latent[:, :64].cpu().reshape(psi.shape), psi.double())
    for k in range(4):
        quarters = list(slow.quarters(k, psi, y_hat))
        fast.predict(k, latent, shape, Prediction(mu, left, right, contexts, 4))
        for name, got in (("mu", mu), ("left", left), ("right", right)):
            wanted = torch.cat([getattr(q, name).flatten(1) for q in quarters], 1)
            assert torch.equal(wanted, got.cpu()), (k, name)
        index = [torch.bucketize(s.cpu().long(), thresholds, right=True) for s in (left, right)]
        assert torch.equal((40 * index[0] + index[1]).int(), contexts[:, 4 : n + 4].cpu())
        fast.predict(k, latent, shape, Prediction(mu, left, right, finders, 0, finder))
        assert torch.equal(finder[contexts[:, 4 : n + 4].long()], finders)
        for q in quarters:
            at = (slice(None), q.rows, q.columns, q.channels)
            y_hat[at] = reconstruct(coded[at], q.mu)
        fast.put(k, fast.in_coding_order(k, coded).to(DEVICE), mu, latent, shape)
        assert torch.equal(y_hat, fast.y_hat(latent, shape).cpu())


def latents_of(coder: LatentCoder, *arguments: object) -> torch.Tensor:
    """Return what a coder decodes, once it is known to be undamaged."""
    y_hat, check = coder.decode_later(*arguments)
    check()
    return y_hat


def both_coders(net, tables: CodingTables) -> tuple[LatentCoder, DeviceLatentCoder]:
    """Return the coders of a network on the CPU and on the device."""
    weights, config = net.state_dict(), net.config
    return (
        LatentCoder(ExactEntropyNetworks(weights, config), tables),
        DeviceLatentCoder(FusedNetworks(weights, config, DEVICE), tables),
    )


def test_counted_tables_travel_as_on_the_cpu(small_net):
    """The shipped small network's tables: every choice decodes, and the same bytes are written."""
    [manifest] = checkpoints.find("gain-asym", preset="small")
    tables = counted.coding_tables(manifest, checkpoints.load(manifest))
    slow, fast = both_coders(small_net, tables)
    torch.manual_seed(4)
    y, z = torch.randn(2, 5, 1, 64), torch.randn(2, 2, 1, 32) * 0.3
    levels, clock = [-300, 1000], Phases()

    wanted = slow.encode(y.clone(), z.clone(), levels, clock)
    assert wanted == fast.encode(y.to(DEVICE), z.to(DEVICE), levels, clock)
    for choice in tables.choices:
        slow._shorter_z = lambda *held, bit=choice & 1: held[bit]
        slow._shorter_y = lambda *_, bit=choice & 2: bit
        files = slow.encode(y.clone(), z.clone(), levels, clock)
        assert [choice] * 2 == [one.tables for one in files]
        here, there = (latents_of(c, files, levels, (5, 1), clock).cpu() for c in (slow, fast))
        assert torch.equal(here, there)


def test_latents_travel_as_on_the_cpu(small_net):
    """Whole payloads: the device's bytes are the CPU's, absurd latents included."""
    frequencies = np.full((32, 9), 100)
    frequencies[:, 4] = TOTAL - 800
    tables = CodingTables(frequencies)
    slow, fast = both_coders(small_net, tables)
    torch.manual_seed(3)
    y, z = torch.randn(2, 1, 1, 64) * 3, torch.randn(2, 1, 1, 32) * 2
    y[0, 0, 0, :3] = torch.tensor([1e9, -20_000.0, 3_000.0])
    levels, clock = [300, 1000], Phases()

    wanted = slow.encode(y.clone(), z.clone(), levels, clock)
    assert wanted == fast.encode(y.to(DEVICE), z.to(DEVICE), levels, clock)
    sizes: tuple[list, list] = ([], [])
    latents = [
        latents_of(c, wanted, levels, (1, 1), clock, s).cpu()
        for c, s in zip((slow, fast), sizes, strict=True)
    ]
    assert torch.equal(*latents)
    assert sizes[0] == sizes[1]
    short = [wanted[0], Stream(wanted[1].data[:-4], wanted[1].lanes)]
    with pytest.raises(DecodeError, match="file 2 of the batch"):
        latents_of(fast, short, levels, (1, 1), clock)


@pytest.mark.parametrize("size", [(37, 50), (16, 16)])
def test_fused_transforms_are_the_modules(small_net, formula, size):
    """Fused g_a and g_s give what the modules give, up to rounding."""
    nets = {name: copy.deepcopy(getattr(small_net, name)) for name in ("g_a", "g_s")}
    torch.manual_seed(1)
    for net in nets.values():
        for module in net.modules():
            if isinstance(module, torch.nn.Conv2d):
                module.bias.normal_(0, 0.1)
    slow = Transforms(small_net.config, **copy.deepcopy(nets))
    images = np.stack([formula(*size), 255 - formula(*size)])
    padded = tuple(-(-side // 16) * 16 for side in size)
    y = Analysis(nets["g_a"], DEVICE, torch.float32)(torch.from_numpy(images).to(DEVICE), padded)
    expected = torch.stack([slow.analyse(image) for image in images])

    torch.testing.assert_close(
        expected, y.cpu(), rtol=1e-2, atol=0.2 if DEVICE.type == "cuda" else 1e-3
    )
    rgb = torch.zeros(images.shape, dtype=torch.uint8, device=DEVICE)
    Synthesis(nets["g_s"], DEVICE, torch.float32)((expected / 20).to(DEVICE), rgb)
    back = np.stack([slow.synthesise(latent / 20, size) for latent in expected])
    assert np.abs(rgb.cpu().numpy().astype(int) - back).max() <= 1

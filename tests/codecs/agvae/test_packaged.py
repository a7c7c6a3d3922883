"""The shipped weights on real and on golden data."""

from __future__ import annotations

import hashlib
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from bench.codec import Setting
from bench.codecs.agvae.bitstream import container
from bench.codecs.agvae.codec import Agvae
from bench.codecs.agvae.model.model import AGVAE
from bench.codecs.agvae.weights import checkpoints

GOLDEN = Path(__file__).parent / "golden"

# Files of the shipped weights, their format version and choice of tables, and the latent that they
# decode to, on every machine. Made by `make_golden` below; a new id or format version needs new
# ones, anything else is a bug.
GOLDEN_FILES = {
    "formula.agv": (1, 0, "a3a9861736489f61280b82728c9ca51e4e7a5275c1aab06292ae09fbcc06e866"),
    "format-2.agv": (2, 3, "84efb53c4c769414861bd10a82c41534fbcc7828ac496608a365300bc0550190"),
    "format-2-low.agv": (2, 2, "4526d243094da6def8885747f0e7065d5b9fca98b65daaa88043ad535d44c8dc"),
}


def latent_sha256(codec: Agvae, data: bytes) -> str:
    """Return the hash of y_hat as little-endian int32 in (H, W, M) order, in steps of 2^-8."""
    header, payload = container.read(data)
    y_hat = codec._engine_of(header).decode_latents([(header, payload)])[0]
    return hashlib.sha256(y_hat.numpy().astype("<i4").tobytes()).hexdigest()


def make_golden(formula) -> None:
    """Write the golden files of today's format; run by hand when it or the weights change."""
    codec = Agvae()
    for name, size, level in (("format-2", (130, 200), 3.5), ("format-2-low", (48, 40), -1.5)):
        data = codec.encode(formula(*size), Setting(level=level))
        (GOLDEN / f"{name}.agv").write_bytes(data)
        print(name, container.read(data)[0], latent_sha256(codec, data))  # noqa: T201


@pytest.fixture(scope="module")
def codec() -> Agvae:
    """The codec with the shipped weights."""
    return Agvae()


@pytest.mark.parametrize("name", GOLDEN_FILES)
def test_golden_files(codec, formula, name):
    """The committed files decode to the committed latents, and to nearly the image."""
    data = (GOLDEN / name).read_bytes()
    header, _ = container.read(data)

    assert GOLDEN_FILES[name] == (header.version, header.tables, latent_sha256(codec, data))
    assert header.model_id.hex() in codec.networks[0].ids
    difference = codec.decode(data).astype(int) - formula(header.height, header.width)
    assert np.sqrt(np.square(difference).mean()) < (20 if header.level > 0 else 60)


@pytest.fixture(scope="module")
def crop(kodim):
    """384x384 pixels of kodim05, an image full of detail."""
    return np.ascontiguousarray(kodim(5)[64:448, 200:584])


def psnr(expected, got):
    """Return PSNR over RGB in dB."""
    return 10 * math.log10(255**2 / np.square(expected.astype(float) - got).mean())


def test_half_levels_lie_on_the_curve(codec, crop):
    """An interpolated level is at most 0.02 dB under the chord of its neighbours, over bpp."""
    points = []
    for level in (3, 3.5, 4, 4.5, 5):
        data = codec.encode(crop, Setting(level=level))
        points.append((len(data), psnr(crop, codec.decode(data))))

    for (x0, y0), (x, y), (x1, y1) in zip(points[::2], points[1::2], points[2::2], strict=False):
        assert y > y0 + (y1 - y0) * (x - x0) / (x1 - x0) - 0.02


def test_target_rate_on_a_photograph(codec, crop):
    """0.4 bpp is met within 1 % by a handful of encodes."""
    data, setting = codec.encode_to_rate(crop, 0.4)

    assert 0.4 == pytest.approx(8 * len(data) / crop[..., 0].size, rel=0.01)
    assert 0 < setting["level"] < 7


@pytest.fixture(scope="module")
def float_net() -> AGVAE:
    """The shipped weights in the training network: plain floats, estimated bits."""
    (manifest,) = [m for m in checkpoints.manifests() if m.name == "base-gain-asym-mse"]
    net = AGVAE(manifest.config)
    tensors = checkpoints.load(manifest)
    net.load_state_dict({k: v for k, v in tensors.items() if k != checkpoints.Z_TABLES})
    return net.eval().requires_grad_(requires_grad=False)


@pytest.mark.slow
def test_kodak_image_for_real(codec, kodim, float_net, tmp_path):
    """A Kodak image: counted tables are shorter than the model's estimate; decoded elsewhere."""
    image = kodim(5)
    data = codec.encode(image, Setting(level=4))
    (tmp_path / "a.agv").write_bytes(data)
    x = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255

    estimate = float_net(x, torch.tensor([4.0]), hard=True)

    bits = (estimate.bits_y + estimate.bits_z).item()
    payload = 8 * (len(data) - 19)
    assert 0.98 * bits < payload < bits
    assert 8 * len(data) < 1.008 * bits
    # The network reaches 35 dB here; fixed point and compact weights cost under 0.02 dB.
    code = (
        "import sys, pathlib, numpy; from bench.codecs.agvae import Agvae\n"
        "numpy.save(sys.argv[2], Agvae().decode(pathlib.Path(sys.argv[1]).read_bytes()))"
    )
    subprocess.run(
        [sys.executable, "-c", code, tmp_path / "a.agv", tmp_path / "a.npy"],
        check=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        timeout=120,
    )
    decoded = np.load(tmp_path / "a.npy")
    shown = (estimate.x_hat[0].permute(1, 2, 0).clamp(0, 1) * 255).round().numpy()
    assert psnr(image, decoded) > psnr(image, shown) - 0.02

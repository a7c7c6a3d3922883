"""Small networks that need no training: random, but lively enough to fill every part of a file."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from bench.codecs.agvae.bitstream import container
from bench.codecs.agvae.bitstream.container import Header
from bench.codecs.agvae.codec import AgvaeCodec
from bench.codecs.agvae.model.config import Config, preset
from bench.codecs.agvae.model.model import AGVAE
from bench.codecs.agvae.weights import checkpoints
from bench.codecs.agvae.weights.checkpoints import Manifest
from bench.codecs.agvae.weights.export import export
from bench.errors import DecodeError
from bench.image import Image


def lively(config: Config, seed: int = 0) -> AGVAE:
    """Return a random network whose latents are a few steps wide and whose scales vary."""
    torch.manual_seed(seed)
    net = AGVAE(config).eval().requires_grad_(requires_grad=False)
    net.g_a[-1].weight.mul_(400)
    net.h_a[-1].weight.mul_(30)
    for head in net.context.head:
        head.weight.mul_(30)
        head.bias.normal_()
    return net


@pytest.fixture(scope="session")
def small_net() -> AGVAE:
    """The random network behind ``small_dir``'s gain-asym weights."""
    return lively(preset("small"))


@pytest.fixture(scope="session")
def small_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A weights folder with a small network of each variant; levels 1 and 4 without gain."""
    base = tmp_path_factory.mktemp("weights")
    for asymmetric in (True, False):
        config = preset("small", asymmetric=asymmetric)
        export(lively(config).state_dict(), config, base / "agvae", f"small-{config.variant}")
        config = preset("small", gain=False, asymmetric=asymmetric)
        for level in (1, 4):
            state = lively(config, seed=level).state_dict()
            name = f"small-{config.variant}-{level}"
            export(state, config, base / "agvae", name, level=float(level))
    return base


@pytest.fixture(scope="session")
def base_in(small_dir: Path) -> Callable[[Path], Manifest]:
    """Return a function: a folder, which is made -> the small gained network's manifest in it."""

    def put(folder: Path) -> Manifest:
        folder.mkdir()
        for suffix in (".json", ".safetensors"):
            shutil.copy(small_dir / "agvae" / f"small-gain-asym{suffix}", folder)
        return checkpoints.read_manifest(folder / "small-gain-asym.json")

    return put


@pytest.fixture
def small(small_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., AgvaeCodec]:
    """Return a function: variant -> the codec of that small network."""
    monkeypatch.setenv("BENCH_WEIGHTS", str(small_dir))

    def make(variant: str = "gain-asym") -> AgvaeCodec:
        members = {"name": f"small-{variant}", "variant": variant, "preset": "small"}
        return type("Small", (AgvaeCodec,), members)()

    return make


@pytest.fixture(scope="session")
def formula() -> Callable[[int, int], Image]:
    """Return a function: height, width -> an image by formula: waves, an edge, some texture."""

    def image(height: int, width: int) -> Image:
        row, column = np.mgrid[:height, :width]
        waves = [
            128 + 90 * np.sin(row / (5 + c) + column / (9 - c)) + 30 * ((row * column) % 7 > 3)
            for c in range(3)
        ]
        waves[0] = np.where(column > width // 2, 255 - waves[0], waves[0])
        return np.stack(waves, 2).clip(0, 255).astype(np.uint8)

    return image


@pytest.fixture(scope="session")
def refused_forgeries() -> Callable[[AgvaeCodec, Header, bytes], int]:
    """Return a function: of 40 payloads of a 48x48 image with one bit flipped, how many raise.

    The others must decode to that size.
    """

    def count(codec: AgvaeCodec, header: Header, payload: bytes) -> int:
        rng = np.random.default_rng(1)
        caught = 0
        for _ in range(40):
            forged = bytearray(payload)
            forged[rng.integers(len(forged))] ^= 1 << int(rng.integers(8))
            try:
                assert (48, 48, 3) == codec.decode(container.write(header, bytes(forged))).shape
            except DecodeError:
                caught += 1
        return caught

    return count

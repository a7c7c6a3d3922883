"""Speed of AG-VAE beside CompressAI's mbt2018-mean on one Kodak image.

Skipped by default; alone on the machine:
``pytest tests/codecs/agvae/test_speed.py --benchmark-only --benchmark-columns=min,median``.
"""

from __future__ import annotations

import pytest
import torch

from bench.codec import Setting
from bench.codecs.agvae.bitstream import container
from bench.codecs.agvae.codec import Agvae
from bench.stopwatch import Phases

LEVEL = 4


@pytest.fixture(scope="module")
def codec() -> Agvae:
    """The codec with the shipped weights, warmed up."""
    return Agvae()


def test_encode(benchmark, codec, kodim):
    """One image, analysis included, in 2.5 s on two cores; entropy coding takes 60 ms at most."""
    image = kodim(5)
    engine = codec._engine(LEVEL * 256)

    def encode() -> Phases:
        engine._last = None  # a ladder would reuse the analysis
        phases = Phases()
        engine.encode([image], [LEVEL * 256], phases)
        return phases

    phases = benchmark.pedantic(encode, rounds=5, warmup_rounds=2)

    benchmark.extra_info.update(phases.time_s)
    assert phases.time_s["entropy coding"] < 0.06
    assert benchmark.stats.stats.median < 2.5


def test_decode(benchmark, codec, kodim):
    """One image in 2.5 s on two cores; entropy coding takes 60 ms of it at most."""
    data = codec.encode(kodim(5), Setting(level=LEVEL))
    engine = codec._engine(LEVEL * 256)

    def decode() -> Phases:
        phases = Phases()
        engine.decode([container.read(data)], phases)
        return phases

    phases = benchmark.pedantic(decode, rounds=5, warmup_rounds=2)

    benchmark.extra_info.update(phases.time_s)
    assert phases.time_s["entropy coding"] < 0.06
    assert benchmark.stats.stats.median < 2.5


@pytest.fixture(scope="module")
def rival(compressai):
    """CompressAI's mbt2018-mean, N=192, M=320, untrained: its time does not depend on weights."""
    torch.manual_seed(0)
    net = compressai("models").MeanScaleHyperprior(192, 320).eval()
    net.update(force=True)
    return net


@pytest.mark.parametrize("direction", ["compress", "decompress"])
def test_compressai(benchmark, rival, kodim, direction):
    """The rival's own compress and decompress on the same image."""
    x = torch.from_numpy(kodim(5)).permute(2, 0, 1)[None].float() / 255
    with torch.no_grad():
        coded = rival.compress(x)
        call, arguments = (
            (rival.compress, (x,))
            if direction == "compress"
            else (rival.decompress, (coded["strings"], coded["shape"]))
        )
        result = benchmark.pedantic(call, arguments, rounds=5, warmup_rounds=2)

    assert result is not None

"""The entropy coder alone on one core: symbols per second, size, against CompressAI's ``ans``.

Compare only within one run: ``tox -e benchmark -- -k rans``. Symbols are those of one Kodak image
(393,216 of them) in their number, and of a photograph's middle rates in their statistics.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pytest

from bench.codecs.agvae.bitstream.frequency_tables import (
    NUM_SCALES,
    SCALES,
    TOTAL,
    standard_bank,
)
from bench.codecs.agvae.bitstream.rans import Decoder, Encoder

SIZE = 256 * 48 * 32
LANES = 8
NUM_PARTS = 4
GROUP = "entropy coding of 393,216 symbols"
Parts = list[tuple[np.ndarray, np.ndarray]]


def draw(indices: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Gaussian residuals of these scales."""
    return np.rint(rng.normal(0, SCALES[indices])).astype(np.int32)


@pytest.fixture(scope="module")
def parts() -> Parts:
    """Four passes of symbols and contexts: runs of one channel, a third of the scales minimal."""
    rng = np.random.default_rng(7)
    channel = np.repeat(rng.normal(4, 12, SIZE // 96), 96)
    index = np.clip(channel + rng.normal(0, 3, SIZE), 0, NUM_SCALES - 1).astype(np.int32)
    symbols = draw(index, rng)
    pairs = zip(np.split(symbols, NUM_PARTS), np.split(index, NUM_PARTS), strict=True)
    return [(s, i * NUM_SCALES + i) for s, i in pairs]


def encode(parts: Parts) -> bytes:
    encoder = Encoder(standard_bank())
    for symbols, contexts in parts:
        encoder.put(symbols, contexts)
    return encoder.finish(LANES)


def decode(data: bytes, parts: Parts) -> list[np.ndarray]:
    decoder = Decoder(standard_bank(), data, LANES)
    symbols = [decoder.get(contexts) for _, contexts in parts]
    decoder.close()
    return symbols


class CompressAI:
    """Its ``ans`` with its own Gaussian tables, called as its entropy models call it."""

    def __init__(self, parts: Parts) -> None:
        from compressai.ans import RansDecoder, RansEncoder
        from compressai.entropy_models import GaussianConditional
        from compressai.models.google import get_scale_table

        model = GaussianConditional(get_scale_table().tolist())
        model.update()
        self.model, self.encoder, self.decoder = model, RansEncoder(), RansDecoder()
        nearest = np.abs(np.log(SCALES)[:, None] - np.log(model.scale_table.numpy())).argmin(1)
        self.parts = [(s, nearest[c % NUM_SCALES].astype(np.int32)) for s, c in parts]

    def tables(self) -> tuple[list[list[int]], list[int], list[int]]:
        model = self.model
        return model.quantized_cdf.tolist(), model.cdf_length.tolist(), model.offset.tolist()

    def encode(self) -> list[bytes]:
        return [
            self.encoder.encode_with_indexes(s.tolist(), i.tolist(), *self.tables())
            for s, i in self.parts
        ]

    def decode(self, strings: list[bytes]) -> list[list[int]]:
        return [
            self.decoder.decode_with_indexes(data, i.tolist(), *self.tables())
            for data, (_, i) in zip(strings, self.parts, strict=True)
        ]


def best_time_s(function: Callable[[], object], rounds: int) -> float:
    """Return the least wall-clock time of some rounds, after one to warm up."""
    function()
    times = []
    for _ in range(rounds):
        begin = time.perf_counter()
        function()
        times.append(time.perf_counter() - begin)
    return min(times)


@pytest.mark.benchmark(group=f"{GROUP}, encode")
def test_encode(benchmark, parts: Parts):
    """Ours, from arrays to bytes; at least 100 million symbols a second where it was written."""
    data = benchmark(encode, parts)
    benchmark.extra_info["msymbols_per_s"] = SIZE / benchmark.stats.stats.min / 1e6

    assert 4 * LANES < len(data) < SIZE


@pytest.mark.benchmark(group=f"{GROUP}, decode")
def test_decode(benchmark, parts: Parts):
    """Ours, from bytes to arrays; at least 60 million symbols a second where it was written."""
    found = benchmark(decode, encode(parts), parts)
    benchmark.extra_info["msymbols_per_s"] = SIZE / benchmark.stats.stats.min / 1e6

    assert all((s == f).all() for (s, _), f in zip(parts, found, strict=True))


@pytest.mark.usefixtures("compressai")
@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
@pytest.mark.benchmark(group=f"{GROUP}, encode")
def test_compressai_encode(benchmark, parts: Parts):
    """CompressAI's; ours is at least 10 times as fast in the same run."""
    theirs = CompressAI(parts)
    benchmark.pedantic(theirs.encode, rounds=5, warmup_rounds=1)
    ratio = benchmark.stats.stats.min / best_time_s(lambda: encode(parts), 20)
    benchmark.extra_info["ours_is_times_as_fast"] = ratio

    assert ratio >= 10


@pytest.mark.usefixtures("compressai")
@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
@pytest.mark.benchmark(group=f"{GROUP}, decode")
def test_compressai_decode(benchmark, parts: Parts):
    """CompressAI's, with the same symbols; ours is at least 10 times as fast in the same run."""
    theirs = CompressAI(parts)
    strings = theirs.encode()
    found = benchmark.pedantic(theirs.decode, (strings,), rounds=5, warmup_rounds=1)
    data = encode(parts)
    ratio = benchmark.stats.stats.min / best_time_s(lambda: decode(data, parts), 20)
    benchmark.extra_info["ours_is_times_as_fast"] = ratio
    benchmark.extra_info["ours_bytes_over_theirs"] = len(data) / sum(map(len, strings))

    assert [s.tolist() for s, _ in parts] == found
    assert ratio >= 10


@pytest.mark.benchmark(group=f"{GROUP}, size")
@pytest.mark.parametrize("lanes", [1, 8, None])
def test_size(benchmark, parts: Parts, lanes: int | None):
    """Bytes lie within 0.3 % of the information content of the integer tables."""
    encoder = Encoder(standard_bank())
    for symbols, contexts in parts:
        encoder.put(symbols, contexts)
    data = benchmark.pedantic(encoder.finish, (lanes,), rounds=5, warmup_rounds=1)
    over = 8 * len(data) / encoder.ideal_bits - 1
    benchmark.extra_info |= {"over_ideal_percent": 100 * over, "lanes": encoder.lanes}

    assert 0 <= over < 0.003
    assert encoder.ideal_bits < SIZE * np.log2(TOTAL)

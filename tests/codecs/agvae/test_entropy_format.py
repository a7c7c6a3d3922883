"""The stream's bytes, locked: golden streams, and a decoder written from ENTROPY.md alone.

If a golden stream changes, files in the world no longer decode: raise the container's version.
"""

from __future__ import annotations

import heapq
import re
from functools import cache
from pathlib import Path

import mpmath
import numpy as np
import pytest

from bench.codecs.agvae.bitstream import frequency_tables
from bench.codecs.agvae.bitstream.frequency_tables import Bank
from bench.codecs.agvae.bitstream.rans import Decoder, Encoder

DOCUMENT = Path(frequency_tables.__file__).parents[1] / "ENTROPY.md"
Z_ROWS = [[8, 100, 2000, 28552, 2000, 100, 8], [1, 4, 30, 733, 12000, 16000, 4000]]
Z_LOW = [-2, -3]
GOLDEN = {
    1: (
        "51be0c00336310000b80d05cc60393bffcff853ffc7fdbb1fc7f682691c64c9b9d1ed8c9c6c626c0"
        "f140623f865172b7c63f0380ffffffff0080ffff0080f1ffbcc6ffffff7ffffffd1fffff0000fcff"
        "0300f7780b2b51b9ff7f0080fcff3840ff7ffffffa7eff7f5746eae1ff7f6e0160fdece14be32569"
        "e07df7fe1e035b276ea79c47ff7f9fff00fe"
    ),
    8: (
        "9bee290d17291f0015b7ec0160ed1600e6a88e13f12f55009c7f6004ef942b08ad8351fb290028ab"
        "1a413ca8d33f02bff3aebab99a1b462c62b50fc09dc2163f0bee33a244a9eeffa43f0380a97bffff"
        "ffff7a46ff7fff7fc4acff7f0080fcff030002e70080bfa3c3392de539d3ff7f20c073ff0080ff7f"
        "2fc6107cff7fff7f9181eefdaae2b874c07dc4604060edfa000300f400b4fe47fea7807f807f"
    ),
    32: (
        "92607a28001c28005b3c1900c81b3700ac53eb23f8280300b67f07007c045600350040023d802500"
        "bf7fd10005802d00a7f92955f8be0400a56421000980fb00498201000c020300957e930658823700"
        "6b3f020042a802006e9b380cd67f9910c1101200fcff2e011a40020063120d004f280100454e0100"
        "1a405000454e0100fc7f9e925140a9c00ba3fc7fc9a4ed2e92bf6a4723209aacdc24eaff4e400300"
        "72c084000ec00000ff7f0000fc7ffffff9ffac468dfd0380ea7ee757fa3fffff6c141a7f0080ffff"
        "7646f17bf1777860200078607860f17bf177f17bf17bffffffffed7ff17bfefefefe0003807f807f"
    ),
}


def golden_parts() -> list[tuple[list[int], list[int]]]:
    """Symbols and contexts of four parts, from a linear congruential generator."""
    state = 2021

    def draw(below: int) -> int:
        nonlocal state
        state = (1103515245 * state + 12345) % 2**31
        return (state >> 12) % below

    z = [(draw(5) - 2, 1609 + draw(2)) for _ in range(20)]
    first = [(draw(3) - 1, (0, 805, 908, 1599)[draw(4)]) for _ in range(60)]
    first[7:12] = [(0, -1)] * 5
    second = [((draw(9) - 4) ** 3, (0, 805, 908, 1599)[draw(4)]) for _ in range(40)]
    second[3:7] = [(-(2**31), 0), (2**31 - 1, 1609), (256, 1599), (-9999, 908)]
    return [([s for s, _ in p], [c for _, c in p]) for p in (z, first, [], second)]


def bank() -> Bank:
    return frequency_tables.standard_bank().with_z(Z_ROWS, Z_LOW)


# What follows to the next comment uses nothing of ours: section numbers are ENTROPY.md's.


def numbers_of(section: str) -> list[int]:
    """The numbers in the first indented or fenced block under a sentence of the document."""
    text = DOCUMENT.read_text(encoding="utf-8")
    block = text[text.index(section) :].split("```")[1]
    return [int(word) for word in block.split()]


@cache
def masses(index: int) -> list[int]:
    """Section 1.2: one side of a split normal."""
    unit = numbers_of("The scales, in units of 2^-16")[index]
    radius = min(max(3, -(-6 * unit // 65536)), 255)
    with mpmath.workdps(60):
        s = mpmath.mpf(unit) / 65536
        phi = [mpmath.ncdf((k + mpmath.mpf(1) / 2) / s) for k in range(radius + 1)]
        phi = [mpmath.mpf(1) / 2, *phi, mpmath.mpf(1)]
        return [int(mpmath.nint(2**32 * s * (phi[k + 1] - phi[k]))) for k in range(radius + 2)]


def apportion(weights: list[int]) -> list[int]:
    """Section 1.3. Distinct fractions differ by 2**-33 at least, so 2**-80 tells them apart."""
    freqs = [1] * len(weights)
    heap = [(-((w << 80) // 3), i) for i, w in enumerate(weights)]
    heapq.heapify(heap)
    for _ in range(2**15 - len(weights)):
        i = heap[0][1]
        freqs[i] += 1
        heapq.heapreplace(heap, (-((weights[i] << 80) // (2 * freqs[i] + 1)), i))
    return freqs


@cache
def table(context: int) -> tuple[int, list[int], bool]:
    """Section 1: first symbol, frequencies, whether both ends are escapes."""
    if context < 1600:
        left, right = masses(context // 40), masses(context % 40)
        weights = [*left[:0:-1], left[0] + right[0], *right[1:]]
        return 1 - len(left), apportion(weights), True
    if context == 1600:
        return 0, apportion([2 ** (30 - n) for n in range(31)]), False
    if context <= 1608:
        bits = context - 1600
        return 0, [2 ** (15 - bits)] * 2**bits, False
    return Z_LOW[context - 1609] - 1, Z_ROWS[context - 1609], True


class Document:
    """Sections 2 to 5: a decoder of one stream."""

    def __init__(self, data: bytes, lanes: int) -> None:
        head, body = data[: 4 * lanes], data[4 * lanes :]
        self.states = [int.from_bytes(head[i : i + 4], "little") for i in range(0, 4 * lanes, 4)]
        self.words = [int.from_bytes(body[i : i + 2], "little") for i in range(0, len(body), 2)]

    def simple(self, contexts: list[int]) -> list[int]:
        """Section 3, in lockstep: a whole group decodes, then takes its words in lane order."""
        lanes, symbols = len(self.states), []
        for begin in range(0, len(contexts), lanes):
            group = contexts[begin : begin + lanes]
            for lane, context in enumerate(group):
                symbols.append(0 if context == -1 else self.step(lane, context))
            for lane in range(len(group)):
                if self.states[lane] < 2**16:
                    self.states[lane] = self.states[lane] * 2**16 + self.words.pop(0)
        return symbols

    def step(self, lane: int, context: int) -> int:
        symbol, freqs, _ = table(context)
        slot, start = self.states[lane] % 2**15, 0
        for freq in freqs:
            if slot < start + freq:
                break
            start, symbol = start + freq, symbol + 1
        self.states[lane] = freq * (self.states[lane] >> 15) + slot - start
        return symbol

    def part(self, contexts: list[int]) -> list[int]:
        """Section 4: a part and the parts that its escapes call for."""
        symbols = self.simple(contexts)
        escapes = [i for i, (k, c) in enumerate(zip(symbols, contexts, strict=True)) if c >= 0]
        escapes = [i for i in escapes if self.is_escape(symbols[i], contexts[i])]
        if not escapes:
            return symbols
        lengths = self.simple([1600] * len(escapes))
        magnitudes = [2**n for n in lengths]
        for j in range(4):
            if any(n > 8 * j for n in lengths):
                raw = [1600 + min(n - 8 * j, 8) if n > 8 * j else -1 for n in lengths]
                rests = self.simple(raw)
                magnitudes = [u + r * 2 ** (8 * j) for u, r in zip(magnitudes, rests, strict=True)]
        for i, u in zip(escapes, magnitudes, strict=True):
            symbols[i] += u - 1 if symbols[i] > 0 else 1 - u
        return symbols

    @staticmethod
    def is_escape(symbol: int, context: int) -> bool:
        first, freqs, has_escapes = table(context)
        return has_escapes and symbol in (first, first + len(freqs) - 1)


# From here on, ours against the above.


@pytest.mark.parametrize("lanes", GOLDEN)
def test_encoder_writes_the_golden_bytes(lanes: int):
    """The same symbols give the same bytes as on the day the format was fixed."""
    encoder = Encoder(bank())
    for symbols, contexts in golden_parts():
        encoder.put(symbols, contexts)

    assert GOLDEN[lanes] == encoder.finish(lanes).hex()


@pytest.mark.parametrize("lanes", GOLDEN)
def test_decoder_reads_the_golden_bytes(lanes: int):
    """Streams of that day give their symbols, to the last word."""
    decoder = Decoder(bank(), bytes.fromhex(GOLDEN[lanes]), lanes)
    for symbols, contexts in golden_parts():
        assert symbols == decoder.get(np.array(contexts, np.int32)).tolist()
    decoder.close()


@pytest.mark.parametrize("lanes", GOLDEN)
def test_the_document_suffices(lanes: int):
    """A decoder that knows nothing but ENTROPY.md reads the golden streams."""
    document = Document(bytes.fromhex(GOLDEN[lanes]), lanes)

    assert [s for s, _ in golden_parts()] == [document.part(c) for _, c in golden_parts()]
    assert [2**16] * lanes == document.states
    assert [] == document.words


def test_the_document_prints_our_numbers():
    """Grid, thresholds, radii and example tables in ENTROPY.md are those of the code."""
    text = DOCUMENT.read_text(encoding="utf-8")
    radii = [frequency_tables.radius(i) for i in range(frequency_tables.NUM_SCALES)]
    small = frequency_tables.split_normal_frequencies()
    lengths = frequency_tables.quantise_pmf([1 << (30 - n) for n in range(31)])

    assert list(frequency_tables.SCALE_UNITS) == numbers_of("The scales, in units of 2^-16")
    assert frequency_tables.SCALE_THRESHOLDS.tolist() == numbers_of("Its grid index is")
    assert radii == numbers_of("the radius is")
    for numbers in (small[0], small[805], lengths[:14]):
        assert f"`{' '.join(map(str, numbers))}`" in text
    for index in (0, 20):
        assert ", ".join(map(str, frequency_tables.side_masses(index))) in text


def test_the_documents_example_is_what_we_write():
    """The worked example of ENTROPY.md is the stream that we write for it."""
    text = DOCUMENT.read_text(encoding="utf-8")
    example = re.search(r"The stream: `([0-9a-f ]+)`", text)
    encoder = Encoder(frequency_tables.standard_bank())
    encoder.put([0, 1, -1, 9], [805] * 4)

    assert example is not None
    assert bytes.fromhex(example[1]) == encoder.finish(1)
    assert [0, 1, -1, 9] == Document(bytes.fromhex(example[1]), 1).part([805] * 4)

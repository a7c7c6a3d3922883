"""Bits, ue7 and emulation prevention."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.codecs.bpg.bits import BitReader, BitWriter, ByteReader, escape, unescape, write_ue7
from bench.errors import DecodeError


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (0, "00"),
        (8, "08"),
        (127, "7f"),
        (128, "8100"),
        (512, "8400"),
        (542, "841e"),
        (16383, "ff7f"),
        (16384, "818000"),
        (728855, "acbe17"),
        (2**32 - 1, "8fffffff7f"),
    ],
)
def test_ue7_golden(value, code):
    """The format description's numbers have the format description's bytes."""
    reader = ByteReader(bytes.fromhex(code))

    assert code == write_ue7(value).hex()
    assert value == reader.ue7("a number")
    assert reader.remaining == 0


@pytest.mark.parametrize(
    ("code", "bits", "words"),
    [
        ("8008", 32, "padding byte"),
        ("80", 32, "padding byte"),
        ("", 32, "ends inside a number"),
        ("84", 32, "ends inside a number"),
        ("9080808000", 32, "does not fit 32 bits"),
        ("ffffffffff7f", 32, "does not fit 32 bits"),
        ("848000", 16, "does not fit 16 bits"),
    ],
)
def test_ue7_refused(code, bits, words):
    """A padded, cut or overlong ue7 is an error that names the field."""
    with pytest.raises(DecodeError, match=words):
        ByteReader(bytes.fromhex(code)).ue7("a number", bits)


@given(st.integers(0, 2**32 - 1))
def test_ue7_round_trip(value):
    """Every 32-bit number survives in at most five bytes, the first not 0x80."""
    code = write_ue7(value)

    assert len(code) <= 5
    assert code[0] != 0x80
    assert value == ByteReader(code).ue7("a number")


def _fields(draw_values):
    """Return (kind, width, value) triples."""
    fixed = st.integers(1, 40).flatmap(
        lambda n: st.tuples(st.just("u"), st.just(n), st.integers(0, 2**n - 1))
    )
    golomb = st.tuples(st.just("ue"), st.just(0), st.integers(0, 2**32 - 2))
    return st.lists(st.one_of(fixed, golomb), max_size=draw_values)


@given(_fields(20))
def test_bit_strings_round_trip(fields):
    """What is written field by field is read back, and at most seven zero bits follow."""
    writer = BitWriter()
    for kind, width, value in fields:
        writer.u(width, value) if kind == "u" else writer.ue(value)
    reader = BitReader(writer.padded())

    assert fields == [
        (kind, width, reader.u(width) if kind == "u" else reader.ue()) for kind, width, _ in fields
    ]
    assert reader.left < 8
    assert reader.u(reader.left) == 0


@pytest.mark.parametrize(
    ("value", "bits"), [(0, "1"), (1, "010"), (2, "011"), (3, "00100"), (7, "0001000")]
)
def test_exp_golomb_golden(value, bits):
    """Exp-Golomb codes are those of H.265 table 9-2."""
    writer = BitWriter()
    writer.ue(value)

    assert bits == f"{int.from_bytes(writer.padded(), 'big'):08b}"[: len(bits)]


def test_reading_past_the_end():
    """Reading more bits than there are, or an endless Exp-Golomb code, is a DecodeError."""
    with pytest.raises(DecodeError, match="wanted 9 bits, found 8"):
        BitReader(b"\x00").u(9)
    with pytest.raises(DecodeError, match="ends early"):
        BitReader(b"\x00").ue()
    with pytest.raises(DecodeError, match="over 32 bits"):
        BitReader(bytes(20)).ue()


def test_stop_bit():
    """A raw byte sequence payload ends in one bit and zeros."""
    writer = BitWriter()
    assert writer.rbsp().hex() == "80"
    writer.u(7, 0)
    assert writer.rbsp().hex() == "01"
    writer.u(1, 1)
    assert writer.rbsp().hex() == "0180"


@given(st.lists(st.sampled_from([0, 0, 0, 1, 2, 3, 4]), max_size=30).map(bytes))
def test_emulation_prevention(payload):
    """An escaped payload holds neither start code nor 00 00 00, and unescapes to itself."""
    payload += b"\x80"
    escaped = escape(payload)

    assert payload == unescape(escaped)
    assert not any(bytes((0, 0, last)) in escaped for last in (0, 1, 2))

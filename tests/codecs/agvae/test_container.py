"""The file format: what is written is read, and every kind of damage is told apart from it."""

from __future__ import annotations

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.codecs.agvae.bitstream import container
from bench.codecs.agvae.bitstream.container import Header
from bench.errors import DecodeError, EncodeError

KODAK = Header(b"\x01\x02\x03\x04", 768, 512, 1024, 32, 3)


def sealed(body: bytes) -> bytes:
    """Return a body with a right checksum, as only a forger would write it."""
    return body + zlib.crc32(body).to_bytes(4, "little")


@given(
    st.binary(min_size=4, max_size=4),
    st.integers(1, 13000),
    st.integers(1, 13000),
    st.integers(-512, 1792),
    st.sampled_from([1, 8, 64]),
    st.integers(0, 3),
    st.binary(max_size=80),
)
def test_round_trip(model_id, width, height, level_steps, lanes, tables, tail):
    """Header and payload come back as they went in."""
    payload = bytes(4096) + tail
    header = Header(model_id, width, height, level_steps, lanes, tables)

    assert (header, payload) == container.read(container.write(header, payload))


def test_overhead_is_19_bytes():
    """A Kodak file carries 15 bytes of header and 4 of checksum, byte for byte as documented."""
    payload = bytes(range(64))

    data = container.write(KODAK, payload)

    assert 19 + 64 == len(data)
    assert "41475602010203048006800480101d" == data[:15].hex()
    assert payload == data[15:-4]
    assert zlib.crc32(data[:-4]).to_bytes(4, "little") == data[-4:]


def test_any_single_damage_is_noticed():
    """Every flipped bit and every truncation of a file is an error, never another image."""
    data = container.write(KODAK, bytes(64))
    for position in range(len(data)):
        with pytest.raises(DecodeError):
            container.read(data[:position])
        for bit in range(8):
            damaged = bytearray(data)
            damaged[position] ^= 1 << bit
            with pytest.raises(DecodeError):
                container.read(bytes(damaged))
    with pytest.raises(DecodeError, match="checksum"):
        container.read(data + b"\0")


def header_with(*numbers: bytes) -> bytes:
    """Return a forged file with these bytes behind the model id."""
    return sealed(b"AGV\x01" + b"\x01\x02\x03\x04" + b"".join(numbers) + bytes(64))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "not an AG-VAE file"),
        (b"\xff\xd8\xff\xe0" + bytes(40), "not an AG-VAE file"),
        (b"AGV\x01", "inside the header"),
        (sealed(b"AGV\x03" + bytes(64)), "format version 3"),
        (sealed(b"AGV\x00" + bytes(64)), "format version 0"),
        (sealed(b"AGV\x02" + bytes(4) + b"\x01\x01\0\x80\x01" + bytes(64)), "tables 16"),
        (sealed(b"AGV\x02" + bytes(4) + b"\x01\x01\x81\x80\x01\0" + bytes(64)), "level -32.0039"),
        (header_with(b"\0", b"\x01", b"\0", b"\x08"), "0x1 pixels"),
        (header_with(b"\xff\xff\x7f", b"\xff\xff\x7f", b"\0", b"\x08"), "pixels, wanted 1 to"),
        (header_with(b"\x80\x60", b"\x80\x60", b"\0", b"\x08"), "cannot hold 12288x12288"),
        (header_with(b"\x01", b"\x01", b"\x81\x40", b"\x08"), "level 32.0039"),
        (header_with(b"\xff\xff\xff\xff\xff\x01"), "too long"),
        (header_with(b"\x81\x00"), "shortest form"),
        (sealed(b"AGV\x01" + bytes(4) + b"\x80\x80\x80\x80"), "inside the header"),
    ],
    ids=["empty", "jpeg", "short", "version", "version 0", "tables", "low", "zero", "huge",
         "implausible", "level", "long", "padded", "cut"],
)  # fmt: skip
def test_forged_headers_are_refused(data, words):
    """A header that no encoder writes is refused in words, even under a right checksum."""
    with pytest.raises(DecodeError, match=words):
        container.read(data)


def test_what_the_reader_refuses_is_not_written():
    """An image beyond the format's bounds is an encoder's error."""
    with pytest.raises(EncodeError, match="cannot hold"):
        container.write(Header(bytes(4), 1 << 15, 1 << 14, 0, 8), bytes(64))

"""The BPG container: golden bytes, other writers' files, refusals."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.codecs.bpg import container
from bench.codecs.bpg.container import ColorSpace, Header, PixelFormat
from bench.errors import DecodeError

TOOLS = bytes.fromhex("924740")
NALS = [bytes.fromhex("4401c1718312"), bytes.fromhex("2801af80")]
BODY = "03924740" + "4401c1718312" + "000001" + "2801af80"


@pytest.mark.parametrize(
    ("header", "options", "golden"),
    [
        (Header(512, 512), {}, "425047fb 6000 8400 8400 11"),
        (Header(512, 512), {"state_length": False}, "425047fb 6000 8400 8400 00"),
        (Header(1, 127, PixelFormat.GRAY), {}, "425047fb 0000 01 7f 11"),
        (Header(768, 542, PixelFormat.YUV420), {}, "425047fb 2000 8600 841e 11"),
        (Header(8, 8, PixelFormat.YUV422, bit_depth=12), {}, "425047fb 4400 08 08 11"),
        (Header(8, 8, PixelFormat.YUV420_VIDEO, bit_depth=10), {}, "425047fb 8200 08 08 11"),
        (Header(8, 8, color_space=ColorSpace.RGB), {}, "425047fb 6010 08 08 11"),
        (
            Header(8, 8, color_space=ColorSpace.BT2020, limited_range=True),
            {},
            "425047fb 6042 08 08 11",
        ),
        (
            Header(8, 8),
            {"extensions": [(1, b"ab"), (200, b"")]},
            "425047fb 6008 08 08 11 07 01026162 814800",
        ),
    ],
)  # fmt: skip
def test_golden_bytes(header, options, golden):
    """A header is written as the format describes it, and read back."""
    data = container.write(header, TOOLS, NALS, **options)
    file = container.parse(data)

    assert (golden.replace(" ", "") + BODY) == data.hex()
    assert header == file.header
    assert TOOLS == file.hevc_header
    assert b"\x00\x00\x01".join(NALS) == file.nal_bytes
    assert options.get("state_length", True) == file.length_stated
    assert tuple(options.get("extensions", ())) == file.extensions
    assert len(data) == sum(file.part_sizes.values()) + len(file.nal_bytes)


@pytest.mark.parametrize(
    ("start", "words"),
    [
        ("", "not a BPG file"),
        ("425047fa", "not a BPG file"),
        ("89504e470d0a1a0a", "not a BPG file"),
        ("425047fb", "ends inside the header"),
        ("425047fb 60", "ends inside the header"),
        ("425047fb 6000", "ends inside picture_width"),
        ("425047fb 6000 08", "ends inside picture_height"),
        ("425047fb 6000 0808", "ends inside picture_data_length"),
        ("425047fb 6000 080800", "ends inside hevc_header_length"),
        ("425047fb 6000 08080009", "ends inside hevc_header"),
        ("425047fb 6000 080802ff", "claims 2 bytes of picture data, found 1"),
        ("425047fb 6000 080801ffff", "claims 1 bytes of picture data, found 2"),
        ("425047fb 6000 00 08 00", "claims 0x8 pixels"),
        ("425047fb 6000 08 00 00", "claims 8x0 pixels"),
        ("425047fb 6000 8fffffff7f 8fffffff7f 00", "4294967295x4294967295 pixels"),
        ("425047fb 6000 8008 08 00", "picture_width begins with a padding byte"),
        ("425047fb c000 08 08 00", "reserved value"),
        ("425047fb 6050 08 08 00", "reserved value"),
        ("425047fb 6700 08 08 00", "15 bits, at most 14"),
        ("425047fb 0010 08 08 00", "gray with a colour space"),
        ("425047fb 2010 08 08 00", "RGB with subsampled planes"),
        ("425047fb 6008 08 08 00 05 01", "ends inside extension_data"),
        ("425047fb 6008 08 08 00 02 0105", "ends inside extension 1"),
    ],
)  # fmt: skip
def test_damaged_headers(start, words):
    """Each way in which a header can be wrong has its own words."""
    with pytest.raises(DecodeError, match=words):
        container.parse(bytes.fromhex(start))


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({"alpha1": True}, "has an alpha plane"),
        ({"alpha1": True, "alpha2": True}, "has an alpha plane"),
        ({"alpha2": True}, "is CMYK"),
        ({"animation": True}, "is animated"),
    ],
)
def test_unsupported_kinds(flags, words):
    """Alpha, CMYK and animation are refused by name."""
    with pytest.raises(DecodeError, match=words):
        container.parse(container.write(Header(8, 8, **flags), TOOLS, NALS))


@given(st.binary(max_size=40), st.booleans())
def test_noise_is_refused_or_parsed(noise, lead):
    """Random bytes, with or without the magic number, never raise anything but DecodeError."""
    data = container.MAGIC + noise if lead else noise
    try:
        file = container.parse(data)
    except DecodeError:
        return

    assert len(data) == sum(file.part_sizes.values()) + len(file.nal_bytes)

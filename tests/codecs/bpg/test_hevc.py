"""Parameter sets taken apart and rebuilt; NAL units cut and checked."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.codecs.bpg import hevc
from bench.codecs.bpg.container import Header, PixelFormat
from bench.codecs.bpg.hevc import CodingTools, Pcm
from bench.errors import DecodeError

# The format description's observed bytes of bpgenc 0.9.8.
LEVEL_8 = CodingTools(3, 6, 2, 5, 2, sao=True, strong_intra_smoothing=True)
OBSERVED = {
    "b924": CodingTools(3, 5, 2, 5, 0, sao=False, strong_intra_smoothing=True),
    "b934": CodingTools(3, 5, 2, 5, 0, sao=True, strong_intra_smoothing=True),
    "924d00": dataclasses.replace(LEVEL_8, intra_transform_depth=0),
    "924540": dataclasses.replace(LEVEL_8, intra_transform_depth=1),
    "924740": LEVEL_8,
    "924250": dataclasses.replace(LEVEL_8, intra_transform_depth=3),
}


@pytest.mark.parametrize(("code", "tools"), OBSERVED.items())
def test_hevc_header_golden(code, tools):
    """The hevc_header bytes of bpgenc's levels mean what they mean, and are written again."""
    assert tools == CodingTools.from_header(bytes.fromhex(code))
    assert code == tools.to_header().hex()


@st.composite
def _tools(draw):
    tree = draw(st.integers(4, 6))
    coding = draw(st.integers(3, tree))
    largest = min(tree, 5)
    transform = draw(st.integers(2, min(coding - 1, largest)))
    pcm = None
    if draw(st.booleans()):
        low = draw(st.integers(min(coding, 5), largest))
        pcm = Pcm(
            draw(st.integers(1, 16)),
            draw(st.integers(1, 16)),
            low,
            draw(st.integers(low, largest)),
            draw(st.booleans()),
        )
    flags = draw(st.none() | st.integers(0, 511).map(lambda n: n & 0b1_1100_1010))
    return CodingTools(
        coding,
        tree,
        transform,
        draw(st.integers(transform, largest)),
        draw(st.integers(0, tree - transform)),
        sao=draw(st.booleans()),
        strong_intra_smoothing=draw(st.booleans()),
        pcm=pcm,
        range_flags=flags,
    )


@given(_tools(), st.sampled_from(PixelFormat), st.integers(1, 70_000), st.integers(1, 70_000))
def test_parameter_sets_round_trip(tools, pixel_format, width, height):
    """PCM fields, range flags and sizes survive hevc_header and the rebuilt SPS."""
    header = Header(width, height, pixel_format)

    assert tools == CodingTools.from_header(tools.to_header())
    assert (tools, tools.coded_size(width, height)) == hevc.parse_sps(hevc.build_sps(header, tools))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"log2_min_coding_block": 7, "log2_coding_tree_block": 7}, "block sizes"),
        ({"log2_coding_tree_block": 3}, "block sizes"),
        ({"log2_min_transform_block": 3}, "block sizes"),
        ({"log2_max_transform_block": 6}, "block sizes"),
        ({"intra_transform_depth": 5}, "block sizes"),
        ({"pcm": Pcm(8, 8, 3, 6, loop_filter_disabled=False)}, "block sizes"),
        ({"range_flags": 0b0_0010_0000}, "range extensions"),
        ({"range_flags": 1}, "range extensions"),
    ],
)
def test_illegal_tools(change, words):
    """Sizes that HEVC forbids and flags that BPG forbids are refused."""
    code = dataclasses.replace(LEVEL_8, **change).to_header()

    with pytest.raises(DecodeError, match=words):
        CodingTools.from_header(code)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("", "ends early"),
        ("92", "ends early"),
        ("92474000", "longer than its fields"),
        ("924741", "longer than its fields"),
        ("92476100", "SPS extensions"),
        ("00000000000000", "over 32 bits"),
    ],
)
def test_damaged_hevc_header(code, words):
    """A bit string that is too short, too long or padded with ones is refused."""
    with pytest.raises(DecodeError, match=words):
        CodingTools.from_header(bytes.fromhex(code))


PPS = bytes.fromhex("4401c17183")
SLICE = bytes.fromhex("2801af8012")


def test_split_keeps_every_byte():
    """NAL units come without start codes, and the sizes beside them sum to the whole."""
    joined = PPS + b"\0\0\0\1" + SLICE + b"\0\0\1" + SLICE
    found = list(hevc.split_nals(joined))

    assert [nal for nal, _ in found] == [PPS, SLICE, SLICE]
    assert sum(size for _, size in found) == len(joined)
    assert [nal for nal, _ in hevc.split_nals(b"\0\0\0\1" + joined) if nal] == [PPS, SLICE, SLICE]


def test_picture_nals_drops_what_decoders_ignore():
    """Delimiters and unknown types are left out; PPS, SEI and slices stay in order."""
    delimiter, sei, unknown = b"\x46\x01\x50", b"\x4e\x01\x05\x80", b"\x60\x01\x80"
    joined = b"\0\0\1".join([delimiter, PPS, sei, unknown, SLICE])

    assert [PPS, sei, SLICE] == hevc.picture_nals(joined)


@pytest.mark.parametrize(
    ("nals", "words"),
    [
        ([], "0 pictures"),
        ([PPS], "0 pictures"),
        ([PPS, SLICE, SLICE], "2 pictures"),
        ([hevc.build_vps(), PPS, SLICE], "NAL unit of type 32"),
        ([hevc.build_sps(Header(8, 8), LEVEL_8), PPS, SLICE], "NAL unit of type 33"),
        ([PPS, b"\x02\x01\xaf\x80"], "NAL unit of type 1"),
        ([PPS, b"\x28"], "malformed"),
        ([PPS, b"\xa8\x01\xaf\x80"], "malformed"),
        ([PPS, b"\x28\x09\xaf\x80"], "malformed"),
        ([PPS, b"\x28\x00\xaf\x80"], "malformed"),
    ],
)
def test_foreign_nal_units(nals, words):
    """Parameter sets that could change the size, other pictures and layers are refused."""
    with pytest.raises(DecodeError, match=words):
        hevc.picture_nals(b"\0\0\1".join(nals))


def test_sps_with_other_assumptions():
    """An encoder's SPS that BPG's reader would misread is refused with what was wanted."""
    sps = bytearray(hevc.build_sps(Header(64, 64), LEVEL_8))
    sps[2] |= 0x02  # one more sub-layer

    with pytest.raises(DecodeError, match="its SPS must have VPS id 0 and one sub-layer"):
        hevc.parse_sps(bytes(sps))

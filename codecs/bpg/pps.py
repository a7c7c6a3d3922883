"""The picture parameter set (PPS), which BPG stores as it is: which coding tools it switches on.

FFmpeg's hevc decoder is right about the tools of HEVC's first version, lossless coding
(transquant bypass) and transform skip included; streams of x265 with an MD5 prove that in the
tests. About the range extensions it is wrong at least once: it filters the edge of a vertically
predicted block that is coded losslessly under implicit RDPCM. No encoder here writes them, so
none of them is proven; ``unproven_tools`` names those that a picture could use.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from bench.codecs.bpg.bits import DAMAGED, BitReader, unescape
from bench.codecs.bpg.hevc import CodingTools
from bench.errors import DecodeError

_ON_RESIDUALS = (
    (0b1_0000_0000, "rotation of residuals"),
    (0b0_1000_0000, "single significance context"),
    (0b0_0100_0000, "implicit RDPCM"),
)
"""SPS flags that touch only blocks coded with transquant bypass or transform skip."""

_ON_ALL_BLOCKS = (
    (0b0_0000_1000, "disabled intra smoothing"),
    (0b0_0000_0010, "persistent Rice adaptation"),
)


@dataclass(frozen=True, slots=True)
class PictureTools:
    """What matters here of a PPS (7.3.2.3.1 and 7.3.2.3.2 of ITU-T H.265).

    Attributes
    ----------
    transform_skip, transquant_bypass
        Whether blocks may be coded without transform, and without quantisation at all.
    large_transform_skip, cross_component_prediction, chroma_qp_offsets, sao_scale
        Tools of the range extension.
    """

    transform_skip: bool
    transquant_bypass: bool
    large_transform_skip: bool = False
    cross_component_prediction: bool = False
    chroma_qp_offsets: bool = False
    sao_scale: bool = False


def parse(nal: bytes) -> PictureTools:
    """Return the tools of a PPS NAL unit.

    Raises
    ------
    DecodeError
        If it ends early, or holds scaling lists or extensions that BPG has not.
    """
    bits = BitReader(unescape(nal[2:]))
    bits.ue(), bits.ue()  # its own number, the SPS's
    bits.u(7)  # dependent slices to cabac_init_present
    bits.ue(), bits.ue(), bits.ue()  # reference counts, QP
    bits.flag()  # constrained intra prediction
    transform_skip = bits.flag()
    if bits.flag():  # QP changes inside the picture
        bits.ue()
    bits.ue(), bits.ue(), bits.u(3)  # chroma QP offsets, weighted prediction
    transquant_bypass, tiles = bits.flag(), bits.flag()
    bits.flag()  # wavefronts
    if tiles:
        _skip_tiles(bits)
    bits.flag()  # loop filter across slices
    if bits.flag():  # deblocking control
        bits.flag()
        if not bits.flag():
            bits.ue(), bits.ue()
    if bits.flag():
        raise DecodeError("HEVC picture parameters hold scaling lists, which BPG has not", DAMAGED)
    bits.flag()
    bits.ue()  # merge level
    bits.flag()
    if not bits.flag():
        return PictureTools(transform_skip, transquant_bypass)
    has_range, others = bits.flag(), bits.u(7)
    if others:
        raise DecodeError("HEVC picture parameters hold extensions that BPG has not", DAMAGED)
    extension = _range_extension(bits, transform_skip) if has_range else {}
    return PictureTools(transform_skip, transquant_bypass, **extension)


def _range_extension(bits: BitReader, transform_skip: bool) -> dict[str, bool]:
    large = transform_skip and bits.ue() > 0
    cross, chroma = bits.flag(), bits.flag()
    if chroma:
        bits.ue()
        for _ in range(min(bits.ue(), 5) + 1):
            bits.ue(), bits.ue()
    return {
        "large_transform_skip": large,
        "cross_component_prediction": cross,
        "chroma_qp_offsets": chroma,
        "sao_scale": max(bits.ue(), bits.ue()) > 0,
    }


def _skip_tiles(bits: BitReader) -> None:
    columns, rows = bits.ue(), bits.ue()
    if not bits.flag():  # not evenly spaced
        for _ in range(min(columns + rows, bits.left)):
            bits.ue()
    bits.flag()


def unproven_tools(tools: CodingTools, pictures: Iterable[PictureTools]) -> list[str]:
    """Return the names of the tools in use that FFmpeg's decoder is not proven to decode right."""
    pictures = list(pictures)
    flags = tools.range_flags or 0
    names = [name for flag, name in _ON_ALL_BLOCKS if flags & flag]
    bypass = any(p.transquant_bypass for p in pictures)
    if bypass or any(p.transform_skip for p in pictures):
        where = "transquant bypass" if bypass else "transform skip"
        names += [f"{name} ({where})" for flag, name in _ON_RESIDUALS if flags & flag]
    for name in (
        "large_transform_skip",
        "cross_component_prediction",
        "chroma_qp_offsets",
        "sao_scale",
    ):
        if any(getattr(p, name) for p in pictures):
            names.append(name.replace("_", " "))
    if tools.pcm is not None:
        names.append("PCM" + " without loop filter" * tools.pcm.loop_filter_disabled)
    return names

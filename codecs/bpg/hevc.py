"""The HEVC side of BPG: parameter sets taken apart and rebuilt, NAL units cut and joined.

BPG keeps of the sequence parameter set (SPS) only what can vary, in ``hevc_header``, and drops the
video parameter set (VPS). A stock decoder needs both back. Sections are of ITU-T H.265 (12/2016).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bench.codecs.bpg.bits import DAMAGED, BitReader, BitWriter, escape, unescape
from bench.codecs.bpg.container import START_CODE, Header
from bench.errors import DecodeError

VPS, SPS, PPS = 32, 33, 34
SEI = (39, 40)
INTRA_PICTURES = range(16, 22)  # BLA, IDR and CRA slices

_RANGE_FLAGS = 9
_ALLOWED_RANGE_FLAGS = 0b1_1100_1010
"""Rotation, context, implicit RDPCM, no intra smoothing, persistent Rice: BPG's profile."""

_PTL_LEVEL = 186  # 6.2: stock decoders do not check it


@dataclass(frozen=True, slots=True)
class Pcm:
    """Fields of the SPS that exist where PCM blocks are enabled (7.4.3.2.1)."""

    luma_depth: int
    chroma_depth: int
    log2_min_size: int
    log2_max_size: int
    loop_filter_disabled: bool

    @classmethod
    def read(cls, bits: BitReader) -> Pcm:
        """Read the five fields, which stand in the same order in SPS and hevc_header."""
        luma, chroma, low = bits.u(4) + 1, bits.u(4) + 1, bits.ue() + 3
        return cls(luma, chroma, low, low + bits.ue(), bits.flag())

    def write(self, bits: BitWriter) -> None:
        """Write the five fields."""
        bits.u(4, self.luma_depth - 1)
        bits.u(4, self.chroma_depth - 1)
        bits.ue(self.log2_min_size - 3)
        bits.ue(self.log2_max_size - self.log2_min_size)
        bits.flag(self.loop_filter_disabled)


@dataclass(frozen=True, slots=True)
class CodingTools:
    """What BPG keeps of the SPS.

    Attributes
    ----------
    log2_min_coding_block, log2_coding_tree_block
        Sizes of the smallest coding block and of the coding tree block (CTB).
    log2_min_transform_block, log2_max_transform_block
        Sizes of the transform blocks.
    intra_transform_depth
        ``max_transform_hierarchy_depth_intra``.
    sao, strong_intra_smoothing
        Flags.
    pcm
        Present where PCM blocks are enabled.
    range_flags
        The nine flags of the SPS range extension, first flag in the highest bit; None without.
    """

    log2_min_coding_block: int
    log2_coding_tree_block: int
    log2_min_transform_block: int
    log2_max_transform_block: int
    intra_transform_depth: int
    sao: bool
    strong_intra_smoothing: bool
    pcm: Pcm | None = None
    range_flags: int | None = None

    @classmethod
    def from_header(cls, hevc_header: bytes) -> CodingTools:
        """Read BPG's bit string.

        Raises
        ------
        DecodeError
            If it ends early, runs on, or holds values that HEVC or BPG's profile forbids.
        """
        bits = BitReader(hevc_header)
        sizes = _read_block_sizes(bits)
        depth = bits.ue()
        sao = bits.flag()
        pcm = Pcm.read(bits) if bits.flag() else None
        strong = bits.flag()
        tools = cls(*sizes, depth, sao, strong, pcm, _read_range_flags(bits))
        if bits.left > 7 or bits.u(bits.left):
            raise DecodeError("BPG hevc_header is longer than its fields", DAMAGED)
        tools.check()
        return tools

    def to_header(self) -> bytes:
        """Return BPG's bit string: SAO comes before PCM, no stop bit, no emulation prevention."""
        bits = BitWriter()
        self.write_block_sizes(bits)
        bits.ue(self.intra_transform_depth)
        bits.flag(self.sao)
        self.write_pcm(bits)
        bits.flag(self.strong_intra_smoothing)
        self.write_range_flags(bits)
        return bits.padded()

    def check(self) -> None:
        """Refuse sizes outside 7.4.3.2.1 and flags outside BPG's profile.

        Raises
        ------
        DecodeError
            If a value is out of range.
        """
        largest = min(self.log2_coding_tree_block, 5)
        legal = (
            3 <= self.log2_min_coding_block <= self.log2_coding_tree_block
            and 4 <= self.log2_coding_tree_block <= 6
            and self.log2_min_transform_block < self.log2_min_coding_block
            and self.log2_max_transform_block <= largest
            and self.intra_transform_depth
            <= self.log2_coding_tree_block - self.log2_min_transform_block
        )
        if self.pcm is not None:
            legal &= min(self.log2_min_coding_block, 5) <= self.pcm.log2_min_size
            legal &= self.pcm.log2_max_size <= largest
        if not legal:
            raise DecodeError("BPG hevc_header holds block sizes that HEVC forbids", DAMAGED)
        if (self.range_flags or 0) & ~_ALLOWED_RANGE_FLAGS:
            raise DecodeError("BPG hevc_header holds range extensions that BPG forbids", DAMAGED)

    def coded_size(self, width: int, height: int) -> tuple[int, int]:
        """Return width and height rounded up to whole smallest coding blocks."""
        block = 1 << self.log2_min_coding_block
        return -(-width // block) * block, -(-height // block) * block

    def ctb_count(self, width: int, height: int) -> int:
        """Return how many coding tree blocks cover a picture."""
        block = 1 << self.log2_coding_tree_block
        return -(-width // block) * -(-height // block)

    def write_block_sizes(self, bits: BitWriter) -> None:
        """Write the four block sizes, in the order that SPS and hevc_header share."""
        bits.ue(self.log2_min_coding_block - 3)
        bits.ue(self.log2_coding_tree_block - self.log2_min_coding_block)
        bits.ue(self.log2_min_transform_block - 2)
        bits.ue(self.log2_max_transform_block - self.log2_min_transform_block)

    def write_pcm(self, bits: BitWriter) -> None:
        """Write the PCM flag, and the fields where it is set."""
        bits.flag(self.pcm is not None)
        if self.pcm is not None:
            self.pcm.write(bits)

    def write_range_flags(self, bits: BitWriter) -> None:
        """Write the SPS extension: nothing, or the nine flags of the range extension."""
        bits.flag(self.range_flags is not None)
        if self.range_flags is not None:
            bits.u(8, 0x80)
            bits.u(_RANGE_FLAGS, self.range_flags)


def _read_block_sizes(bits: BitReader) -> tuple[int, int, int, int]:
    min_coding = bits.ue() + 3
    tree = min_coding + bits.ue()
    min_transform = bits.ue() + 2
    return min_coding, tree, min_transform, min_transform + bits.ue()


def _read_range_flags(bits: BitReader) -> int | None:
    """Read an SPS extension, of which BPG knows only the range extension."""
    if not bits.flag():
        return None
    has_range, others = bits.flag(), bits.u(7)
    if others:
        raise DecodeError("HEVC header holds SPS extensions that BPG forbids", DAMAGED)
    return bits.u(_RANGE_FLAGS) if has_range else None


# --- from the decoder's side: parameter sets written ---------------------------------------------


def _write_profile_tier_level(bits: BitWriter, chroma_format_idc: int, depth: int) -> None:
    """Write 7.3.3 for the range extensions' profile family (4), intra, one picture."""
    bits.u(8, 4)
    bits.u(32, 1 << 27)  # compatible with profile 4
    bits.u(4, 0b1001)  # progressive source, frames only
    for at_most in (12, 10, 8):
        bits.flag(depth <= at_most)
    for at_most in (2, 1, 0):
        bits.flag(chroma_format_idc <= at_most)
    bits.u(3, 0b110)  # intra, one picture only, not lower bit rate
    bits.u(35, 0)
    bits.u(8, _PTL_LEVEL)


def build_vps() -> bytes:
    """Return a VPS NAL unit (7.3.2.1) for one layer and one picture."""
    bits = BitWriter()
    bits.u(4, 0)
    bits.u(2, 3)
    bits.u(9, 0)
    bits.flag(True)
    bits.u(16, 0xFFFF)
    _write_profile_tier_level(bits, 3, 12)
    bits.flag(True)
    for _ in range(3):
        bits.ue(0)
    bits.u(6, 0)
    bits.ue(0)
    bits.u(2, 0)  # no timing, no extension
    return bytes([VPS << 1, 1]) + escape(bits.rbsp())


def build_sps(header: Header, tools: CodingTools) -> bytes:
    """Return the SPS NAL unit (7.3.2.2) that BPG's header and hevc_header stand for."""
    chroma = header.pixel_format.chroma_format_idc
    bits = BitWriter()
    bits.u(7, 0)
    bits.flag(True)
    _write_profile_tier_level(bits, chroma, header.bit_depth)
    bits.ue(0)
    bits.ue(chroma)
    if chroma == 3:
        bits.flag(False)
    for side in tools.coded_size(header.width, header.height):
        bits.ue(side)
    bits.flag(False)  # no conformance window: the caller crops
    bits.ue(header.bit_depth - 8)
    bits.ue(header.bit_depth - 8)
    bits.ue(4)  # log2_max_pic_order_cnt_lsb = 8
    bits.flag(True)
    for _ in range(3):
        bits.ue(0)
    tools.write_block_sizes(bits)
    bits.ue(tools.intra_transform_depth)  # of inter blocks
    bits.ue(tools.intra_transform_depth)
    bits.u(2, 0b01)  # no scaling list; asymmetric motion partitions
    bits.flag(tools.sao)
    tools.write_pcm(bits)
    bits.ue(0)
    bits.u(2, 0b01)  # no long-term references; temporal motion vectors
    bits.flag(tools.strong_intra_smoothing)
    bits.flag(False)  # no VUI
    tools.write_range_flags(bits)
    return bytes([SPS << 1, 1]) + escape(bits.rbsp())


def to_annexb(nals: Sequence[bytes]) -> bytes:
    """Return NAL units behind start codes (Annex B)."""
    return b"".join(b"\x00" + START_CODE + nal for nal in nals)


# --- from the encoder's side: parameter sets read ------------------------------------------------


def parse_sps(nal: bytes) -> tuple[CodingTools, tuple[int, int]]:
    """Return what BPG keeps of an encoder's SPS, and its width and height.

    Raises
    ------
    DecodeError
        If it uses what BPG's reader assumes to be otherwise.
    """
    bits = BitReader(unescape(nal[2:]))
    _expect(bits.u(4) == 0 and bits.u(3) == 0, "VPS id 0 and one sub-layer")
    bits.u(1 + 88 + 8)
    _expect(bits.ue() == 0, "SPS id 0")
    if bits.ue() == 3:
        _expect(not bits.flag(), "joint colour planes")
    size = bits.ue(), bits.ue()
    _expect(not bits.flag(), "no conformance window")
    _expect(bits.ue() == bits.ue(), "equal luma and chroma depth")
    _expect(bits.ue() == 4, "8 bits of picture order count")
    bits.flag()
    for _ in range(3):
        bits.ue()
    sizes = _read_block_sizes(bits)
    inter_depth, depth = bits.ue(), bits.ue()
    _expect(inter_depth == depth, "equal inter and intra transform depth")
    _expect(not bits.flag(), "no scaling lists")
    _expect(bits.flag(), "asymmetric motion partitions")
    sao = bits.flag()
    pcm = Pcm.read(bits) if bits.flag() else None
    _expect(bits.ue() == 0, "no short-term reference sets")
    _expect(not bits.flag(), "no long-term references")
    _expect(bits.flag(), "temporal motion vectors")
    strong = bits.flag()
    if bits.flag():
        _skip_vui(bits)
    tools = CodingTools(*sizes, depth, sao, strong, pcm, _read_range_flags(bits))
    tools.check()
    return tools, size


def _expect(condition: bool, wanted: str) -> None:
    if not condition:
        raise DecodeError(f"BPG cannot hold this HEVC stream: its SPS must have {wanted}")


def _skip_vui(bits: BitReader) -> None:
    """Skip video usability information (E.2.1), which BPG drops; encoders write a little of it."""
    if bits.flag() and bits.u(8) == 255:  # aspect ratio
        bits.u(32)
    if bits.flag():  # overscan
        bits.flag()
    if bits.flag():  # video signal type
        bits.u(4)
        if bits.flag():
            bits.u(24)
    if bits.flag():  # chroma location
        bits.ue()
        bits.ue()
    bits.u(3)
    _expect(not bits.flag(), "no default display window")
    if bits.flag():  # timing
        bits.u(64)
        if bits.flag():
            bits.ue()
        _expect(not bits.flag(), "no HRD parameters")
    if bits.flag():  # bitstream restriction
        bits.u(3)
        for _ in range(5):
            bits.ue()


# --- NAL units -----------------------------------------------------------------------------------


def nal_type(nal: bytes) -> int:
    """Return nal_unit_type."""
    return nal[0] >> 1 & 63


def split_nals(nal_bytes: bytes) -> Iterator[tuple[bytes, int]]:
    """Yield each NAL unit without its start code, and how many bytes it takes with it.

    Parameters
    ----------
    nal_bytes
        An Annex-B stream that may lack its first start code.
    """
    begin = payload = 0
    while True:
        code = nal_bytes.find(START_CODE, payload)
        end = len(nal_bytes) if code < 0 else code
        if end > begin:
            yield nal_bytes[payload:end].rstrip(b"\x00"), end - begin
        if code < 0:
            return
        begin, payload = code, code + len(START_CODE)


def picture_nals(nal_bytes: bytes) -> list[bytes]:
    """Return the NAL units that a decoder needs: PPS, SEI, and the slices of one intra picture.

    Raises
    ------
    DecodeError
        If a NAL unit is malformed or does not belong into a still BPG picture, or if there is
        not exactly one picture.
    """
    kept, pictures = [], 0
    for nal, _ in split_nals(nal_bytes):
        if not nal:
            continue
        kind = nal_type(nal)
        if len(nal) < 3 or nal[0] & 0x81 or nal[1] >> 3 or not nal[1] & 7:
            raise DecodeError(f"BPG file holds a malformed NAL unit of type {kind}", DAMAGED)
        if kind in (VPS, SPS) or (kind < VPS and kind not in INTRA_PICTURES):
            raise DecodeError(f"BPG file holds a NAL unit of type {kind}", DAMAGED)
        if kind in INTRA_PICTURES:
            pictures += nal[2] >> 7
        if kind == PPS or kind in SEI or kind in INTRA_PICTURES:
            kept.append(nal)
    if pictures != 1:
        raise DecodeError(f"BPG file holds {pictures} pictures, wanted 1", DAMAGED)
    return kept

"""The BPG file: header, extensions, hevc_header and NAL bytes (bpg_spec 0.9.5; see FORMAT.md)."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass, field

from bench.codecs.bpg.bits import DAMAGED, ByteReader, write_ue7
from bench.errors import DecodeError
from bench.image import size_problem

MAGIC = b"BPG\xfb"
START_CODE = b"\x00\x00\x01"


class PixelFormat(enum.IntEnum):
    """Planes of the picture and where its chroma samples lie.

    The ``_VIDEO`` formats site chroma on the even luma columns as MPEG-2 does, the others in the
    middle between two as JPEG does.
    """

    GRAY = 0
    YUV420 = 1
    YUV422 = 2
    YUV444 = 3
    YUV420_VIDEO = 4
    YUV422_VIDEO = 5

    @property
    def chroma_format_idc(self) -> int:
        """HEVC's number for it: 0 gray, 1 4:2:0, 2 4:2:2, 3 4:4:4."""
        return (0, 1, 2, 3, 1, 2)[self]

    @property
    def halved(self) -> tuple[bool, bool]:
        """Whether chroma has half the rows, and half the columns, of luma."""
        return self.chroma_format_idc == 1, self.chroma_format_idc in (1, 2)

    @property
    def cosited(self) -> bool:
        """Whether chroma lies on the even luma columns."""
        return self in (PixelFormat.YUV420_VIDEO, PixelFormat.YUV422_VIDEO)


class ColorSpace(enum.IntEnum):
    """What the planes mean."""

    BT601 = 0
    RGB = 1
    YCGCO = 2
    BT709 = 3
    BT2020 = 4


@dataclass(frozen=True, slots=True)
class Header:
    """The fixed part of a BPG file.

    Attributes
    ----------
    width, height
        Of the picture in pixels, before padding to whole coding blocks.
    pixel_format, color_space
        Planes and their meaning.
    bit_depth
        Bits per sample of every plane, 8 to 14.
    limited_range
        Video range (16..235, chroma 16..240, at 8 bits) instead of full range.
    alpha1, alpha2
        1/0 alpha, 1/1 premultiplied alpha, 0/1 the K of CMYK, 0/0 none of them.
    animation
        Whether more than one picture follows.
    """

    width: int
    height: int
    pixel_format: PixelFormat = PixelFormat.YUV444
    color_space: ColorSpace = ColorSpace.BT601
    bit_depth: int = 8
    limited_range: bool = False
    alpha1: bool = False
    alpha2: bool = False
    animation: bool = False

    def check(self) -> None:
        """Refuse what the format forbids, and what is too large to allocate.

        Raises
        ------
        DecodeError
            If a field has such a value.
        """
        if problem := size_problem(self.width, self.height):
            raise DecodeError(f"BPG header claims {problem}", DAMAGED)
        if self.bit_depth > 14:
            raise DecodeError(f"BPG header claims {self.bit_depth} bits, at most 14", DAMAGED)
        if self.pixel_format == PixelFormat.GRAY and self.color_space != ColorSpace.BT601:
            raise DecodeError("BPG header claims gray with a colour space", DAMAGED)
        if self.color_space == ColorSpace.RGB and self.pixel_format != PixelFormat.YUV444:
            raise DecodeError("BPG header claims RGB with subsampled planes", DAMAGED)

    def check_supported(self) -> None:
        """Refuse the kinds of picture that a benchmark of opaque stills does not measure.

        Raises
        ------
        DecodeError
            If the file is animated, has alpha, or is CMYK.
        """
        if self.animation:
            found = "is animated"
        elif self.alpha1:
            found = "has an alpha plane"
        elif self.alpha2:
            found = "is CMYK"
        else:
            return
        raise DecodeError(
            f"this BPG file {found}, which is not supported: wanted one opaque still picture",
            "Decode it with bpgdec of libbpg.",
        )


@dataclass(frozen=True, slots=True)
class BpgFile:
    """A BPG file cut into its parts.

    Attributes
    ----------
    header
        The fixed part.
    hevc_header
        The bit string that stands for the sequence parameter set, without its length.
    nal_bytes
        NAL units, the first without its start code.
    length_stated
        Whether the file says its own length; if not, the data runs to the end of the file.
    extensions
        Tag and bytes of each (1 EXIF, 2 ICC, 3 XMP, 4 thumbnail, 5 animation control).
    part_sizes
        Bytes of ``header``, ``extensions`` (if any) and ``hevc_header``, lengths included.
    """

    header: Header
    hevc_header: bytes
    nal_bytes: bytes
    length_stated: bool
    extensions: tuple[tuple[int, bytes], ...] = ()
    part_sizes: dict[str, int] = field(default_factory=dict)


def write(
    header: Header,
    hevc_header: bytes,
    nals: Sequence[bytes],
    *,
    extensions: Sequence[tuple[int, bytes]] = (),
    state_length: bool = True,
) -> bytes:
    """Return a BPG file.

    Parameters
    ----------
    header
        The fixed part.
    hevc_header
        Bit string that stands for the SPS, see ``hevc.CodingTools.to_header``.
    nals
        NAL units with emulation prevention and without start codes, VPS and SPS left out.
    extensions
        Tag and bytes of each extension.
    state_length
        Write ``picture_data_length``, which lets a reader notice truncation. bpgenc 0.9.8 writes
        0, "to the end of the file", which is one to three bytes shorter.
    """
    body = write_ue7(len(hevc_header)) + hevc_header + START_CODE.join(nals)
    out = bytearray(MAGIC)
    out.append(header.pixel_format << 5 | header.alpha1 << 4 | header.bit_depth - 8)
    out.append(
        header.color_space << 4
        | bool(extensions) << 3
        | header.alpha2 << 2
        | header.limited_range << 1
        | header.animation
    )
    out += write_ue7(header.width) + write_ue7(header.height)
    out += write_ue7(len(body) if state_length else 0)
    if extensions:
        listed = b"".join(write_ue7(tag) + write_ue7(len(data)) + data for tag, data in extensions)
        out += write_ue7(len(listed)) + listed
    return bytes(out) + body


def parse(data: bytes) -> BpgFile:
    """Cut a BPG file into its parts.

    Raises
    ------
    DecodeError
        If it is of another format, damaged, truncated, absurdly large, animated, or has alpha.
    """
    reader = ByteReader(data)
    if data[: len(MAGIC)] != MAGIC:
        raise DecodeError(
            f"not a BPG file: wanted it to begin with {MAGIC.hex()}, found {data[:4].hex()!r}"
        )
    reader.position = len(MAGIC)
    header, has_extensions = _parse_fixed(reader)
    header.check()
    header.check_supported()
    length = reader.ue7("picture_data_length")
    sizes = {"header": reader.position}
    extensions: tuple[tuple[int, bytes], ...] = ()
    if has_extensions:
        extensions = _parse_extensions(reader)
        sizes["extensions"] = reader.position - sizes["header"]
    if length and length != reader.remaining:
        raise DecodeError(
            f"BPG header claims {length} bytes of picture data, found {reader.remaining}", DAMAGED
        )
    start = reader.position
    hevc_header = reader.take(reader.ue7("hevc_header_length"), "hevc_header")
    sizes["hevc_header"] = reader.position - start
    nal_bytes = reader.take(reader.remaining, "picture data")
    return BpgFile(header, hevc_header, nal_bytes, length > 0, extensions, sizes)


def _parse_fixed(reader: ByteReader) -> tuple[Header, bool]:
    """Return the fixed part, and whether extensions follow the length."""
    first, second = reader.take(2, "the header")
    try:
        pixel_format, color_space = PixelFormat(first >> 5), ColorSpace(second >> 4)
    except ValueError as error:
        raise DecodeError(f"BPG header holds a reserved value ({error})", DAMAGED) from error
    header = Header(
        width=reader.ue7("picture_width"),
        height=reader.ue7("picture_height"),
        pixel_format=pixel_format,
        color_space=color_space,
        bit_depth=8 + (first & 15),
        limited_range=bool(second & 2),
        alpha1=bool(first & 16),
        alpha2=bool(second & 4),
        animation=bool(second & 1),
    )
    return header, bool(second & 8)


def _parse_extensions(reader: ByteReader) -> tuple[tuple[int, bytes], ...]:
    length = reader.ue7("extension_data_length")
    inner = ByteReader(reader.take(length, "extension_data"))
    found = []
    while inner.remaining:
        tag = inner.ue7("extension_tag")
        found.append((tag, inner.take(inner.ue7("extension_tag_length"), f"extension {tag}")))
    return tuple(found)

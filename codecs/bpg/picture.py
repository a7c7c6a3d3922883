"""A picture to a BPG file and back: the parts of this package put together, and their guards."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bench.codecs.bpg import colour, container, hevc, picture_hash, pps, x265
from bench.codecs.bpg.bits import DAMAGED
from bench.codecs.bpg.colour import Plane
from bench.codecs.bpg.container import BpgFile, ColorSpace, Header, PixelFormat
from bench.errors import DecodeError, EncodeError
from bench.image import Image, size_problem

DECODABLE_DEPTHS = (8, 9, 10, 12)
"""Of FFmpeg's hevc decoder; BPG allows 8 to 14."""


def pixel_format_of(image: Image, subsampling: str) -> PixelFormat:
    """Return the planes to write: gray where every pixel's channels are equal, as bpgenc does.

    bpgenc looks at the PNG's colour type, which pixels in RGB no longer tell.
    """
    if (image[..., :1] == image[..., 1:]).all():
        return PixelFormat.GRAY
    return PixelFormat.YUV420 if subsampling == "4:2:0" else PixelFormat.YUV444


def encode(
    image: Image, *, qp: int, subsampling: str, bit_depth: int, level: int, md5: bool
) -> bytes:
    """Return a BPG file of uint8 RGB (H, W, 3); the options are those of the codec.

    Raises
    ------
    EncodeError
        If x265 fails, or writes what BPG cannot hold.
    """
    height, width = image.shape[:2]
    pixel_format = pixel_format_of(image, subsampling)
    planes = colour.rgb_to_planes(image, pixel_format, bit_depth)
    stream = x265.encode(
        planes,
        chroma_format_idc=pixel_format.chroma_format_idc,
        bit_depth=bit_depth,
        qp=qp,
        level=level,
        md5=md5,
    )
    header = Header(width, height, pixel_format, bit_depth=bit_depth)
    return mux(stream, header)


def mux(annexb: bytes, header: Header) -> bytes:
    """Return a BPG file of an encoder's stream: VPS and SPS leave, what BPG keeps of them stays.

    Raises
    ------
    EncodeError
        If the stream uses what BPG cannot hold.
    """
    nals = [nal for nal, _ in hevc.split_nals(annexb) if nal]
    sps = next((nal for nal in nals if hevc.nal_type(nal) == hevc.SPS), b"")
    try:
        tools, coded_size = hevc.parse_sps(sps)
    except DecodeError as error:
        raise EncodeError(f"x265 wrote a stream that BPG cannot hold ({error.what})") from error
    wanted = tools.coded_size(header.width, header.height)
    if coded_size != wanted:
        raise EncodeError(f"x265 wrote a {coded_size} picture, BPG wants {wanted}")
    kept = [nal for nal in nals if hevc.nal_type(nal) not in (hevc.VPS, hevc.SPS)]
    return container.write(header, tools.to_header(), kept)


def decode(data: bytes) -> Image:
    """Return the picture of a BPG file, uint8 RGB (H, W, 3).

    Raises
    ------
    DecodeError
        If the file is damaged or of a kind that is not supported.
    """
    file = container.parse(data)
    return colour.planes_to_rgb(decode_planes(file), file.header)


def decode_planes(file: BpgFile) -> list[Plane]:
    """Return the decoded planes of a file, padding included, or refuse it.

    Raises
    ------
    DecodeError
        If anything shows that the data is not one complete picture of the header's size.
    """
    header = file.header
    if header.bit_depth not in DECODABLE_DEPTHS:
        raise DecodeError(
            f"this BPG file has {header.bit_depth} bits a sample; the available HEVC decoder "
            f"knows {', '.join(map(str, DECODABLE_DEPTHS))}",
            "Decode it with bpgdec of libbpg.",
        )
    tools = hevc.CodingTools.from_header(file.hevc_header)
    stored = hevc.picture_nals(file.nal_bytes)
    _check_plausible(stored, tools, header)
    hashes = picture_hash.hashes(stored)
    parameters = [pps.parse(nal) for nal in stored if hevc.nal_type(nal) == hevc.PPS]
    unproven = ", ".join(pps.unproven_tools(tools, parameters))
    if unproven and not hashes:
        raise _unproven(f"this BPG file uses {unproven}, and carries no picture hash")
    # SEI messages stay behind: the decoder would report a wrong MD5 as any other damage.
    nals = [nal for nal in stored if hevc.nal_type(nal) not in hevc.SEI]
    nals = [hevc.build_vps(), hevc.build_sps(header, tools), *nals]
    planes = _decode_nals(nals, header)
    if planes[0].shape[::-1] != tools.coded_size(header.width, header.height):
        raise DecodeError(f"HEVC picture has shape {planes[0].shape}, unlike the header", DAMAGED)
    _check_complete(planes, tools, header)
    _check_hashes(hashes, planes, unproven)
    if not file.length_stated:
        _check_not_cut(nals, planes, header)
    return planes


def _unproven(found: str) -> DecodeError:
    return DecodeError(
        f"{found}: FFmpeg's decoder is not known to decode that exactly, so nothing was decoded",
        "Decode it with bpgdec of libbpg.",
    )


def _check_hashes(hashes: Sequence[bytes], planes: Sequence[Plane], unproven: str) -> None:
    """Refuse a picture that is not the one whose hash its file carries."""
    for payload in hashes:
        wrong = picture_hash.differing_planes(payload, planes)
        if wrong and unproven:
            raise _unproven(
                f"this BPG file uses {unproven}, and the {wrong} differs from what the file says"
            )
        if wrong:
            raise DecodeError(f"HEVC picture: the {wrong} differs from what the file says", DAMAGED)


def _decode_nals(nals: Sequence[bytes], header: Header) -> list[Plane]:
    return x265.decode(
        hevc.to_annexb(nals),
        chroma_format_idc=header.pixel_format.chroma_format_idc,
        bit_depth=header.bit_depth,
    )


def _check_plausible(nals: Sequence[bytes], tools: hevc.CodingTools, header: Header) -> None:
    """Refuse a header that claims more than its data can code, before anything is allocated.

    An intra coding block takes at least one bypass bin, that is one bit (9.3.4.3.4).
    """
    size_bits = 8 * sum(map(len, nals))
    blocks = tools.ctb_count(header.width, header.height)
    if size_bits < blocks:
        raise DecodeError(
            f"BPG header claims {header.width}x{header.height} pixels, for which "
            f"{size_bits // 8} bytes of data are too few",
            DAMAGED,
        )
    if problem := size_problem(header.width, header.height, 1 << tools.log2_coding_tree_block):
        raise DecodeError(f"BPG header claims {problem}", DAMAGED)


def _check_complete(planes: Sequence[Plane], tools: hevc.CodingTools, header: Header) -> None:
    """Refuse a picture of which coding tree blocks are missing.

    The decoder leaves them zero and reports nothing. No colour has all of Y, Cb and Cr at zero;
    black does in RGB and gray, where this shows nothing.
    """
    if header.pixel_format == PixelFormat.GRAY or header.color_space == ColorSpace.RGB:
        return
    blocks = [
        _block_maxima(plane, tools.log2_coding_tree_block, planes[0].shape) for plane in planes
    ]
    missing = int((np.max(blocks, axis=0) == 0).sum())
    if missing:
        raise DecodeError(f"HEVC data lacks {missing} of {blocks[0].size} blocks", DAMAGED)


def _block_maxima(plane: Plane, log2_block: int, luma_shape: tuple[int, ...]) -> Plane:
    """Return the largest sample of each coding tree block."""
    maxima = plane
    for axis in (0, 1):
        size = (plane.shape[axis] << log2_block) // luma_shape[axis]
        starts = np.arange(0, plane.shape[axis], size)
        maxima = np.maximum.reduceat(maxima, starts, axis=axis)
    return maxima


def _check_not_cut(nals: Sequence[bytes], planes: Sequence[Plane], header: Header) -> None:
    """Refuse slice data that ends early in a file that does not state its length.

    A decoder reads zeros beyond the end. A complete slice never reads there: ones in place of the
    zeros must give the same picture.
    """
    extended = [*nals]
    last = max(k for k, nal in enumerate(nals) if hevc.nal_type(nal) in hevc.INTRA_PICTURES)
    extended[last] += b"\xff" * 64
    again = _decode_nals(extended, header)
    if not all(np.array_equal(a, b) for a, b in zip(planes, again, strict=True)):
        raise DecodeError("HEVC data ends in the middle of the picture", DAMAGED)

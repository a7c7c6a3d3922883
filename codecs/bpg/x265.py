"""Planes to HEVC by libx265 and back by FFmpeg's hevc decoder, both through PyAV.

PyAV's wheels carry libx265, which is under GPL-2.0-or-later (or a commercial licence); this
package calls it at run time and contains none of it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.codecs.bpg.bits import DAMAGED
from bench.codecs.bpg.colour import Plane, sample_type
from bench.errors import DecodeError, EncodeError, Unavailable

if TYPE_CHECKING:  # every process that lists the codecs imports this file
    import av

PRESETS = (
    "superfast",
    "veryfast",
    "faster",
    "fast",
    "medium",
    "slow",
    "slower",
    "veryslow",
    "placebo",
)

# What these presets meant for a still picture in the x265 of bpgenc 0.9.8; presets have moved
# since, so level says the same thing under every x265: CTB, SAO, RD level, RDOQ level,
# intra transform depth, fast intra search, transform skip.
_TOOLS = (
    (32, 0, 2, 0, 1, 1, 0),
    (32, 1, 2, 0, 1, 1, 0),
    (64, 1, 2, 0, 1, 1, 0),
    (64, 1, 2, 0, 1, 1, 0),
    (64, 1, 3, 0, 1, 0, 0),
    (64, 1, 4, 2, 1, 0, 0),
    (64, 1, 6, 2, 2, 0, 0),
    (64, 1, 6, 2, 3, 0, 0),
    (64, 1, 6, 2, 4, 0, 1),
)

_SMALLEST_SIDE = 16
"""x265 refuses pictures smaller than its smallest coding tree block."""

_STRICT = {"err_detect": "crccheck+bitstream+buffer+explode"}


def _pixel_format_name(chroma_format_idc: int, bit_depth: int) -> str:
    """Return FFmpeg's name of a planar format."""
    if chroma_format_idc == 0:
        name = "gray"
    else:
        name = ("yuv420p", "yuv422p", "yuv444p")[chroma_format_idc - 1]
    return name if bit_depth == 8 else f"{name}{bit_depth}le"


def encode(
    planes: Sequence[Plane],
    *,
    chroma_format_idc: int,
    bit_depth: int,
    qp: int,
    level: int,
    md5: bool = False,
) -> bytes:
    """Return one intra picture as an Annex-B stream, with bpgenc's settings for x265.

    Constant QP (so adaptive quantisation is off), tuned for SSIM (so psycho-visual terms are
    off), wavefront syntax on, one worker thread. x265 codes intra pictures 3 below ``qp``.

    Parameters
    ----------
    planes
        Y, or Y, Cb and Cr, of the true size; the last row and column are repeated to whole
        coding blocks of 8, or of 16 where a side has 8 samples or fewer.
    chroma_format_idc
        0 gray, 1 4:2:0, 2 4:2:2, 3 4:4:4.
    bit_depth
        8, 10 or 12; deeper than 8 wants uint16 planes.
    qp
        0 (best) to 51.
    level
        1 (fast) to 9.
    md5
        Add an SEI message with an MD5 of each decoded plane, 57 bytes, which decoders verify.

    Raises
    ------
    EncodeError
        If x265 refuses.
    """
    block = _SMALLEST_SIDE if min(planes[0].shape) <= _SMALLEST_SIDE // 2 else 8
    height, width = (-(-side // block) * block for side in planes[0].shape)
    ctb, sao, rd, rdoq, depth, fast, skip = _TOOLS[level - 1]
    while ctb > min(height, width):
        ctb //= 2
    depth = min(depth, ctb.bit_length() - 2)  # HEVC's limit, x265 counts from 1 (7.4.3.2.1)
    parameters = (
        f"qp={qp}:keyint=1:total-frames=1:repeat-headers=1:rect=1:amp=1:info=0:log-level=none"
        ":allow-non-conformance=1"  # levels forbid small blocks in large pictures; BPG has no level
        f":pools=1:frame-threads=1:hash={int(md5)}:ctu={ctb}:min-cu-size={block}:sao={sao}"
        f":rd={rd}:rdoq-level={rdoq}:fast-intra={fast}:tskip={skip}"
        f":tu-intra-depth={depth}:tu-inter-depth={depth}"  # BPG stores one depth for both
    )
    shapes = [(height, width)]
    shapes += [
        (height >> (chroma_format_idc == 1), width >> (chroma_format_idc < 3)) for _ in planes[1:]
    ]
    padded = [_pad(plane, *shape) for plane, shape in zip(planes, shapes, strict=True)]
    name = _pixel_format_name(chroma_format_idc, bit_depth)
    return _run(padded, name, PRESETS[level - 1], parameters)


def _pad(plane: Plane, height: int, width: int) -> Plane:
    after = (0, height - plane.shape[0]), (0, width - plane.shape[1])
    return np.pad(plane, after, mode="edge")


def _run(planes: Sequence[Plane], name: str, preset: str, parameters: str) -> bytes:
    """Return what libx265 makes of padded planes."""
    import av

    height, width = planes[0].shape
    frame = av.VideoFrame(width, height, name)
    for plane, target in zip(planes, frame.planes, strict=True):
        rows = np.zeros((target.height, target.line_size // plane.itemsize), plane.dtype)
        rows[:, : plane.shape[1]] = plane
        target.update(rows.tobytes())
    frame.pts = 0
    try:
        context = av.CodecContext.create("libx265", "w")
        context.width, context.height, context.pix_fmt = width, height, name
        context.time_base = Fraction(1, 25)
        context.thread_count = 1
        context.options = {"preset": preset, "tune": "ssim", "x265-params": parameters}
        return b"".join(bytes(p) for p in [*context.encode(frame), *context.encode(None)])
    except (av.error.FFmpegError, MemoryError) as error:
        raise EncodeError(f"x265 refused a {width}x{height} picture ({_reason(error)})") from error


def _reason(error: Exception) -> str:
    """Return the library's words, without the option string that PyAV appends."""
    return getattr(error, "strerror", None) or str(error)


def decode(annexb: bytes, *, chroma_format_idc: int, bit_depth: int) -> list[Plane]:
    """Return the planes of a stream's only picture, padding included.

    Raises
    ------
    DecodeError
        If the decoder finds an error, or no picture, or another format than wanted.
    """
    import av

    wanted = _pixel_format_name(chroma_format_idc, bit_depth)
    try:
        context = av.CodecContext.create("hevc", "r")
        context.thread_count = 1
        context.options = dict(_STRICT)
        frames = [*context.decode(av.Packet(annexb)), *context.decode(None)]
    except (av.error.FFmpegError, MemoryError) as error:
        raise DecodeError(f"HEVC data is not decodable ({_reason(error)})", DAMAGED) from error
    if len(frames) != 1 or frames[0].is_corrupt or frames[0].format.name != wanted:
        found = ", ".join(frame.format.name for frame in frames) or "none"
        raise DecodeError(f"HEVC data: wanted one {wanted} picture, found {found}", DAMAGED)
    return [_view(plane, sample_type(bit_depth)) for plane in frames[0].planes]


def _view(plane: av.video.plane.VideoPlane, sample: np.dtype[np.unsignedinteger[Any]]) -> Plane:
    """Return the samples of a decoder's plane, not copied; the array keeps the plane alive."""
    rows = np.frombuffer(memoryview(plane), sample)
    rows = rows.reshape(-1, plane.line_size // sample.itemsize)
    return rows[: plane.height, : plane.width]


@cache
def version() -> str:
    """Return x265's version, which it tells in an SEI message of its streams."""
    flat = np.zeros((64, 64), np.uint8)
    stream = _run([flat], "gray", PRESETS[0], "qp=51:keyint=1:info=1:log-level=none:pools=1")
    found = re.search(rb"x265 \(build \d+\) - ([0-9.]+(?:\+\d+)?)", stream)
    return f"x265 {found[1].decode()}" if found else "x265 of unknown version"


def check_available() -> None:
    """Raise ``Unavailable`` where PyAV came without an encoder or decoder for HEVC."""
    import av

    try:
        av.Codec("libx265", "w")
        av.Codec("hevc", "r")
    except ValueError as error:
        raise Unavailable(
            f"this build of PyAV lacks libx265 or hevc ({error})",
            "Install PyAV's own wheel: pip install av",
        ) from error

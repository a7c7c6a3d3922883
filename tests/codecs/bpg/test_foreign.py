"""Files as other writers make them: every plane layout, colour space, range, depth and option."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from bench.codec import Setting
from bench.codecs.bpg import colour, container, hevc, x265
from bench.codecs.bpg import picture as still
from bench.codecs.bpg.container import ColorSpace, Header, PixelFormat
from bench.errors import DecodeError


def _foreign(planes, header, *, qp=4, extensions=(), state_length=True):
    """Return a file of any header around planes of our own making."""
    stream = x265.encode(
        planes,
        chroma_format_idc=header.pixel_format.chroma_format_idc,
        bit_depth=header.bit_depth,
        qp=qp,
        level=5,
    )
    own = container.parse(still.mux(stream, header))
    nals = [nal for nal, _ in hevc.split_nals(own.nal_bytes)]
    return container.write(
        header, own.hevc_header, nals, extensions=extensions, state_length=state_length
    )


def _site(plane, pixel_format):
    """Return full-resolution chroma at the samples of a pixel format, by short plain filters."""
    half_rows, half_columns = pixel_format.halved
    height, width = plane.shape
    plane = np.pad(plane, ((0, 2), (1, 2)), mode="edge")
    if half_columns and pixel_format.cosited:
        plane = (plane[:, :-2] + 2 * plane[:, 1:-1] + plane[:, 2:]) / 4
        plane = plane[:, 0:width:2]
    elif half_columns:
        plane = (plane[:, 1:-1] + plane[:, 2:])[:, 0:width:2] / 2
    else:
        plane = plane[:, 1 : 1 + width]
    if half_rows:
        return ((plane[:-1] + plane[1:]) / 2)[0:height:2]
    return plane[:height]


def _planes(rgb, header, reference_planes):
    """Return what another writer would code for ``rgb``."""
    planes = reference_planes(rgb, header)
    planes[1:] = [_site(plane, header.pixel_format) for plane in planes[1:]]
    top = (1 << header.bit_depth) - 1
    kind = colour.sample_type(header.bit_depth)
    return [np.clip(np.rint(plane), 0, top).astype(kind) for plane in planes]


@pytest.mark.parametrize("depth", [8, 10, 12])
@pytest.mark.parametrize("limited", [False, True], ids=["full", "limited"])
@pytest.mark.parametrize(
    ("pixel_format", "space", "least_db"),
    [
        (PixelFormat.GRAY, ColorSpace.BT601, 45),
        (PixelFormat.YUV444, ColorSpace.BT601, 43),
        (PixelFormat.YUV444, ColorSpace.BT709, 43),
        (PixelFormat.YUV444, ColorSpace.BT2020, 43),
        (PixelFormat.YUV444, ColorSpace.YCGCO, 43),
        (PixelFormat.YUV444, ColorSpace.RGB, 43),
        (PixelFormat.YUV422, ColorSpace.BT601, 38),
        (PixelFormat.YUV422_VIDEO, ColorSpace.BT709, 38),
        (PixelFormat.YUV420, ColorSpace.BT709, 36),
        (PixelFormat.YUV420_VIDEO, ColorSpace.BT601, 36),
    ],
)
def test_every_pixel_format_and_space(
    bpg, crop, pixel_format, space, least_db, limited, depth, psnr_db, reference_planes
):
    """Files of every plane layout, colour space, range and depth decode to the right colours."""
    picture = np.repeat(crop[..., 1:2], 3, axis=-1) if pixel_format == PixelFormat.GRAY else crop
    height, width = picture.shape[:2]
    header = Header(width, height, pixel_format, space, depth, limited_range=limited)
    decoded = bpg.decode(_foreign(_planes(picture, header, reference_planes), header))

    assert psnr_db(picture, decoded) > least_db


def test_phase_matters(bpg, crop, psnr_db, reference_planes):
    """Reading MPEG-2-sited chroma as JPEG-sited is measurably worse: the phases are not alike."""
    height, width = crop.shape[:2]
    right = Header(width, height, PixelFormat.YUV422_VIDEO)
    wrong = Header(width, height, PixelFormat.YUV422)
    planes = _planes(crop, right, reference_planes)
    right_db, wrong_db = (psnr_db(crop, bpg.decode(_foreign(planes, h))) for h in (right, wrong))

    assert wrong_db + 0.3 < right_db


def test_extensions_and_open_length(bpg, crop):
    """Metadata is skipped, and a file that does not state its length decodes the same."""
    height, width = crop.shape[:2]
    header = Header(width, height)
    planes = colour.rgb_to_planes(crop, PixelFormat.YUV444, 8)
    plain = _foreign(planes, header)
    dressed = _foreign(
        planes, header, extensions=[(1, b"exif" * 50), (77, b"")], state_length=False
    )

    assert (bpg.decode(plain) == bpg.decode(dressed)).all()
    assert bpg.ledger(dressed)["extensions"] > 200


def test_range_extension_flags(bpg, crop):
    """Flags that touch only transform-skipped blocks reach the decoder and change nothing here."""
    file = container.parse(data := bpg.encode(crop, Setting(level=5)))
    tools = hevc.CodingTools.from_header(file.hevc_header)
    flagged = dataclasses.replace(tools, range_flags=0b1_1100_0000)
    nals = [nal for nal, _ in hevc.split_nals(file.nal_bytes)]

    assert (
        bpg.decode(data) == bpg.decode(container.write(file.header, flagged.to_header(), nals))
    ).all()


@pytest.mark.parametrize("depth", [11, 13, 14])
def test_depths_that_no_decoder_knows(bpg, crop, depth):
    """A depth that the decoder lacks is refused by number."""
    file = container.parse(bpg.encode(crop, Setting()))
    header = Header(crop.shape[1], crop.shape[0], bit_depth=depth)
    nals = [nal for nal, _ in hevc.split_nals(file.nal_bytes)]

    with pytest.raises(DecodeError, match=f"has {depth} bits a sample"):
        bpg.decode(container.write(header, file.hevc_header, nals))

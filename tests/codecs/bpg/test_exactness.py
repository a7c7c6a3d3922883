"""Lossless coding and other tools: decoded exactly, proven by a hash, or refused by name."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PILImage

from bench.codec import Setting
from bench.codecs.bpg import container, hevc, picture_hash, pps, x265
from bench.codecs.bpg import picture as still
from bench.codecs.bpg.bits import BitWriter, escape
from bench.codecs.bpg.container import ColorSpace, Header, PixelFormat
from bench.errors import DecodeError

CASES = Path(__file__).parents[4] / "shared" / "cases"
FORMATS = (PixelFormat.GRAY, PixelFormat.YUV420, PixelFormat.YUV422, PixelFormat.YUV444)


@pytest.fixture
def encode(monkeypatch):
    """A function (planes, header, x265's options, SEI hash) -> BPG file."""
    run = x265._run

    def encoded(planes, header, options, *, hashed=True):
        with monkeypatch.context() as patch:
            patch.setattr(x265, "_run", lambda p, n, e, o: run(p, n, e, f"{o}:{options}"))
            stream = x265.encode(
                planes,
                chroma_format_idc=header.pixel_format.chroma_format_idc,
                bit_depth=header.bit_depth,
                qp=10,
                level=9,
                md5=hashed,
            )
        return still.mux(stream, header)

    return encoded


def _planes(crop, header):
    """Return noisy planes of any format and depth."""
    rng = np.random.default_rng(header.bit_depth)
    rows, columns = header.pixel_format.halved
    shift = header.bit_depth - 8
    full = [crop[..., k].astype(np.uint16) << shift for k in (1, 0, 2)]
    full = [plane + rng.integers(0, 1 << shift, plane.shape).astype(np.uint16) for plane in full]
    kind = np.uint16 if shift else np.uint8
    if header.pixel_format == PixelFormat.GRAY:
        return [full[0].astype(kind)]
    halved = [plane[:: 1 + rows, :: 1 + columns] for plane in full[1:]]
    return [np.ascontiguousarray(plane.astype(kind)) for plane in (full[0], *halved)]


def _nals(file):
    return [nal for nal, _ in hevc.split_nals(file.nal_bytes)]


def _with_range_flags(data, flags):
    """Return the file with other flags of the SPS range extension."""
    file = container.parse(data)
    tools = hevc.CodingTools.from_header(file.hevc_header)
    tools = dataclasses.replace(tools, range_flags=flags)
    return container.write(file.header, tools.to_header(), _nals(file))


@pytest.mark.parametrize("depth", [8, 10, 12])
@pytest.mark.parametrize("pixel_format", FORMATS)
def test_lossless_is_exact(encode, crop, pixel_format, depth):
    """Transquant bypass without range extensions gives every plane back, hash or none."""
    header = Header(72, 40, pixel_format, bit_depth=depth)
    planes = _planes(crop[:40, :72], header)
    for hashed in (False, True):
        file = container.parse(encode(planes, header, "lossless=1", hashed=hashed))
        assert pps.parse(_nals(file)[0]).transquant_bypass
        for wanted, found in zip(planes, still.decode_planes(file), strict=True):
            assert (wanted == found).all()


def test_lossless_rgb_picture_is_exact(bpg, encode, crop):
    """A lossless file as ``bpgenc -lossless`` writes it with x265 (G, B, R) gives the pixels."""
    image = np.ascontiguousarray(crop[:17, :33])
    header = Header(33, 17, PixelFormat.YUV444, ColorSpace.RGB)
    planes = [np.ascontiguousarray(image[..., k]) for k in (1, 2, 0)]

    assert (image == bpg.decode(encode(planes, header, "lossless=1", hashed=False))).all()


@pytest.mark.parametrize("options", ["tskip=1", "cu-lossless=1"])
@pytest.mark.parametrize("depth", [8, 12])
@pytest.mark.parametrize("pixel_format", FORMATS)
def test_tools_that_x265_proves(encode, crop, pixel_format, depth, options):
    """Transform skip and lossless blocks decode to what x265's MD5 says."""
    header = Header(64, 64, pixel_format, bit_depth=depth)
    file = container.parse(encode(_planes(crop[:64, :64], header), header, options))
    tools = pps.parse(_nals(file)[0])

    assert tools.transform_skip  # level 9 always has it
    assert tools.transquant_bypass == (options == "cu-lossless=1")
    assert len(picture_hash.hashes(_nals(file))) == 1
    still.decode_planes(file)


@pytest.mark.parametrize("kind", [1, 2, 3], ids=["MD5", "CRC", "checksum"])
@pytest.mark.parametrize("depth", [8, 10])
@pytest.mark.parametrize("pixel_format", FORMATS)
def test_every_kind_of_hash_is_verified(encode, crop, pixel_format, depth, kind):
    """The three picture hashes of H.265 agree with x265's, and find one wrong sample.

    The picture is one coding tree block: x265's own CRC of chroma is wrong beyond the first row.
    """
    header = Header(64, 64, pixel_format, bit_depth=depth)
    file = container.parse(encode(_planes(crop[:64, :64], header), header, f"hash={kind}"))
    (payload,) = picture_hash.hashes(_nals(file))
    planes = [plane.copy() for plane in still.decode_planes(file)]
    assert picture_hash.differing_planes(payload, planes) == ""
    planes[-1][3, 5] ^= 1

    assert f"of plane {len(planes) - 1}" in picture_hash.differing_planes(payload, planes)


def test_wrong_hash_is_refused(bpg, crop):
    """A file whose MD5 is another picture's is refused, and the planes are named."""
    data = bytearray(bpg.encode(crop, Setting(qp=38, md5=True)))
    data[-5] ^= 1  # inside the last plane's hash

    with pytest.raises(DecodeError, match="MD5 of plane 2 differs"):
        bpg.decode(bytes(data))


def test_cut_hash_is_refused(bpg, crop):
    """A hash that is too short is damage, not an absent hash."""
    file = container.parse(bpg.encode(crop, Setting(qp=38, md5=True)))
    *nals, _ = _nals(file)
    for sei in (b"\x50\x01\x84\x02\x00\x00\x80", b"\x50\x01\x84\x30\x00\x80"):
        with pytest.raises(DecodeError, match=r"picture hash of 2 bytes|SEI message"):
            bpg.decode(container.write(file.header, file.hevc_header, [*nals, sei]))


@pytest.mark.parametrize(
    ("flags", "name"),
    [
        (0b1_0000_0000, "rotation of residuals"),
        (0b0_1000_0000, "single significance context"),
        (0b0_0100_0000, "implicit RDPCM"),
        (0b0_0000_1000, "disabled intra smoothing"),
        (0b0_0000_0010, "persistent Rice adaptation"),
    ],
)
@pytest.mark.parametrize("options", ["lossless=1", "tskip=1"])
def test_unproven_range_extensions(encode, bpg, crop, options, flags, name):
    """A tool that the decoder may get wrong is refused by name; with a hash, on a mismatch."""
    header = Header(64, 64, PixelFormat.YUV444, ColorSpace.RGB)
    planes = _planes(crop[:64, :64], header)
    unhashed = _with_range_flags(encode(planes, header, options, hashed=False), flags)
    with pytest.raises(DecodeError, match=f"uses {name}.*carries no picture hash"):
        bpg.decode(unhashed)
    # The flag was set behind the encoder's back: the hash finds what it changes.
    hashed = _with_range_flags(encode(planes, header, options), flags)
    try:
        assert (bpg.decode(hashed) == bpg.decode(encode(planes, header, options))).all()
    except DecodeError as error:
        assert name in str(error) or "not decodable" in str(error)  # noqa: PT017


def test_unproven_tool_with_a_right_hash_is_decoded(encode, bpg, crop):
    """The file's own hash proves the decoder right, whatever tool it uses."""
    flat = np.full_like(crop[:64, :64], 128)  # what is predicted where nothing is known
    header = Header(64, 64)
    data = encode(_planes(flat, header), header, "lossless=1")

    assert (bpg.decode(data) == bpg.decode(_with_range_flags(data, 0b0_0000_0010))).all()


@pytest.mark.parametrize("flags", [0b0_0010_0000, 0b0_0001_0000, 0b0_0000_0100, 0b0_0000_0001])
def test_forbidden_range_extensions(bpg, crop, flags):
    """Explicit RDPCM, extended precision, precise offsets and bypass alignment are not BPG's."""
    with pytest.raises(DecodeError, match="range extensions that BPG forbids"):
        bpg.decode(_with_range_flags(bpg.encode(crop, Setting(md5=True)), flags))


def _pps(*, skip=False, range_fields=None, scaling=False, others=0):
    """Return a PPS like x265's, with a range extension of our own."""
    bits = BitWriter()
    bits.ue(0), bits.ue(0), bits.u(7, 0b0000010)
    bits.ue(0), bits.ue(0), bits.ue(0), bits.flag(value=False), bits.flag(value=skip)
    bits.flag(value=False), bits.ue(0), bits.ue(0), bits.u(3, 0)
    bits.flag(value=False), bits.u(1, 1), bits.flag(value=False)  # bypass, tiles, wavefronts
    bits.ue(1), bits.ue(0), bits.flag(value=False), bits.ue(0), bits.flag(value=True)
    bits.flag(value=True), bits.u(3, 0b100), bits.ue(2), bits.ue(2)
    bits.flag(value=scaling), bits.flag(value=False), bits.ue(0), bits.flag(value=False)
    bits.flag(value=range_fields is not None or others > 0)
    if range_fields is not None or others:
        bits.flag(value=range_fields is not None), bits.u(7, others)
        for width, value in range_fields or ():
            bits.u(width, value) if width else bits.ue(value)
    return b"\x44\x01" + escape(bits.rbsp())


@pytest.mark.parametrize(
    ("skip", "fields", "name"),
    [
        (False, [(1, 1), (1, 0), (0, 0), (0, 0)], "cross component prediction"),
        (False, [(1, 0), (1, 1), (0, 0), (0, 0), (0, 1), (0, 1), (0, 0), (0, 0)], "chroma qp"),
        (False, [(1, 0), (1, 0), (0, 0), (0, 2)], "sao scale"),
        (True, [(0, 3), (1, 0), (1, 0), (0, 0), (0, 0)], "large transform skip"),
    ],
)
def test_unproven_tools_of_the_picture(bpg, crop, skip, fields, name):
    """Tools that the PPS switches on are found behind tiles and deblocking fields, and refused."""
    file = container.parse(bpg.encode(crop, Setting(qp=38)))
    nals = [_pps(skip=skip, range_fields=fields), *_nals(file)[1:]]
    with pytest.raises(DecodeError, match=f"uses {name}"):
        bpg.decode(container.write(file.header, file.hevc_header, nals))


@pytest.mark.parametrize("options", [{"scaling": True}, {"others": 1}, {"others": 0x40}])
def test_pictures_that_bpg_has_not(bpg, crop, options):
    """Scaling lists and extensions other than the range extension are refused."""
    file = container.parse(bpg.encode(crop, Setting(qp=38)))
    with pytest.raises(DecodeError, match=r"(which|that) BPG has not"):
        bpg.decode(
            container.write(file.header, file.hevc_header, [_pps(**options), *_nals(file)[1:]])
        )


@pytest.mark.parametrize("unfiltered", [False, True])
def test_pcm_is_named(bpg, crop, unfiltered):
    """Files that enable PCM blocks, which no encoder here writes, are refused by name."""
    file = container.parse(bpg.encode(crop, Setting(qp=38)))
    tools = hevc.CodingTools.from_header(file.hevc_header)
    tools = dataclasses.replace(tools, pcm=hevc.Pcm(8, 8, 3, 5, unfiltered))
    wanted = "PCM without loop filter" if unfiltered else "PCM,"
    with pytest.raises(DecodeError, match=wanted):
        bpg.decode(container.write(file.header, tools.to_header(), _nals(file)))


@pytest.mark.parametrize("name", ["lossless_7x7", "lossless_with_md5_17x33"])
def test_jctvc_lossless_is_never_wrong(bpg, name):
    """Lossless files of the JCTVC encoder are exact or refused by the tools' names."""
    path = CASES / f"{name}.bpg"
    if not path.exists():
        pytest.skip(f"{path.name} is not beside this checkout")
    with PILImage.open(path.with_name(f"{name}_expected.png")) as opened:
        wanted = np.asarray(opened.convert("RGB"))
    try:
        found = bpg.decode(path.read_bytes())
    except DecodeError as error:
        assert "implicit RDPCM (transquant bypass)" in str(error)  # noqa: PT017
    else:
        assert (wanted == found).all()


@pytest.mark.parametrize("size", [(1, 1), (7, 7), (16, 16), (17, 9), (16, 64)])
@pytest.mark.parametrize("gray", [False, True])
def test_level_9_codes_small_pictures(bpg, crop, size, gray):
    """bpgenc's slowest level works at 16 pixels and less, as the others do."""
    image = np.ascontiguousarray(crop[: size[0], : size[1]])
    image = np.repeat(image[..., :1], 3, axis=2) if gray else image
    decoded = bpg.decode(bpg.encode(image, Setting(qp=5, level=9)))

    assert image.shape == decoded.shape
    assert np.abs(decoded.astype(int) - image).mean() < 3

"""Damaged files: cut anywhere, flipped anywhere, absurd claims; always DecodeError or a picture."""

from __future__ import annotations

import resource
import time

import numpy as np
import pytest

from bench.codec import Setting
from bench.codecs.bpg import container, hevc
from bench.codecs.bpg import picture as still
from bench.codecs.bpg.container import Header, PixelFormat
from bench.errors import DecodeError, EncodeError

SETTINGS = [
    pytest.param({}, id="4:4:4"),
    pytest.param({"subsampling": "4:2:0", "depth": 10}, id="4:2:0-10bit"),
]


def _open_ended(data):
    """Return the same file with a length of 0, as bpgenc 0.9.8 writes it."""
    file = container.parse(data)
    nals = [nal for nal, _ in hevc.split_nals(file.nal_bytes)]
    return container.write(file.header, file.hevc_header, nals, state_length=False)


@pytest.mark.parametrize("options", SETTINGS)
def test_every_truncation(bpg, crop, options):
    """A file of ours that lacks even its last byte, or has one more, is refused."""
    data = bpg.encode(crop, Setting(qp=38, **options))
    for size in [*range(60), *range(60, len(data), 37), *range(len(data) - 20, len(data))]:
        with pytest.raises(DecodeError):
            bpg.decode(data[:size])
    with pytest.raises(DecodeError, match="claims"):
        bpg.decode(data + b"\0")


@pytest.mark.parametrize("options", SETTINGS)
@pytest.mark.parametrize("gray", [False, True], ids=["colour", "gray"])
def test_truncations_of_open_ended_files(bpg, crop, options, gray):
    """Without a stated length, reading beyond the end of the data gives a truncation away.

    Only the byte that holds nothing but the stop bit can be missed: without it the decoder still
    has all of the picture.
    """
    picture = np.repeat(crop[..., :1], 3, axis=-1) if gray else crop
    data = _open_ended(bpg.encode(picture, Setting(qp=38, **options)))
    whole = bpg.decode(data)
    for size in [*range(40), *range(40, len(data), 23), *range(len(data) - 12, len(data))]:
        try:
            decoded = bpg.decode(data[:size])
        except DecodeError:
            continue

        assert size == len(data) - 1
        assert (whole == decoded).all()


@pytest.mark.parametrize("options", SETTINGS)
def test_flipped_bits(bpg, crop, options):
    """A flipped bit gives DecodeError or some picture of a plausible size, quickly."""
    data = bpg.encode(crop, Setting(qp=38, **options))
    rng = np.random.default_rng(1)
    refused = 0
    places = [*range(30), *rng.integers(30, len(data), 150)]
    for place in places:
        damaged = bytearray(data)
        damaged[place] ^= 1 << rng.integers(8)
        start = time.monotonic()
        try:
            picture = bpg.decode(bytes(damaged))
        except DecodeError:
            refused += 1
        else:
            assert picture.dtype == np.uint8
            assert picture.shape[2] == 3
        assert time.monotonic() - start < 5

    assert refused > 15  # most of the header; slice data has no redundancy


def test_md5_finds_every_flip(bpg, crop):
    """With the MD5 inside, no flipped bit of the slice data passes."""
    data = bpg.encode(crop, Setting(qp=38, md5=True))
    ledger = bpg.ledger(data)
    start = ledger["header"] + ledger["hevc_header"] + ledger["pps"] + 8
    whole = bpg.decode(data)
    for place in range(start, start + ledger["slices"] - 16, 29):
        damaged = bytearray(data)
        damaged[place] ^= 0x10
        try:
            decoded = bpg.decode(bytes(damaged))
        except DecodeError:
            continue

        assert (whole == decoded).all(), f"byte {place} changed the picture unnoticed"


@pytest.mark.parametrize(
    ("width", "height"), [(13_000, 13_000), (1, 100_000_000), (100_000, 1_000)]
)
def test_absurd_sizes(bpg, crop, width, height):
    """A header that claims far more pixels than its data can code costs no memory and no time."""
    file = container.parse(bpg.encode(crop, Setting(qp=45)))
    nals = [nal for nal, _ in hevc.split_nals(file.nal_bytes)]
    data = container.write(Header(width, height), file.hevc_header, nals)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.monotonic()
    with pytest.raises(DecodeError, match="too few"):
        bpg.decode(data)

    assert time.monotonic() - start < 1
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000


@pytest.mark.parametrize("pixel_format", [PixelFormat.GRAY, PixelFormat.YUV444])
def test_flat_pictures_are_plausible(bpg, pixel_format):
    """The smallest data that a large picture can have is not taken for damage."""
    picture = np.full((1024, 2048, 3), 77, np.uint8)
    picture[0, 0, 0] = 77 if pixel_format == PixelFormat.GRAY else 78
    data = bpg.encode(picture, Setting(qp=51, level=1))

    assert pixel_format == container.parse(data).header.pixel_format
    assert np.abs(bpg.decode(data).astype(int) - picture).max() <= 2
    assert len(data) * 8 < 0.05 * 1024 * 2048


def test_missing_blocks(bpg, crop):
    """A slice that ends before the picture's last block is refused, and the blocks counted."""
    half = np.ascontiguousarray(crop[:64, :64])
    file = container.parse(bpg.encode(half, Setting(qp=38)))
    nals = [nal for nal, _ in hevc.split_nals(file.nal_bytes)]
    data = container.write(Header(64, 128), file.hevc_header, nals)

    with pytest.raises(DecodeError, match="lacks 1 of 2 blocks"):
        bpg.decode(data)


def test_stream_that_bpg_cannot_hold():
    """An encoder's stream without SPS, or of another size, is an EncodeError."""
    sps = hevc.build_sps(Header(64, 64), hevc.CodingTools.from_header(bytes.fromhex("924740")))
    with pytest.raises(EncodeError, match="cannot hold"):
        still.mux(b"\0\0\0\1\x28\x01\xaf\x80", Header(64, 64))
    with pytest.raises(EncodeError, match="wrote a"):
        still.mux(b"\0\0\0\1" + sps, Header(128, 64))


@pytest.mark.parametrize("flags", [{"alpha1": True}, {"alpha2": True}, {"animation": True}])
def test_alpha_and_animation(bpg, crop, flags):
    """The codec refuses what the suite cannot measure, and says so."""
    data = bpg.encode(crop, Setting())
    file = container.parse(data)
    nals = [nal for nal, _ in hevc.split_nals(file.nal_bytes)]
    header = Header(crop.shape[1], crop.shape[0], **flags)

    with pytest.raises(DecodeError, match="not supported: wanted one opaque still picture"):
        bpg.decode(container.write(header, file.hevc_header, nals))

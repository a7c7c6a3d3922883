"""Claims of small files: bounded before they are believed; deep samples refused, not cut."""

from __future__ import annotations

import struct
import subprocess
import sys
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PILImage

from bench import image, registry
from bench.codec import Codec
from bench.errors import DecodeError

CASES = Path(__file__).parents[3] / "shared" / "cases"
SIDE = 13_000
NOISE = np.random.default_rng(9).integers(0, 256, (24, 32, 3), dtype=np.uint8)
PEAK = """
import pathlib, resource, sys
from bench import registry
from bench.errors import DecodeError
codec = registry.create(sys.argv[1])
codec.decode(pathlib.Path(sys.argv[2]).read_bytes())
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    codec.decode(pathlib.Path(sys.argv[3]).read_bytes())
except DecodeError as error:
    print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) >> 10, error)
"""


def encoded(codec: Codec) -> bytes:
    return codec.encode(NOISE, codec.ladder()[0])


def claim(name: str, data: bytes, width: int, height: int) -> bytes:
    """Return a file of a codec whose header claims another size, checksums made right."""
    out = bytearray(data)
    if name == "jpeg":
        struct.pack_into(">HH", out, data.index(b"\xff\xc0") + 5, height, width)
    elif name == "webp":
        struct.pack_into("<HH", out, 26, width & 0x3FFF, height & 0x3FFF)
    elif name == "avif":
        struct.pack_into(">II", out, data.index(b"ispe") + 8, width, height)
    elif name == "jpeg2000":
        struct.pack_into(">II", out, data.index(b"ihdr") + 4, height, width)
        siz = data.index(b"\xff\x51") + 6
        struct.pack_into(">II", out, siz, width, height)
        struct.pack_into(">II", out, siz + 16, width, height)
    elif name == "null":
        struct.pack_into(">II", out, 0, height, width)
    elif name == "bpg":
        from bench.codecs.bpg import container, hevc

        file = container.parse(data)
        nals = [nal for nal, _ in hevc.split_nals(file.nal_bytes)]
        return container.write(container.Header(width, height), file.hevc_header, nals)
    else:
        from bench.codecs.agvae.bitstream import container as agvae

        header, payload = agvae.read(data)
        body = agvae.Header(
            header.model_id, width, height, header.level_steps, header.lanes
        ).to_bytes() + payload.ljust(3000, b"x")
        return body + zlib.crc32(body).to_bytes(4, "little")
    return bytes(out)


def test_agvae_bounds_the_padded_latent() -> None:
    """One row of 178,956,970 pixels is refused for the 64 rows that the networks would see."""
    from bench.codecs.agvae.bitstream import container as agvae

    good = agvae.write(agvae.Header(b"abcd", 32, 24, 0, 8), bytes(99))
    for size in ((178_956_970, 1), (1, 178_956_970), (2_800_000, 60)):
        with pytest.raises(DecodeError, match="with its blocks padded, wanted 1 to 178956970"):
            agvae.read(claim("agvae", good, *size))
    agvae.read(claim("agvae", good, 2_000_000, 60))


@pytest.mark.parametrize("name", ["jpeg", "avif", "jpeg2000", "null", "bpg"])
def test_claims_cost_no_memory(name: str, tmp_path: Path) -> None:
    """A small file that claims 169 megapixels is refused for less than 100 MiB."""
    codec = registry.create(name)
    data = encoded(codec)
    (tmp_path / "good").write_bytes(data)
    # AVIF has no bound on pixels per byte: its claim must break the absolute one.
    side = 32_000 if name == "avif" else SIDE
    (tmp_path / "bad").write_bytes(claim(name, data, side, side))
    if name == "jpeg2000":
        tiled = bytearray((tmp_path / "bad").read_bytes())
        struct.pack_into(">II", tiled, tiled.index(b"\xff\x51") + 22, 51, 51)
        (tmp_path / "bad").write_bytes(tiled)
    command = [sys.executable, "-W", "ignore", "-c", PEAK, name]
    done = subprocess.run(
        [*command, tmp_path / "good", tmp_path / "bad"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    mib, _, words = done.stdout.partition(" ")

    assert int(mib) < 100, words
    assert "claims" in words or "hold" in words or "says" in words


@pytest.mark.parametrize("name", ["jpeg", "webp", "avif", "jpeg2000", "jxl", "heic", "null", "bpg"])
def test_one_bound_for_every_codec(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """BENCH_MAX_MEGAPIXELS bounds what each codec decodes: a picture of one pixel more fails."""
    if name in ("jxl", "heic"):
        pytest.importorskip(f"pillow_{name.replace('heic', 'heif')}")
    codec = registry.create(name)
    data = encoded(codec)
    # Whole blocks count; x265 makes the picture no smaller than a block of the largest kind.
    pixels = {"bpg": 32 * 32, "jpeg2000": 32 * 32, "heic": 64 * 64}.get(name, 24 * 32)
    monkeypatch.setenv(image.MAX_MEGAPIXELS, f"{pixels / 1e6:f}")
    assert NOISE.shape == codec.decode(data).shape
    monkeypatch.setenv(image.MAX_MEGAPIXELS, "0.000767")
    with pytest.raises(DecodeError, match="max-megapixels"):
        codec.decode(data)


@pytest.mark.parametrize("size", [(24, 32), (13_000, 13_000), (16, 16), (32, 25)])
def test_avif_whose_frame_is_of_another_size(size: tuple[int, int]) -> None:
    """libavif scales a frame to the size that the file claims; here that is damage."""
    codec = registry.create("avif")
    data = encoded(codec)
    assert NOISE.shape == codec.decode(claim("avif", data, 32, 24)).shape
    with pytest.raises(DecodeError, match=r"AV1 data have \[\(32, 24\)\]"):
        codec.decode(claim("avif", data, *size))


def test_avif_sizes_as_other_encoders_write_them() -> None:
    """The sequence header is read whole, with operating points and without the still picture's."""
    from bench.codecs import _av1

    codec = registry.create("avif")
    for height, width in ((1, 1), (70, 129), (300, 65), (16, 2000)):
        pixels = np.zeros((height, width, 3), np.uint8)
        assert pixels.shape == codec.decode(codec.encode(pixels, codec.ladder()[0])).shape
    # Not reduced: profile 0, no timing, one operating point of level 8 with a tier, 12x9 bits.
    fields = "00000000000000000000000001000110111000"
    fields += format(2047, "012b") + format(300, "09b")
    header = int(fields.ljust(80, "0"), 2).to_bytes(10)
    assert (2048, 301) == _av1.frame_size(b"\x12\x00\x0a\x0a" + header)
    with pytest.raises(DecodeError, match="breaks off"):
        _av1.frame_size(b"\x0a\x02\x00\x00")


@pytest.mark.parametrize("size", [(178_956_970, 1), (1, 178_956_970), (80_000_000, 2)])
def test_jpeg2000_code_blocks_are_bounded(size: tuple[int, int]) -> None:
    """Rows of code-blocks as thin as the picture cost more than their pixels."""
    codec = registry.create("jpeg2000")
    with pytest.raises(DecodeError, match="code-blocks count as"):
        codec.decode(claim("jpeg2000", encoded(codec), *size))
    small = bytearray(claim("jpeg2000", encoded(codec), 5000, 5000))
    cod = small.index(b"\xff\x52")
    small[cod + 10 : cod + 12] = b"\0\0"  # 4x4
    with pytest.raises(DecodeError, match="code-blocks count as 40000x40000"):
        codec.decode(bytes(small))


def test_sixteen_bit_jpeg2000_is_refused() -> None:
    """Samples deeper than 8 bits, by the codestream's own word, are not cut."""
    buffer = BytesIO()
    PILImage.fromarray(np.full((20, 30), 777, np.uint16)).save(buffer, "JPEG2000")
    with pytest.raises(DecodeError, match="deeper than 8 bits: it has 16"):
        registry.create("jpeg2000").decode(buffer.getvalue())
    path = CASES / "rgb16.jp2"
    if path.exists():
        with pytest.raises(DecodeError, match="deeper than 8 bits: it has 16"):
            registry.create("jpeg2000").decode(path.read_bytes())


TEN_BITS = """
import sys
from fractions import Fraction
import av
import numpy as np
with av.open(sys.argv[1], "w", format="avif") as file:
    stream = file.add_stream("libsvtav1", rate=1)
    stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p10le"
    stream.time_base = Fraction(1)
    frame = av.VideoFrame.from_ndarray(np.full((64, 64, 3), 99, np.uint8), "rgb24")
    for packet in [*stream.encode(frame.reformat(format="yuv420p10le")), *stream.encode()]:
        file.mux(packet)
"""


def test_ten_bit_avif_is_refused(tmp_path: Path) -> None:
    """A 10-bit AVIF of another encoder is not cut to 8 bits."""
    path = tmp_path / "ten.avif"
    # SVT-AV1 gives its process real-time priority where it may (as root), so it gets one of its
    # own: every later test would inherit it, and two browsers then keep all others from running.
    made = subprocess.run(
        [sys.executable, "-c", TEN_BITS, str(path)], capture_output=True, text=True, check=False
    )
    if made.returncode:
        pytest.skip(f"this PyAV writes no 10-bit AVIF: {made.stderr.splitlines()[-1]}")
    with pytest.raises(DecodeError, match="deeper than 8 bits: it has 10"):
        registry.create("avif").decode(path.read_bytes())


def test_sixteen_bit_jxl_is_refused() -> None:
    """A 16-bit JPEG XL is not cut; 8-bit files of every writer's options pass."""
    pytest.importorskip("pillow_jxl")
    codec = registry.create("jxl")
    buffer = BytesIO()
    PILImage.fromarray(np.full((20, 30), 777, np.uint16)).save(buffer, "JXL", lossless=True)
    with pytest.raises(DecodeError, match="deeper than 8 bits: it has 16"):
        codec.decode(buffer.getvalue())
    for lossless in (False, True):
        buffer = BytesIO()
        PILImage.fromarray(NOISE).save(buffer, "JXL", lossless=lossless)
        assert NOISE.shape == codec.decode(buffer.getvalue()).shape


def test_ledgers_of_damaged_files() -> None:
    """A file whose parts do not fit it has no ledger with negative parts."""
    with pytest.raises(DecodeError):
        registry.create("null").ledger(b"abc")
    webp = registry.create("webp")
    data = bytearray(encoded(webp))
    data[20:23] = b"\xf0\xff\xff"  # the first partition's size
    with pytest.raises(DecodeError, match="partitions"):
        webp.ledger(bytes(data))

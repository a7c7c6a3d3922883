"""The codec: round trips, rates, settings, golden files."""

from __future__ import annotations

import hashlib
import math
import os
import subprocess
import sys

import numpy as np
import pytest

from bench.codec import Setting
from bench.codecs.bpg import Bpg, container, x265
from bench.codecs.bpg.container import PixelFormat
from bench.errors import EncodeError, SettingError, Unavailable

MODES = [
    pytest.param({"subsampling": s, "depth": d}, id=f"{s}-{d}bit")
    for s in ("4:4:4", "4:2:0")
    for d in (8, 10)
]


def _pictures(photo):
    rng = np.random.default_rng(5)
    for shape in [(1, 1), (1, 7), (13, 8), (8, 17), (161, 163)]:
        yield "photo", np.ascontiguousarray(photo[90 : 90 + shape[0], 160 : 160 + shape[1]])
        yield "noise", rng.integers(0, 256, (*shape, 3), dtype=np.uint8)
        yield "gray", np.repeat(rng.integers(0, 256, (*shape, 1), dtype=np.uint8), 3, axis=-1)


@pytest.mark.parametrize("mode", MODES)
def test_round_trip(bpg, photo, mode, psnr_db):
    """Every size survives at the best quality to within 2.5 dB of what the colours allow."""
    setting = Setting(qp=3, level=5, **mode)
    for kind, picture in _pictures(photo):
        data = bpg.encode(picture, setting)
        decoded = bpg.decode(data)
        ceiling = psnr_db(picture, bpg.ceiling(picture, setting))

        assert data == bpg.encode(picture, setting), "not deterministic"
        assert (picture.shape, np.uint8) == (decoded.shape, decoded.dtype)
        assert psnr_db(picture, decoded) > min(ceiling, 50) - 2.5, (kind, picture.shape)


@pytest.mark.parametrize(
    ("level", "tools"),
    [
        (1, "b924"),
        (2, "b934"),
        (3, "924d00"),
        (4, "924d00"),
        (5, "924d00"),
        (6, "924d00"),
        (7, "924540"),
        (8, "924740"),
        (9, "924250"),
    ],
)
def test_levels_are_bpgencs(bpg, photo, level, tools, psnr_db):
    """Each level sets the block sizes, SAO and depths that bpgenc 0.9.8 was seen to write."""
    picture = photo[:96, :128]
    file = container.parse(data := bpg.encode(picture, Setting(qp=30, level=level)))

    assert tools == file.hevc_header.hex()
    assert psnr_db(picture, bpg.decode(data)) > 33


def test_higher_levels_earn_their_time(bpg, photo):
    """Level 8 needs fewer bits than level 1 for the picture at the same quantiser."""
    sizes = {lv: len(bpg.encode(photo, Setting(qp=32, level=lv))) for lv in (1, 8)}

    assert sizes[8] < 0.98 * sizes[1]


def test_ladder(bpg, photo, psnr_db):
    """Nine rungs; each is larger and better than the one before."""
    rungs = []
    for setting in bpg.ladder():
        data = bpg.encode(photo, setting)
        rungs.append((len(data), psnr_db(photo, bpg.decode(data))))

    assert len(rungs) == 9
    assert rungs == sorted(rungs)
    assert [p for _, p in rungs] == sorted(p for _, p in rungs)


def test_ceiling_is_reached_from_below(bpg, crop, psnr_db):
    """No quality of 4:2:0 exceeds its ceiling, and 4:4:4 has a higher one."""
    setting = Setting(qp=0, subsampling="4:2:0")
    ceiling = psnr_db(crop, bpg.ceiling(crop, setting))

    assert psnr_db(crop, bpg.decode(bpg.encode(crop, setting))) < ceiling + 0.05
    assert ceiling + 3 < psnr_db(crop, bpg.ceiling(crop, Setting()))
    assert math.isinf(psnr_db(crop, bpg.ceiling(crop, Setting(depth=10))))


def test_gray_pictures_become_gray_files(bpg, crop):
    """Equal channels are written as one plane and come back equal; one odd pixel is colour."""
    gray = np.repeat(crop[..., :1], 3, axis=-1)
    data = bpg.encode(gray, Setting(qp=20, subsampling="4:2:0"))
    decoded = bpg.decode(data)
    gray[5, 6, 0] ^= 1

    assert PixelFormat.GRAY == container.parse(data).header.pixel_format
    assert (decoded[..., :1] == decoded).all()
    assert PixelFormat.YUV444 == container.parse(bpg.encode(gray, Setting())).header.pixel_format


def test_labels(bpg):
    """A label states chroma, depth, effort, and the library's version."""
    other = Setting(subsampling="4:2:0", depth=10, level=3)

    assert bpg.describe(Setting()) == "4:4:4 8-bit"
    assert bpg.describe(other) == "4:2:0 10-bit"
    assert bpg.effort(other) == f"x265 {x265.PRESETS[2]}"
    assert bpg.describe(Setting(md5=True)) == "4:4:4 8-bit md5"
    assert bpg.version().startswith("x265 ")
    assert bpg.version().split()[1][0].isdigit()


@pytest.mark.parametrize(
    "wrong",
    [{"qp": 52}, {"qp": -1}, {"level": 0}, {"depth": 9}, {"subsampling": "4:2:2"}, {"speed": 1}],
)
def test_wrong_settings(bpg, crop, wrong):
    """A setting out of range or unknown is refused before anything runs."""
    with pytest.raises(SettingError):
        bpg.encode(crop, Setting(**wrong))


def test_ledger(bpg, crop):
    """The ledger's parts sum to the file and show the MD5 message where it was asked for."""
    plain = bpg.encode(crop, Setting())
    hashed = bpg.encode(crop, Setting(md5=True))

    assert len(plain) == sum(bpg.ledger(plain).values())
    assert list(bpg.ledger(plain)) == ["header", "hevc_header", "pps", "slices"]
    assert bpg.ledger(hashed) == {**bpg.ledger(plain), "sei": 57}
    assert bpg.recognises(plain)
    assert not bpg.recognises(b"BPF\xfb")


def test_long_and_thin(bpg, psnr_db):
    """A picture of one coding block in height and over every HEVC level's width is coded."""
    picture = np.zeros((2, 12_000, 3), np.uint8)
    picture[..., 0] = np.arange(12_000) // 64

    assert psnr_db(picture, bpg.decode(bpg.encode(picture, Setting(qp=10)))) > 45


def test_silent_and_fresh(bpg, crop, capfd, tmp_path):
    """A fresh process decodes to the same pixels; nobody writes to the terminal."""
    path = tmp_path / "crop.bpg"
    path.write_bytes(bpg.encode(crop, Setting(qp=35)))
    wanted = hashlib.sha256(bpg.decode(path.read_bytes()).tobytes()).hexdigest()
    code = (
        "import hashlib, pathlib, sys; from bench.codecs.bpg import Bpg; "
        "image = Bpg().decode(pathlib.Path(sys.argv[1]).read_bytes()); "
        "print(hashlib.sha256(image.tobytes()).hexdigest())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, path], capture_output=True, text=True, check=True
    )

    assert (wanted, "") == (done.stdout.strip(), done.stderr)
    assert tuple(capfd.readouterr()) == ("", "")


def test_contexts_do_not_leak(bpg, crop):
    """A hundred files leave no threads and next to no memory behind."""
    psutil = pytest.importorskip("psutil")
    process = psutil.Process(os.getpid())

    def run(count):
        for _ in range(count):
            bpg.decode(bpg.encode(crop, Setting(qp=40, level=1)))
        return process.memory_info().rss, process.num_threads()

    before = run(20)
    after = run(100)

    assert after[1] <= before[1]
    assert after[0] - before[0] < 20e6


def test_build_without_x265(monkeypatch):
    """A PyAV that was built without libx265 makes the codec unavailable, with the reason."""

    def refuse(name, mode):
        raise ValueError(f"no codec {name} for {mode}")

    monkeypatch.setattr("av.Codec", refuse)
    with pytest.raises(Unavailable, match="lacks libx265 or hevc"):
        Bpg()


def test_encoder_failure():
    """What x265 refuses is an EncodeError in one line, with its size and no option string."""
    with pytest.raises(EncodeError) as caught:
        x265._run([np.zeros((8, 8), np.uint8)], "gray", "medium", "log-level=none")

    assert "x265 refused a 8x8 picture" in str(caught.value)
    assert "x265-params" not in str(caught.value)


GOLDEN = {
    "4:4:4": (
        (
            "425047fb600017153e02ab744401c17181120000012801af1d80ef73e89390533b9c2bb2edb185acbc8b8650"
            "8f862926327b30f830776e6463864a417017c0a710cd7e9f706526"
        ),
        "c3a4ac1830526086635e076ffbf28a67eb582468c431c7366dcb3e195c94aa03",
    ),
    "4:2:0": (
        (
            "425047fb200017153802ab744401c17181120000012801af1d80ef73e89390533b9c2bb27d0fb974c15a3480"
            "e0108217a4635291428587019b13eaa046aac12f40"
        ),
        "edea87f7d42319bad2c5f75b343743c0543080d45165cdd8e5708eee7f8f2829",
    ),
    "4:2:0 10-bit": (
        (
            "425047fb220017153702ab744401c17181120000012801af1d80ef73e89390533b9c2bb27d0fb974c15a3480"
            "dff83798b054595c3c20ffb59c2f43cd2b6edfa0"
        ),
        "f903f10f098d88ef765d994990b01f89c6920f152e7f2649384b8aff2dd60e30",
    ),
    "gray": (
        (
            "425047fb000017153202ab744401c17181120000012801ae3bc5d131c3df78166e10e59f2f96f1b0efaaf0d7"
            "ecc54ded0ff799a6b81ba06bdde7c0"
        ),
        "dca13c77bf68e9dc993d94fcba998466ec2a5613c90758e0d7eba4b660b18129",
    ),
}


@pytest.mark.parametrize("name", GOLDEN)
def test_golden_files(bpg, name):
    """Files of 23x21 pixels written once decode to the pixels they had, on every machine.

    The pixels are also those of a second decoder, written apart from this one.
    """
    code, wanted = GOLDEN[name]
    picture = bpg.decode(bytes.fromhex(code))

    assert picture.shape == (21, 23, 3)
    assert wanted == hashlib.sha256(picture.tobytes()).hexdigest()

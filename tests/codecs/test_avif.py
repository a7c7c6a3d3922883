"""AVIF: which plug-in writes, with which options, what the file says of its colours."""

from __future__ import annotations

import importlib
import warnings

import numpy as np
import pytest
from ceilings import check_parts
from PIL import Image as PILImage
from pillow_avif import AvifImagePlugin, _avif

from bench import metrics, registry
from bench.codec import Codec, Setting
from bench.codecs._pillow import boxes
from bench.errors import DecodeError, EncodeError, SettingError
from bench.image import Image


@pytest.fixture(scope="module")
def avif() -> Codec:
    return registry.create("avif")


def _setting(codec: Codec, **values) -> Setting:
    return registry.complete(codec, Setting(**values))


def test_plug_in_wins_over_pillows_own(avif: Codec, photo: Image):
    """After Pillow's own AVIF plug-in registered itself, pillow-avif-plugin still writes."""
    before = avif.encode(photo[:64, :64], _setting(avif))
    own = pytest.importorskip("PIL.AvifImagePlugin", reason="this Pillow has no AVIF of its own")
    importlib.reload(own)
    assert PILImage.SAVE["AVIF"] is own._save
    after = avif.encode(photo[:64, :64], _setting(avif))

    assert PILImage.SAVE["AVIF"] is AvifImagePlugin._save
    assert PILImage.OPEN["AVIF"][0] is AvifImagePlugin.AvifImageFile
    assert before == after


def test_version_names_library_and_encoder(avif: Codec):
    """The version is libavif's own and libaom's own."""
    version = avif.version()

    assert version.startswith(f"libavif {_avif.libavif_version}, aom ")
    assert f"aom [enc]:{version.rpartition(' ')[2]}" in _avif.codec_versions()


def test_one_thread_and_no_tiles(avif: Codec, photo: Image, monkeypatch: pytest.MonkeyPatch):
    """The encoder gets one thread, no tiles, full range and no metadata, whatever the machine."""
    seen = []

    def spy(*arguments):
        seen.append(arguments)
        return _avif.AvifEncoder(*arguments)

    class Native:
        AvifEncoder = staticmethod(spy)

        def __getattr__(self, name):
            return getattr(_avif, name)

    monkeypatch.setattr(AvifImagePlugin, "_avif", Native())
    avif.encode(photo[:40, :50], _setting(avif, quality=33, speed=9))

    # width, height, subsampling, qmin, qmax, quality, speed, threads, codec, range, tiles
    assert seen[0][:12] == (50, 40, "4:4:4", -1, -1, 33, 9, 1, "aom", "full", 0, 0)
    assert seen[0][13] is False  # autotiling
    assert [b"", b""] == [part for part in seen[0][14:] if isinstance(part, bytes)][:2]
    assert AvifImagePlugin.DEFAULT_MAX_THREADS == 1


@pytest.mark.parametrize(("subsampling", "chroma"), [("4:4:4", 0b00), ("4:2:0", 0b11)])
def test_boxes_say_the_format(avif: Codec, photo: Image, subsampling: str, chroma: int):
    """nclx is full-range BT.601 and av1C has the chroma format and depth of the label."""
    setting = _setting(avif, subsampling=subsampling)
    data = avif.encode(photo, setting)
    nclx = data.index(b"colrnclx") + 8
    av1c = data.index(b"av1C") + 4
    primaries, transfer, matrix = np.frombuffer(data[nclx : nclx + 6], ">u2")

    assert (1, 13, 6, 0x80) == (primaries, transfer, matrix, data[nclx + 6])
    assert chroma == data[av1c + 2] >> 2 & 3
    assert data[av1c + 2] >> 5 & 3 == 0  # 8 bits
    assert data.count(b"colr") == 1
    assert avif.describe(setting) == f"{subsampling} 8-bit"


def test_options_change_bytes_and_label(avif: Codec, photo: Image):
    """Speed and tuning are settings of their own, stated where they are not the usual ones."""
    usual = avif.encode(photo, _setting(avif))
    for option in ({"speed": 9}, {"tune": "ssim"}, {"subsampling": "4:2:0"}):
        setting = _setting(avif, **option)

        assert usual != avif.encode(photo, setting)
        assert str(next(iter(option.values()))) in avif.label(setting)


def test_tuning_for_psnr_pays_in_psnr(avif: Codec, photo: Image):
    """At the size of libavif's own tuning, iq, the default tuning gives over 0.2 dB more."""
    psnr = metrics.create("psnr")
    try:
        iq = avif.encode(photo, _setting(avif, quality=60, tune="iq"))
    except EncodeError as error:
        pytest.skip(f"this libaom has no tune=iq: {error}")
    usual = [avif.encode(photo, _setting(avif, quality=q)) for q in (50, 58, 66)]
    sizes = [len(data) for data in usual]
    quality_db = [psnr(photo, avif.decode(data)) for data in usual]

    assert sizes[0] < len(iq) < sizes[-1]
    assert np.interp(len(iq), sizes, quality_db) > psnr(photo, avif.decode(iq)) + 0.2


@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:0"])
def test_ceiling_in_strips_is_that_of_the_whole(
    avif: Codec, photo: Image, subsampling: str, monkeypatch: pytest.MonkeyPatch
):
    """Strips and colours, which large pictures are converted in, change no pixel anywhere."""
    check_parts(avif, photo[:201, :97], _setting(avif, subsampling=subsampling), monkeypatch)


@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:0"])
def test_ceiling_is_the_librarys_own(avif: Codec, photo: Image, subsampling: str):
    """No quality beats the ceiling, and lossless coding in YCbCr reaches it at any speed."""
    psnr = metrics.create("psnr")
    image = photo[:120, :160]
    ceiling = avif.ceiling(image, _setting(avif, subsampling=subsampling))
    slow = _setting(avif, subsampling=subsampling, quality=100, speed=7)
    lossy = _setting(avif, subsampling=subsampling, quality=90)

    assert np.array_equal(ceiling, avif.decode(avif.encode(image, slow)))
    assert psnr(image, ceiling) > psnr(image, avif.decode(avif.encode(image, lossy)))


def test_longest_side(avif: Codec):
    """32,769 pixels a side are refused, since libavif would not decode them."""
    with pytest.raises(EncodeError, match="at most 32768 pixels a side"):
        avif.encode(np.zeros((1, 32_769, 3), np.uint8), _setting(avif))


def test_foreign_alpha_is_refused(avif: Codec, photo: Image, tmp_path):
    """A file with an alpha plane is an error, not a silently flattened picture."""
    rgba = np.dstack([photo[:32, :32], np.full((32, 32), 9, np.uint8)])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        PILImage.fromarray(rgba).save(tmp_path / "alpha.avif")
    with pytest.raises(DecodeError, match="RGBA"):
        avif.decode((tmp_path / "alpha.avif").read_bytes())


def test_unknown_values_are_refused(avif: Codec):
    """Another chroma format or tuning is a SettingError that lists the legal ones."""
    with pytest.raises(SettingError, match=r"one of 4:4:4, 4:2:0, found '4:2:2'"):
        _setting(avif, subsampling="4:2:2")
    with pytest.raises(SettingError, match="from 0 to 100, found 101"):
        _setting(avif, quality=101)


def test_boxes_must_fill_the_file():
    """Box walking handles 64-bit and open lengths, and refuses what overruns the file."""
    small = b"\x00\x00\x00\x0afreeab"
    large = b"\x00\x00\x00\x01free\x00\x00\x00\x00\x00\x00\x00\x12ab"
    last = b"\x00\x00\x00\x00mdatabc"

    assert list(boxes(small + large + last)) == [
        (b"free", 0, 8, 10),
        (b"free", 10, 26, 28),
        (b"mdat", 28, 36, 39),
    ]
    for broken in (small[:-1], b"\x00\x00", large[:9], b"\x00\x00\x00\x07free"):
        with pytest.raises(DecodeError, match="claims"):
            list(boxes(broken))

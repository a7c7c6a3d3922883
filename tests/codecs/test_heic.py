"""HEIC: with its plug-in, what a file says of its colours, what is refused."""

from __future__ import annotations

import struct
import sys
from io import BytesIO

import numpy as np
import pytest
from ceilings import check_parts
from PIL import Image as PILImage

from bench import metrics, registry
from bench.codec import Codec, Setting
from bench.codecs.bpg.bits import BitWriter, escape
from bench.errors import DecodeError, EncodeError, SettingError, Unavailable
from bench.image import Image

QUICK = {"preset": "ultrafast"}


@pytest.fixture(scope="module")
def heic() -> Codec:
    try:
        return registry.create("heic")
    except Unavailable as error:
        return pytest.skip(str(error))


@pytest.fixture(scope="module")
def small(photo: Image) -> Image:
    """A piece of the photograph, 64x96."""
    return photo[100:164, 100:196].copy()


def _setting(codec: Codec, **values) -> Setting:
    return registry.complete(codec, Setting(**{**QUICK, **values}))


def _saved(picture: PILImage.Image, **options) -> bytes:
    buffer = BytesIO()
    picture.save(buffer, "HEIF", **options)
    return buffer.getvalue()


def test_missing_plug_in_is_a_reason(monkeypatch: pytest.MonkeyPatch):
    """Without the plug-in the codec is unavailable, and the reason has the pip command."""
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    monkeypatch.delitem(sys.modules, "bench.codecs.heic", raising=False)
    (found,) = registry._from_folder("heic")

    assert (found.name, found.cls) == ("heic", None)
    assert "pip install 'agvae-bench[heic]'" in found.reason


def test_a_build_without_the_encoder_is_unavailable(heic: Codec, monkeypatch: pytest.MonkeyPatch):
    """libheif that only decodes is no codec here, and says so."""
    module = sys.modules["bench.codecs.heic"]
    monkeypatch.setattr(module.pillow_heif, "libheif_info", lambda: {"HEIF": ""})
    with pytest.raises(Unavailable, match="lacks the encoder x265"):
        registry.create("heic")


@pytest.mark.parametrize(("subsampling", "chroma"), [("4:4:4", 3), ("4:2:0", 1)])
def test_boxes_say_the_format(heic: Codec, small: Image, subsampling: str, chroma: int):
    """nclx is full-range BT.601; hvcC has the chroma format and the depth of the label."""
    setting = _setting(heic, subsampling=subsampling)
    data = heic.encode(small, setting)
    nclx, record = data.index(b"colrnclx") + 8, data.index(b"hvcC") + 4

    assert (1, 13, 6) == struct.unpack_from(">3H", data, nclx)
    assert data[nclx + 6] == 0x80
    assert [chroma, 0, 0] == [data[record + 16] & 3, data[record + 17] & 7, data[record + 18] & 7]
    assert data.count(b"colr") == 1
    assert heic.describe(setting) == f"{subsampling} 8-bit"


def test_options_change_bytes_and_label(heic: Codec, small: Image):
    """Preset, tuning and chroma format are settings of their own, and stand in the label."""
    usual = heic.encode(small, _setting(heic, preset="veryfast"))
    for option in ({"preset": "slow"}, {"tune": "ssim"}, {"subsampling": "4:2:0"}):
        setting = _setting(heic, **{"preset": "veryfast", **option})

        assert usual != heic.encode(small, setting)
        assert str(next(iter(option.values()))) in heic.label(setting)
    assert heic.label(Setting()).startswith("HEIC 4:4:4 8-bit, x265 slow (libheif ")


def test_no_wavefronts(heic: Codec, small: Image):
    """x265 has no pool of threads: rows of blocks are not cut apart for one, which costs bytes."""
    large, setting = np.tile(small, (4, 3, 1)), _setting(heic)
    ours = heic.encode(large, setting)
    pooled = sys.modules["bench.codecs.heic"]._encode(large, setting, **{"x265:pools": "2"})

    assert len(ours) < len(pooled)
    assert ours == heic.encode(large, setting)


@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:0"])
def test_ceiling_in_strips_is_that_of_the_whole(
    heic: Codec, photo: Image, subsampling: str, monkeypatch: pytest.MonkeyPatch
):
    """Strips and colours, which large pictures are converted in, change no pixel anywhere."""
    check_parts(heic, photo[:201, :97], _setting(heic, subsampling=subsampling), monkeypatch)


@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:0"])
def test_ceiling_is_the_librarys_own(heic: Codec, small: Image, subsampling: str):
    """The ceiling does not depend on preset and quality, and no quality beats it."""
    psnr = metrics.create("psnr")
    ceiling = heic.ceiling(small, _setting(heic, subsampling=subsampling, quality=3))
    slow = heic.ceiling(small, _setting(heic, subsampling=subsampling, preset="medium"))
    finest = heic.decode(heic.encode(small, _setting(heic, subsampling=subsampling, quality=100)))

    assert np.array_equal(ceiling, slow)
    assert psnr(small, finest) < psnr(small, ceiling)


def test_what_rgb_cannot_hold_is_refused(heic: Codec, small: Image):
    """Alpha, more than 8 bits and more than one picture are errors, not silently cut."""
    import pillow_heif

    deep = pillow_heif.from_bytes("RGB;16", (96, 64), (small.astype(np.uint16) * 256).tobytes())
    buffer = BytesIO()
    deep.save(buffer)
    alpha = _saved(PILImage.fromarray(np.dstack([small, small[..., :1]])))
    two = _saved(
        PILImage.fromarray(small), save_all=True, append_images=[PILImage.fromarray(small[::-1])]
    )
    for data, words in ((buffer.getvalue(), "has 10 bits"), (alpha, "RGBA"), (two, "2 frames")):
        with pytest.raises(DecodeError, match=words):
            heic.decode(data)


def test_files_of_cameras_decode(heic: Codec, small: Image):
    """Tiles with a thumbnail beside them, and a gray picture, are decoded whole."""
    large = np.tile(small, (3, 2, 1))
    tiled = _saved(PILImage.fromarray(large), tile_size=64, thumbnails=[32], quality=90)
    gray = _saved(PILImage.fromarray(small[..., 0]), quality=90)

    assert heic.recognises(tiled)
    assert large.shape == heic.decode(tiled).shape
    assert np.abs(heic.decode(tiled).astype(int) - large).mean() < 5
    assert np.ptp(heic.decode(gray), axis=2).max() == 0


def test_claims_are_checked_before_anything_is_allocated(heic: Codec, small: Image):
    """Another size than that of the data, one beyond the bound, and a cut file are refused."""
    data = bytearray(heic.encode(small, _setting(heic)))
    for size, words in (
        ((96, 32), "size"),
        ((13_000, 13_000), "size"),
        ((40_000, 40_000), "wanted"),
    ):
        struct.pack_into(">II", data, data.index(b"ispe") + 8, *size)
        with pytest.raises(DecodeError, match=words):
            heic.decode(bytes(data))


@pytest.mark.parametrize("layers", [0, 2])
def test_size_of_the_coded_data_is_read_right(heic: Codec, layers: int):
    """The sequence parameter set, of one layer or of several, gives the size that it codes."""
    module = sys.modules["bench.codecs.heic"]
    bits = BitWriter()
    bits.u(4, 0)
    bits.u(3, layers)
    bits.u(97, 0)  # nesting; profile, tier and level of the whole
    for _ in range(layers):
        bits.u(2, 0b11)
    bits.u(2 * (8 - layers) if layers else 0, 0)
    for _ in range(layers):
        bits.u(96, 0)
    for value in (0, 3):
        bits.ue(value)
    bits.flag(False)
    for value in (40_000, 30_000):
        bits.ue(value)
    nal = b"\x42\x01" + escape(bits.rbsp())

    assert (40_000, 30_000) == module._coded_size(nal)
    record = bytes(22) + b"\x01" + bytes([33, 0, 1]) + len(nal).to_bytes(2) + nal
    boxed = record
    for name in (b"hvcC", b"ipco", b"iprp"):
        boxed = (len(boxed) + 8).to_bytes(4) + name + boxed
    meta = (len(boxed) + 12).to_bytes(4) + b"meta" + bytes(4) + boxed
    with pytest.raises(DecodeError, match="40000x30000 pixels, wanted 1 to"):
        heic.decode(meta)
    with pytest.raises(DecodeError, match="break off"):
        list(module._parameter_sets(record[:-1]))


def test_settings_out_of_range(heic: Codec, small: Image):
    """Another chroma format, preset or quality is refused; so is a side too long."""
    for name, value in (("subsampling", "4:2:2"), ("preset", "turbo"), ("quality", 101)):
        with pytest.raises(SettingError, match=name):
            _setting(heic, **{name: value})
    with pytest.raises(EncodeError, match="at most 65536 pixels a side"):
        heic.encode(np.zeros((1, 65_537, 3), np.uint8), _setting(heic))

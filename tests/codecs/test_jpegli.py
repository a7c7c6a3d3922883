"""jpegli: with its package, and what is said without."""

from __future__ import annotations

import sys
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PILImage

from bench import metrics, registry
from bench.cli import files
from bench.codec import Codec, Setting
from bench.errors import EncodeError, SettingError, Unavailable
from bench.image import Image


@pytest.fixture(scope="module")
def jpegli() -> Codec:
    try:
        return registry.create("jpegli")
    except Unavailable as error:
        return pytest.skip(str(error))


def test_missing_package_is_a_reason(monkeypatch: pytest.MonkeyPatch):
    """Without the package the codec is unavailable, and the reason has the pip command."""
    monkeypatch.setitem(sys.modules, "pyjpegli", None)
    monkeypatch.delitem(sys.modules, "bench.codecs.jpegli", raising=False)
    (found,) = registry._from_folder("jpegli")

    assert (found.name, found.cls) == ("jpegli", None)
    assert "pip install 'agvae-bench[jpegli]'" in found.reason


def test_label_is_what_the_file_says(jpegli: Codec, photo: Image):
    """Baseline scans, 8 bits, luma sampled twice as often: at every quality."""
    for quality in (1, 50, 100):
        data = jpegli.encode(photo[:40, :50], Setting(quality=quality))
        frame = data.index(b"\xff\xc0") + 4
        depth, height, width, count = (
            data[frame],
            *np.frombuffer(data[frame + 1 : frame + 5], ">u2"),
            data[frame + 5],
        )

        assert (8, 40, 50, 3) == (depth, height, width, count)
        assert [0x22, 0x11, 0x11] == list(data[frame + 7 : frame + 15 : 3])
        assert b"\xff\xc2" not in data
    assert jpegli.label(Setting(quality=5)).startswith("jpegli 4:2:0 8-bit, baseline optimised (")


def test_only_the_encoder_differs(jpegli: Codec, photo: Image):
    """Its files decode as libjpeg-turbo decodes any JPEG; `jpeg` alone knows them."""
    data = jpegli.encode(photo, Setting(quality=60))
    viewed = np.array(PILImage.open(BytesIO(data)))

    assert np.array_equal(viewed, jpegli.decode(data))
    assert np.array_equal(viewed, registry.create("jpeg").decode(data))
    assert (registry.create("jpeg").recognises(data), jpegli.recognises(data)) == (True, False)
    assert files._by_suffix(Path("x.jpg")) == "jpeg"


def test_no_quality_beats_the_ceiling(jpegli: Codec, photo: Image):
    """What BT.601 with halved chroma costs is lost at quality 100 as well."""
    psnr, finest = metrics.create("psnr"), Setting(quality=100)
    best = psnr(photo, jpegli.decode(jpegli.encode(photo, finest)))

    assert best < psnr(photo, jpegli.ceiling(photo, finest)) < 60


def test_what_it_cannot_do(jpegli: Codec):
    """A quality out of range, an option of libjpeg's and a side too long are refused."""
    with pytest.raises(SettingError, match="from 1 to 100, found 0"):
        registry.complete(jpegli, Setting(quality=0))
    with pytest.raises(SettingError, match="subsampling"):
        registry.complete(jpegli, Setting(subsampling="4:4:4"))
    with pytest.raises(EncodeError, match="at most 65500 pixels a side, found 65501x1"):
        jpegli.encode(np.zeros((1, 65_501, 3), np.uint8), Setting(quality=50))


def test_a_view_of_an_array_is_encoded_as_it_looks(jpegli: Codec, photo: Image):
    """Pixels that do not lie one after the other give the file of their copy."""
    view = photo[::-1, ::2]

    assert jpegli.encode(view.copy(), Setting(quality=50)) == jpegli.encode(
        view, Setting(quality=50)
    )

"""JPEG XL: with its plug-in, and what is said without."""

from __future__ import annotations

import sys
from io import BytesIO

import numpy as np
import pytest
from PIL import Image as PILImage

from bench import registry
from bench.codec import Codec, Setting
from bench.errors import DecodeError, SettingError, Unavailable
from bench.image import Image

PLUGIN = "pillow_jxl"


@pytest.fixture(scope="module")
def jxl() -> Codec:
    try:
        return registry.create("jxl")
    except Unavailable as error:
        return pytest.skip(str(error))


def _setting(codec: Codec, **values) -> Setting:
    return registry.complete(codec, Setting(**values))


def _pillow(image: Image, **options) -> bytes:
    buffer = BytesIO()
    PILImage.fromarray(image).save(buffer, "JXL", **options)
    return buffer.getvalue()


def test_missing_plug_in_is_a_reason(monkeypatch: pytest.MonkeyPatch):
    """Without the plug-in the codec is unavailable, and the reason has the pip command."""
    monkeypatch.setitem(sys.modules, PLUGIN, None)
    monkeypatch.delitem(sys.modules, "bench.codecs.jxl", raising=False)
    (found,) = registry._from_folder("jxl")

    assert found.name == "jxl"
    assert found.cls is None
    assert "pip install 'agvae-bench[jxl]'" in found.reason


def test_effort_and_label(jxl: Codec, photo: Image):
    """Effort is a setting of its own, stated where it is not libjxl's default."""
    fast = _setting(jxl, effort=3)

    assert jxl.encode(photo, fast) != jxl.encode(photo, _setting(jxl))
    assert jxl.effort(fast) == "effort 3"
    assert jxl.describe(_setting(jxl)) == "4:4:4 8-bit"


def test_lossless_is_not_on_the_curve(jxl: Codec, photo: Image):
    """Quality 100 would be another coder; 99 works."""
    with pytest.raises(SettingError, match="from 0 to 99"):
        _setting(jxl, quality=100)
    decoded = jxl.decode(jxl.encode(photo, _setting(jxl, quality=99)))

    assert np.abs(decoded.astype(int) - photo).mean() < 2


def test_container_decodes(jxl: Codec, photo: Image):
    """A codestream in boxes decodes like the bare one, and the boxes are header."""
    bare = _pillow(photo, quality=80, effort=3)
    boxed = _pillow(photo, quality=80, effort=3, use_container=True)

    assert jxl.recognises(boxed)
    assert np.array_equal(jxl.decode(bare), jxl.decode(boxed))
    assert jxl.ledger(boxed) == {"header": len(boxed) - len(bare), "payload": len(bare)}


@pytest.mark.parametrize(
    "shape", [(8, 8), (64, 96), (256, 256), (255, 257), (9, 12), (1, 600), (520, 9000)]
)
def test_size_header_is_read_right(jxl: Codec, shape: tuple[int, int]):
    """Width and height read beforehand equal the decoder's, for every way to write them."""
    module = sys.modules["bench.codecs.jxl"]
    data = _pillow(np.zeros((*shape, 3), np.uint8), effort=1)

    assert shape[::-1] == module._size(data)
    assert (*shape, 3) == jxl.decode(data).shape


def test_header_that_claims_too_much_is_refused(jxl: Codec):
    """A file that claims 2^30 pixels a side is refused before the decoder allocates them."""
    # not in eighths, 30-bit height of all ones, ratio 1:1
    bits = 0 | 3 << 1 | (2**30 - 1) << 3 | 1 << 33
    with pytest.raises(DecodeError, match="1073741824x1073741824"):
        jxl.decode(b"\xff\x0a" + bits.to_bytes(5, "little") + bytes(50))
    with pytest.raises(DecodeError, match="no JPEG XL codestream"):
        jxl.decode(b"\xff\x4f")

"""JPEG 2000: the ratio is kept, breaks are told, the ledger's walk over markers."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from PIL import Image as PILImage

from bench import metrics, registry
from bench.codec import Codec, Setting
from bench.errors import DecodeError
from bench.image import Image


@pytest.fixture(scope="module")
def jpeg2000() -> Codec:
    return registry.create("jpeg2000")


def _setting(codec: Codec, **values) -> Setting:
    return registry.complete(codec, Setting(**values))


@pytest.mark.parametrize("ratio", [120, 30, 12])
def test_ratio_is_kept(jpeg2000: Codec, photo: Image, ratio: float):
    """The whole file, boxes and headers included, has 24 / ratio bits a pixel within 2 %."""
    data = jpeg2000.encode(photo, _setting(jpeg2000, ratio=ratio))

    assert 24 / ratio == pytest.approx(8 * len(data) / photo[..., 0].size, rel=0.02)


def test_transform_is_irreversible_with_colour(jpeg2000: Codec, photo: Image):
    """The coding-style marker has the 9-7 wavelet, one layer and the colour transform."""
    data = jpeg2000.encode(photo, _setting(jpeg2000))
    style = data.index(b"\xff\x52")
    layers, colour, wavelet = data[style + 6 : style + 8], data[style + 8], data[style + 13]

    assert (b"\x00\x01", 1, 0) == (layers, colour, wavelet)


def test_high_rate_nears_the_source(jpeg2000: Codec, photo: Image):
    """The floating-point colour transform leaves nothing but the coder's own loss."""
    decoded = jpeg2000.decode(jpeg2000.encode(photo, _setting(jpeg2000, ratio=2)))

    assert metrics.create("psnr")(photo, decoded) > 50


def test_bare_codestream_decodes(jpeg2000: Codec, photo: Image):
    """A codestream without boxes is a JPEG 2000 file too."""
    buffer = BytesIO()
    PILImage.fromarray(photo).save(buffer, "JPEG2000", no_jp2=True)
    data = buffer.getvalue()

    assert jpeg2000.recognises(data)
    assert np.array_equal(photo, jpeg2000.decode(data))
    assert len(data) == sum(jpeg2000.ledger(data).values())


@pytest.mark.parametrize("cut", [1, 2, 3, 1000])
def test_break_is_an_error(jpeg2000: Codec, photo: Image, cut: int):
    """OpenJPEG would show what it has of a file that breaks off; here it is DecodeError."""
    data = jpeg2000.encode(photo, _setting(jpeg2000))
    start = data.index(b"\xff\x4f\xff\x51")

    with pytest.raises(DecodeError, match="claims"):
        jpeg2000.decode(data[:-cut])
    with pytest.raises(DecodeError, match="breaks off"):
        jpeg2000.decode(data[start:-cut])


def test_ledger_parts(jpeg2000: Codec, photo: Image):
    """JP2 boxes take 85 bytes, and the payload begins with a tile-part."""
    data = jpeg2000.encode(photo, _setting(jpeg2000))
    parts = jpeg2000.ledger(data)

    assert parts["header"] == 85
    assert data[85 + parts["side_information"] :].startswith(b"\xff\x90")
    with pytest.raises(DecodeError, match="no JPEG 2000 codestream"):
        jpeg2000.ledger(b"\x00\x00\x00\x08free")

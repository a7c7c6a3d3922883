"""JPEG: published rates, its options, foreign files, the ledger's marker walk."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO

import numpy as np
import pytest
from PIL import Image as PILImage

from bench import metrics, registry
from bench.codec import Codec, Setting
from bench.errors import DecodeError, EncodeError
from bench.image import Image

# Means over the 24 Kodak images: CompressAI, results/image/kodak/jpeg.json (Pillow 7.1.2).
PUBLISHED = {15: (0.423126, 28.0422), 50: (0.906001, 32.0587), 85: (1.858816, 36.3289)}


@pytest.fixture(scope="module")
def jpeg() -> Codec:
    return registry.create("jpeg")


def _setting(codec: Codec, **values) -> Setting:
    return registry.complete(codec, Setting(**values))


def _pillow(image: Image, mode: str, **options) -> bytes:
    buffer = BytesIO()
    PILImage.fromarray(image).convert(mode).save(buffer, "JPEG", **options)
    return buffer.getvalue()


@pytest.mark.parametrize("quality", PUBLISHED)
def test_kodak_equals_the_published_curve(jpeg: Codec, kodim: Callable[[int], Image], quality: int):
    """Size within 0.3 %; PSNR not lower, and at most 0.2 dB higher by a newer libjpeg."""
    psnr = metrics.create("psnr")
    rows = []
    for number in range(1, 25):
        image = kodim(number)
        data = jpeg.encode(image, _setting(jpeg, quality=quality))
        rows.append((8 * len(data) / image[..., 0].size, psnr(image, jpeg.decode(data))))
    bpp, psnr_db = np.mean(rows, axis=0)

    assert PUBLISHED[quality][0] == pytest.approx(bpp, rel=0.003)
    assert -0.001 <= psnr_db - PUBLISHED[quality][1] <= 0.2


@pytest.mark.parametrize("option", ["optimize", "progressive"])
def test_lossless_options_shrink_the_file_only(jpeg: Codec, photo: Image, option: str):
    """Optimised tables and progressive scans change bytes, not pixels."""
    plain = jpeg.encode(photo, _setting(jpeg, quality=60))
    other = jpeg.encode(photo, _setting(jpeg, quality=60, **{option: True}))

    assert len(other) < len(plain)
    assert np.array_equal(jpeg.decode(plain), jpeg.decode(other))
    assert len(other) == sum(jpeg.ledger(other).values())


@pytest.mark.parametrize("subsampling", ["4:2:0", "4:4:4"])
def test_ceiling_is_what_quality_100_nears(jpeg: Codec, photo: Image, subsampling: str):
    """At quality 100 the file differs from the conversion alone by rounding only."""
    setting = _setting(jpeg, quality=100, subsampling=subsampling)
    ceiling = jpeg.ceiling(photo, setting)
    decoded = jpeg.decode(jpeg.encode(photo, setting))
    psnr = metrics.create("psnr")

    assert psnr(ceiling, decoded) > 50
    assert psnr(photo, ceiling) > psnr(photo, decoded)


def test_chroma_is_what_the_label_says(jpeg: Codec, photo: Image):
    """The frame header's sampling factors are 2x2 for 4:2:0 and 1x1 for 4:4:4."""
    for subsampling, factors in (("4:2:0", 0x22), ("4:4:4", 0x11)):
        setting = _setting(jpeg, subsampling=subsampling)
        data = jpeg.encode(photo, setting)
        frame = data.index(b"\xff\xc0")

        assert factors == data[frame + 11]
        assert jpeg.describe(setting) == f"{subsampling} 8-bit"


def test_longest_side(jpeg: Codec):
    """65,500 pixels a side are held, 65,501 refused with the limit in the message."""
    line = np.zeros((1, 65_501, 3), np.uint8)

    assert jpeg.decode(jpeg.encode(line[:, 1:], _setting(jpeg))).shape == (1, 65_500, 3)
    with pytest.raises(EncodeError, match="at most 65500 pixels a side, found 65501x1"):
        jpeg.encode(line, _setting(jpeg))


def test_gray_file_decodes_and_cmyk_does_not(jpeg: Codec, photo: Image):
    """A gray file of another writer is RGB with equal channels; CMYK is refused, not guessed."""
    gray = jpeg.decode(_pillow(photo, "L"))

    assert photo.shape == gray.shape
    assert np.array_equal(gray[..., 0], gray[..., 2])
    with pytest.raises(DecodeError, match="CMYK"):
        jpeg.decode(_pillow(photo, "CMYK"))


def test_comment_and_profile_of_a_source_stay_out(jpeg: Codec, photo: Image):
    """Pixels of a file with a comment and a profile encode to the bytes of bare pixels."""
    loaded = np.array(PILImage.open(BytesIO(_pillow(photo, "RGB", comment=b"secret"))))

    assert b"secret" not in jpeg.encode(loaded, _setting(jpeg))


def test_ledger_counts_marker_segments(jpeg: Codec, photo: Image):
    """Two quantisation and four Huffman tables of the standard take 570 bytes."""
    data = jpeg.encode(photo, _setting(jpeg))
    parts = jpeg.ledger(data)

    markers = {"SOI": 2, "APP0": 18, "SOF0": 19, "SOS": 14, "EOI": 2}

    assert 2 * 69 + 2 * 33 + 2 * 183 == parts["side_information"]
    assert sum(markers.values()) == parts["header"]


@pytest.mark.parametrize("cut", [1, 2, 500])
def test_ledger_refuses_a_file_without_end(jpeg: Codec, photo: Image, cut: int):
    """A file that breaks off has no ledger."""
    with pytest.raises(DecodeError, match="breaks off"):
        jpeg.ledger(jpeg.encode(photo, _setting(jpeg))[:-cut])

"""WebP: the published curve, its limits, foreign and forged files."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO

import numpy as np
import pytest
from PIL import Image as PILImage

from bench import colour, metrics, registry
from bench.codec import Codec, Setting
from bench.errors import DecodeError, EncodeError
from bench.image import Image

# Means over the 24 Kodak images: CompressAI, results/image/kodak/webp.json (Pillow 7.1.2).
PUBLISHED = {10: (0.296336, 29.151205, 0.939642), 90: (2.010354, 39.556952, 0.993274)}


@pytest.fixture(scope="module")
def webp() -> Codec:
    return registry.create("webp")


def _setting(codec: Codec, **values) -> Setting:
    return registry.complete(codec, Setting(**values))


def _pillow(image: Image, **options) -> bytes:
    buffer = BytesIO()
    PILImage.fromarray(image).save(buffer, "WEBP", **options)
    return buffer.getvalue()


@pytest.mark.parametrize("quality", PUBLISHED)
def test_kodak_equals_the_published_curve(webp: Codec, kodim: Callable[[int], Image], quality: int):
    """Means agree with CompressAI's to 0.001 bpp, 0.01 dB and 0.0002 MS-SSIM."""
    psnr, ms_ssim = metrics.create("psnr"), metrics.create("ms_ssim")
    rows = []
    for number in range(1, 25):
        image = kodim(number)
        data = webp.encode(image, _setting(webp, quality=quality))
        decoded = webp.decode(data)
        bpp = 8 * len(data) / image[..., 0].size
        rows.append((bpp, psnr(image, decoded), ms_ssim(image, decoded)))
    bpp, psnr_db, similarity = np.mean(rows, axis=0)

    assert PUBLISHED[quality][0] == pytest.approx(bpp, abs=0.001)
    assert PUBLISHED[quality][1] == pytest.approx(psnr_db, abs=0.01)
    assert PUBLISHED[quality][2] == pytest.approx(similarity, abs=0.0002)


def test_method_buys_bytes(webp: Codec, photo: Image):
    """The slowest method writes a smaller file than the fastest, and the label says which."""
    sizes = [len(webp.encode(photo, _setting(webp, method=m))) for m in (0, 4, 6)]

    assert sizes[2] < sizes[0]
    assert webp.effort(_setting(webp, method=6)) == "method 6"
    assert webp.describe(_setting(webp)) == "4:2:0 8-bit"


def test_longest_side(webp: Codec):
    """16,383 pixels a side are held, 16,384 refused with the limit in the message."""
    line = np.zeros((16_384, 1, 3), np.uint8)

    assert webp.decode(webp.encode(line[1:], _setting(webp))).shape == (16_383, 1, 3)
    with pytest.raises(EncodeError, match="at most 16383 pixels a side, found 1x16384"):
        webp.encode(line, _setting(webp))


def test_ceiling_models_libwebp(webp: Codec, photo: Image):
    """Averaging chroma under libwebp's gamma comes nearer to its output than a plain mean."""
    psnr = metrics.create("psnr")
    decoded = webp.decode(webp.encode(photo, _setting(webp, quality=100, method=6)))
    ceiling = webp.ceiling(photo, _setting(webp))
    plain = colour.round_trip(photo, chroma="4:2:0", limited=True)
    full = colour.round_trip(photo, chroma="4:2:0")

    assert psnr(photo, ceiling) > psnr(photo, decoded)
    assert psnr(ceiling, decoded) > psnr(plain, decoded)
    assert psnr(ceiling, decoded) > psnr(full, decoded)


def test_lossless_file_of_another_writer_decodes(webp: Codec, photo: Image):
    """A VP8L file comes back exactly."""
    assert np.array_equal(photo, webp.decode(_pillow(photo, lossless=True)))


def test_alpha_and_animation_are_refused(webp: Codec, photo: Image):
    """What RGB cannot hold is an error, not a silently flattened picture."""
    small = photo[:32, :32]
    alpha = np.dstack([small, np.full((32, 32), 100, np.uint8)])
    frames = [PILImage.fromarray(small[::-1]), PILImage.fromarray(small[:, ::-1])]
    with pytest.raises(DecodeError, match="RGBA"):
        webp.decode(_pillow(alpha))
    with pytest.raises(DecodeError, match="frames"):
        webp.decode(_pillow(small, save_all=True, append_images=frames))


@pytest.mark.parametrize("lossless", [False, True])
def test_header_that_claims_too_much_is_refused(webp: Codec, photo: Image, lossless: bool):
    """A small file that claims the largest canvas is refused."""
    data = bytearray(_pillow(photo, lossless=lossless))
    if lossless:
        data[21:25] = b"\xff\xff\xff\x0f"
    else:
        data[26:30] = b"\xff\x3f\xff\x3f"
    with pytest.raises(DecodeError):
        webp.decode(bytes(data))


def test_ledger_splits_the_partitions(webp: Codec, photo: Image):
    """Coefficients outweigh modes at a high quality; the header takes 30 bytes and padding."""
    parts = webp.ledger(webp.encode(photo, _setting(webp, quality=90)))

    assert parts["header"] in (30, 31)
    assert parts["payload"] > parts["side_information"] > 0
    with pytest.raises(DecodeError, match="not a simple lossy WebP"):
        webp.ledger(_pillow(photo, lossless=True))

"""PSNR-RGB: exact sums, the textbook value, and its edges."""

from __future__ import annotations

import math
from io import BytesIO

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from PIL import Image as PILImage

from bench.errors import ImageError, MetricError
from bench.metrics import create
from bench.metrics.psnr import squared_error

PSNR = create("psnr")


def jpeg(image, quality):
    """Return ``image`` after JPEG."""
    buffer = BytesIO()
    PILImage.fromarray(image).save(buffer, "JPEG", quality=quality)
    return np.array(PILImage.open(buffer))


@pytest.mark.parametrize("quality", [1, 50, 100])
def test_textbook(photo, quality):
    """PSNR is 10 log10(255^2 / MSE) with one mean over all samples."""
    decoded = jpeg(photo, quality)
    mse = np.mean((photo.astype(np.float64) - decoded) ** 2)

    assert 10 * math.log10(255**2 / mse) == pytest.approx(PSNR(photo, decoded), abs=1e-12)


def test_one_level_off_everywhere():
    """An error of 1 in every sample is 48.13 dB."""
    dark = np.full((5, 7, 3), 17, np.uint8)

    assert pytest.approx(48.130803608679, abs=1e-12) == PSNR(dark, dark + np.uint8(1))


def test_equal_images_are_infinite(photo):
    """Equal images give inf, not an error."""
    assert math.inf == PSNR(photo, photo.copy())


def test_largest_error_does_not_overflow():
    """Black against white is 0 dB at any size: the integer sum does not wrap."""
    black = np.zeros((3000, 4001, 3), np.uint8)

    assert PSNR(black, ~black) == 0
    assert 255**2 * black.size == squared_error(black, ~black)


@given(
    st.data(),
    npst.arrays(np.uint8, st.tuples(st.integers(1, 40), st.integers(1, 70), st.just(3))),
)
def test_sum_is_exact(data, reference):
    """The sum of squares is the exact integer for every shape."""
    decoded = data.draw(npst.arrays(np.uint8, reference.shape))
    difference = reference.astype(np.int64) - decoded

    assert int((difference**2).sum()) == squared_error(reference, decoded)


def test_views_are_scored(photo):
    """An image that is a view with negative strides is read as it looks."""
    flipped = photo[::-1, ::-1]

    assert math.inf == PSNR(flipped, np.ascontiguousarray(flipped))
    assert math.inf == PSNR(np.ascontiguousarray(flipped), flipped)


def test_other_shape_is_refused(photo):
    """Images of different shapes are an error that names both shapes."""
    with pytest.raises(MetricError, match=r"\(300, 451, 3\).*\(299, 451, 3\)"):
        PSNR(photo, photo[1:])


@pytest.mark.parametrize("name", ["psnr", "ms_ssim"])
def test_what_is_no_8_bit_rgb_is_refused(name, photo):
    """Pixels from 0 to 1, of 16 bits, or gray would get a value that looks right."""
    unit = (photo / 255).astype(np.float32)
    for other in (unit, photo.astype(np.uint16), photo[..., 0], photo[..., :2]):
        for pair in ((other, other), (photo, other), (other, photo)):
            with pytest.raises(ImageError, match=r"wanted uint8 of shape \(H, W, 3\), found"):
                create(name)(*pair)

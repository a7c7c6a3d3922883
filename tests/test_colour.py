"""The colour conversion alone: exactness, ranges, known losses, odd sizes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from bench import colour, metrics
from bench.image import Image

# A loaded machine is no failure, and a red run is the same when it is run again.
relaxed = settings(deadline=None, derandomize=True)

pictures = hnp.arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9), st.just(3)))


def _error(image: Image, **options) -> int:
    return int(np.abs(image.astype(int) - colour.round_trip(image, **options)).max())


def _psnr(image: Image, **options) -> float:
    return metrics.create("psnr")(image, colour.round_trip(image, **options))


@relaxed
@given(pictures)
def test_shape_and_input_survive(image: Image):
    """Any size, odd ones too, comes back as uint8, and the input is untouched."""
    before = image.copy()
    for chroma in ("4:4:4", "4:2:0"):
        out = colour.round_trip(image, chroma=chroma)

        assert image.shape == out.shape
        assert np.uint8 == out.dtype
    assert np.array_equal(before, image)


@relaxed
@given(pictures)
def test_full_colour_errs_by_rounding_only(image: Image):
    """At 4:4:4 the error is that of rounding: 2 levels in 8 bits full range, 0 in 12 bits."""
    for matrix in ("bt601", "bt709"):
        assert _error(image, matrix=matrix) <= 2
        assert _error(image, matrix=matrix, limited=True) <= 3
        assert _error(image, matrix=matrix, depth=12) == 0
        assert _error(image, matrix=matrix, depth=12, limited=True) == 0


@relaxed
@given(
    st.integers(0, 255), st.sampled_from(["bt601", "bt709"]), st.sampled_from(["4:4:4", "4:2:0"])
)
def test_gray_survives_full_range(level: int, matrix: str, chroma: str):
    """A flat gray is exact in full range, whatever the chroma format and gamma."""
    image = np.full((5, 7, 3), level, np.uint8)

    assert _error(image, matrix=matrix, chroma=chroma, chroma_gamma=0.8) == 0
    assert _error(image, matrix=matrix, chroma=chroma, limited=True) <= 1


@pytest.mark.parametrize(
    ("colours", "limited", "expected"),
    [
        ((0, 0, 0), True, (16, 128, 128)),
        ((255, 255, 255), True, (235, 128, 128)),
        ((255, 0, 0), True, (81, 90, 240)),
        ((0, 255, 0), True, (145, 54, 34)),
        ((0, 0, 255), True, (41, 240, 110)),
        ((255, 255, 255), False, (255, 128, 128)),
        ((255, 0, 0), False, (76, 85, 255)),
        ((0, 0, 255), False, (29, 255, 107)),
    ],
)
def test_primaries_have_the_standards_codes(colours: tuple, limited: bool, expected: tuple):
    """The 8-bit BT.601 codes of the primaries are the well-known ones, in either range."""
    image = np.full((1, 1, 3), colours, np.uint8)
    scales = colour._scales(8, limited=limited)
    planes = colour._quantise(image, "bt601", "4:4:4", scales, 1.0)

    assert expected == tuple(int(plane[0, 0]) for plane in planes)


def test_video_range_scales_with_depth():
    """At 10 bits video range is four times that of 8 bits; full range ends at 1023."""
    image = np.full((1, 1, 3), 255, np.uint8)
    for limited, white in ((True, 940), (False, 1023)):
        scales = colour._scales(10, limited=limited)
        planes = colour._quantise(image, "bt709", "4:4:4", scales, 1.0)

        assert (white, 512, 512) == tuple(int(plane[0, 0]) for plane in planes)


def test_video_range_equals_scikit_image(photo: Image):
    """The video-range BT.601 planes are those of scikit-image, rounded."""
    from skimage.color import rgb2ycbcr

    expected = np.moveaxis(rgb2ycbcr(photo), 2, 0)
    planes = colour._quantise(photo, "bt601", "4:4:4", colour._scales(8, limited=True), 1.0)
    for ours, theirs in zip(planes, expected, strict=True):
        assert np.abs(ours - theirs).max() <= 0.505


def test_loops_compute_as_numpy_does(photo: Image):
    """The compiled loops make what the formulas in NumPy make, sample by sample."""
    red, green, blue = np.moveaxis(photo.astype(np.float64), 2, 0)
    y = 0.299 * red + (1 - 0.299 - 0.114) * green + 0.114 * blue
    cb, cr = (blue - y) / (2 - 2 * 0.114), (red - y) / (2 - 2 * 0.299)
    y = (np.rint(y * (219 / 255) + 16) - 16) / (219 / 255)
    cb, cr = ((np.rint(c * (224 / 255) + 128) - 128) / (224 / 255) for c in (cb, cr))
    red, blue = cr * (2 - 2 * 0.299) + y, cb * (2 - 2 * 0.114) + y
    green = (y - 0.299 * red - 0.114 * blue) / (1 - 0.299 - 0.114)
    expected = np.clip(np.rint(np.stack([red, green, blue], axis=-1)), 0, 255)

    assert np.array_equal(expected, colour.round_trip(photo, limited=True))


def test_bt709_weighs_green_more():
    """The luma weights are those of the two recommendations."""
    green = np.array([[[0, 255, 0]]], np.uint8)
    for matrix, weight in (("bt601", 0.587), ("bt709", 0.7152)):
        planes = colour._quantise(green, matrix, "4:4:4", colour._scales(12, limited=False), 1.0)

        assert round(weight * 4095) == planes[0][0, 0]


def test_known_ceilings(kodim):
    """On a Kodak image: rounding costs about 53 dB, video range about 51; 4:2:0 far more."""
    image = kodim(5)

    assert _psnr(image) == pytest.approx(53.2, abs=0.3)
    assert _psnr(image, matrix="bt709") == pytest.approx(53, abs=0.5)
    assert 50 < _psnr(image, limited=True) < _psnr(image)
    assert 42 < _psnr(image, chroma="4:2:0") < 45
    assert _psnr(image, depth=10) > 62


def test_chroma_is_halved_by_means_and_doubled_by_9331():
    """The down-sampling is a mean of 2x2; the up-sampling weighs 9:3:3:1, edges repeated."""
    image = np.repeat(np.arange(15, dtype=np.uint8).reshape(3, 5, 1), 3, axis=2)
    planes = np.empty((3, 2, 3))
    colour._halve(image.reshape(-1), np.arange(256.0), planes.reshape(-1), 3, 5)

    assert np.array_equal([[[3, 5, 6.5], [10.5, 12.5, 14]]] * 3, planes)
    small, row, large = np.array([0.0, 16.0, 32.0, 64.0]), np.empty(2), np.empty((2, 4))
    for r in range(2):
        colour._double_row(small, r, 2, row, large[r])
    assert np.array_equal([0, 4, 12, 16], large[0])
    assert large[1, 1] == pytest.approx((9 * 0 + 3 * 16 + 3 * 32 + 64) / 16)


def test_chroma_is_doubled_as_opencv_does(photo: Image):
    """OpenCV's bilinear resize by two gives the very samples, at edges too."""
    import cv2

    small = photo[:7, :9, 0].astype(np.float64)
    row, large = np.empty(9), np.empty((14, 18))
    for r in range(14):
        colour._double_row(small.reshape(-1), r, 7, row, large[r])

    assert np.array_equal(cv2.resize(small, (18, 14), interpolation=cv2.INTER_LINEAR), large)


def test_gamma_changes_chroma_at_edges_only():
    """Averaging under a gamma differs where neighbours differ, and nowhere else."""
    flat = np.full((4, 4, 3), (200, 30, 90), np.uint8)
    edge = flat.copy()
    edge[:, 1:] = (10, 220, 40)
    for image, differs in ((flat, False), (edge, True)):
        plain = colour.round_trip(image, chroma="4:2:0")
        curved = colour.round_trip(image, chroma="4:2:0", chroma_gamma=0.8)

        assert differs == (not np.array_equal(plain, curved))


@relaxed
@given(
    pictures, st.sampled_from(["4:4:4", "4:2:0"]), st.sampled_from([(8, False, 0.8), (10, True, 1)])
)
def test_strips_do_not_show(image: Image, chroma: str, form: tuple):
    """A picture converted two rows at a time is the one that is converted whole."""
    depth, limited, gamma = form
    options = {"chroma": chroma, "depth": depth, "limited": limited, "chroma_gamma": gamma}
    whole = colour.round_trip(image, **options)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(colour, "_STRIP_PIXELS", 1)

        assert np.array_equal(whole, colour.round_trip(image, **options))

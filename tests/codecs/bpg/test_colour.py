"""Colour conversion against a floating-point reference written from the standards."""

from __future__ import annotations

import numpy as np
import pytest

from bench.codecs.bpg import colour
from bench.codecs.bpg.container import ColorSpace, Header, PixelFormat


def quantised(planes, bit_depth):
    """Round and clamp float planes to samples."""
    top = (1 << bit_depth) - 1
    return [
        np.clip(np.rint(p), 0, top).astype(np.uint8 if bit_depth == 8 else np.uint16)
        for p in planes
    ]


@pytest.fixture(scope="module")
def colours():
    """All colours on a grid of 18 levels a channel, as a picture."""
    levels = np.arange(0, 256, 15)
    grid = np.stack(np.meshgrid(levels, levels, levels), -1).reshape(18, -1, 3)
    return grid.astype(np.uint8)


@pytest.mark.parametrize("depth", [8, 9, 10, 12])
@pytest.mark.parametrize("gray", [False, True])
def test_forward_is_the_standards_matrix(colours, depth, gray, reference_planes):
    """Planes are BT.601 full range, rounded to nearest, at every depth."""
    picture = np.repeat(colours[..., :1], 3, axis=-1) if gray else colours
    pixel_format = PixelFormat.GRAY if gray else PixelFormat.YUV444
    planes = colour.rgb_to_planes(picture, pixel_format, depth)
    exact = reference_planes(picture, Header(1, 1, pixel_format, bit_depth=depth))

    assert len(exact) == len(planes)
    for wanted, found in zip(exact, planes, strict=True):
        limit = (1 << depth) - 1
        assert np.abs(np.clip(wanted, 0, limit) - found).max() <= 0.5001


@pytest.mark.parametrize("space", list(ColorSpace))
@pytest.mark.parametrize("limited", [False, True])
@pytest.mark.parametrize("depth", [8, 9, 10, 12])
def test_every_space_comes_back(colours, space, limited, depth, reference_planes):
    """Quantised planes of every space, range and depth return within their own rounding."""
    height, width = colours.shape[:2]
    header = Header(width, height, color_space=space, limited_range=limited, bit_depth=depth)
    planes = quantised(reference_planes(colours, header), depth)
    back = colour.planes_to_rgb(planes, header)
    error = np.abs(back.astype(int) - colours)
    # A chroma step is worth up to 2 (1 - 0.0593) / (224/255) levels, of which half is lost, and
    # luma adds half a step.
    worst = 0.5 + (0.5 + 0.95) * (255 / 219 if limited else 1) / (1 << (depth - 8))

    assert error.max() <= int(worst)


@pytest.mark.parametrize("depth", [10, 12])
def test_deep_planes_lose_nothing(colours, depth):
    """At ten bits and more the conversion alone is lossless: its ceiling is infinite."""
    height, width = colours.shape[:2]
    planes = colour.rgb_to_planes(colours, PixelFormat.YUV444, depth)

    assert (colours == colour.planes_to_rgb(planes, Header(width, height, bit_depth=depth))).all()


def test_gray_is_exact():
    """All 256 grays survive at 8 and 10 bits, and colour planes of gray have no chroma."""
    picture = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=-1)
    for depth in (8, 10):
        header = Header(256, 1, PixelFormat.GRAY, bit_depth=depth)
        (luma,) = colour.rgb_to_planes(picture, PixelFormat.GRAY, depth)
        y, cb, cr = colour.rgb_to_planes(picture, PixelFormat.YUV444, depth)

        assert (picture == colour.planes_to_rgb([luma], header)).all()
        assert (luma == y).all()
        assert {1 << (depth - 1)} == set(np.unique(cb)) | set(np.unique(cr))


def test_extremes_do_not_overflow(luma_weights):
    """Planes at their corners, which no RGB colour reaches, clamp as a float reference does."""
    corners = np.array(np.meshgrid([0, 255], [0, 255], [0, 255])).reshape(3, 1, 8)
    for limited in (False, True):
        for space, (kr, kb) in luma_weights.items():
            header = Header(8, 1, color_space=space, limited_range=limited)
            luma, cb, cr = (plane.astype(np.float64) for plane in corners)
            luma = (luma - 16) * 255 / 219 if limited else luma
            cb, cr = (((c - 128) * 255 / 224 if limited else c - 128) for c in (cb, cr))
            red, blue = luma + 2 * (1 - kr) * cr, luma + 2 * (1 - kb) * cb
            green = (luma - kr * red - kb * blue) / (1 - kr - kb)
            wanted = np.clip(np.rint(np.stack([red, green, blue], -1)), 0, 255)
            found = colour.planes_to_rgb(list(corners.astype(np.uint8)), header)

            assert np.abs(wanted - found).max() <= 1


# --- chroma resampling ---------------------------------------------------------------------------

DOWN = np.array([2, -4, -8, 17, 57, 57, 17, -8, -4, 2]) / 128
UP = np.array([-1, 4, -10, 57, 18, -6, 2]) / 64
COSITED = np.array([-1, 4, -11, 40, 40, -11, 4, -1]) / 64


def _at(line, index):
    return line[min(max(index, 0), len(line) - 1)]


def _down_line(line):
    return np.array(
        [
            sum(DOWN[k] * _at(line, 2 * i - 4 + k) for k in range(10))
            for i in range((len(line) + 1) // 2)
        ]
    )


def _up_line(line, length, cosited):
    out = np.empty(2 * len(line))
    for i in range(len(line)):
        window = np.array([_at(line, i - 3 + k) for k in range(7)])
        out[2 * i] = line[i] if cosited else UP[::-1] @ window
        odd = np.array([_at(line, i - 3 + k) for k in range(8)])
        out[2 * i + 1] = COSITED @ odd if cosited else UP @ window
    return out[:length]


SHAPES = [(1, 1), (1, 7), (2, 2), (13, 8), (35, 33)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("depth", [8, 10])
def test_halving(rng, shape, depth):
    """4:2:0 chroma is the ten-tap filter across, then down, to within rounding."""
    picture = rng.integers(0, 256, (*shape, 3), dtype=np.uint8)
    full = colour.rgb_to_planes(picture, PixelFormat.YUV444, depth)
    half = colour.rgb_to_planes(picture, PixelFormat.YUV420, depth)

    assert (full[0] == half[0]).all()
    for large, small in zip(full[1:], half[1:], strict=True):
        exact = np.apply_along_axis(_down_line, 1, large.astype(float))
        exact = np.apply_along_axis(_down_line, 0, exact).clip(0, (1 << depth) - 1)
        assert exact.shape == small.shape
        assert np.abs(exact - small).max() <= 0.8


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("depth", [8, 10, 12])
@pytest.mark.parametrize(
    "pixel_format",
    [
        PixelFormat.YUV420,
        PixelFormat.YUV422,
        PixelFormat.YUV420_VIDEO,
        PixelFormat.YUV422_VIDEO,
    ],
)
def test_doubling(rng, shape, depth, pixel_format):
    """Chroma of every format and phase is filtered up to within rounding, padding unseen."""
    height, width = shape
    header = Header(width, height, pixel_format, bit_depth=depth)
    half_rows, _ = pixel_format.halved
    rows, columns = -(-height // 2) if half_rows else height, -(-width // 2)
    top = (1 << depth) - 1
    true = rng.integers(0, top + 1, (rows, columns)).astype(colour.sample_type(depth))
    padded = np.pad(true, ((0, 4), (0, 4)), constant_values=top)
    exact = true.astype(float)
    if half_rows:
        exact = np.apply_along_axis(_up_line, 0, exact, height, cosited=False)
    exact = np.apply_along_axis(_up_line, 1, exact, width, cosited=pixel_format.cosited)
    found = colour._chroma_rows(padded, header, 0, height)

    assert exact.shape == found.shape
    assert np.abs(exact.clip(0, top) - found).max() <= 0.8


@pytest.mark.parametrize("pixel_format", [PixelFormat.YUV420, PixelFormat.YUV444])
def test_strips_do_not_show(rng, monkeypatch, pixel_format):
    """Cutting the work into strips of rows changes no sample, neither way."""
    picture = rng.integers(0, 256, (37, 29, 3), dtype=np.uint8)
    header = Header(29, 37, pixel_format)
    whole = colour.rgb_to_planes(picture, pixel_format, 8)
    monkeypatch.setattr(colour, "_STRIP_PIXELS", 29 * 6)
    cut = colour.rgb_to_planes(picture, pixel_format, 8)
    back = colour.planes_to_rgb(whole, header)
    monkeypatch.undo()

    assert all((a == b).all() for a, b in zip(whole, cut, strict=True))
    assert (colour.planes_to_rgb(whole, header) == back).all()

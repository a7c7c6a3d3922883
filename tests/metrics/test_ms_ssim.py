"""MS-SSIM against pytorch_msssim itself, on real images and at the edges.

The judge is pytorch_msssim run in float64: its definition without its rounding. In float32, as it
is used, E[x^2] - E[x]^2 cancels on flat areas, and its own value moves by up to 5e-5 with the
convolution it is given (kodim20 at JPEG quality 5, oneDNN on or off); usually it keeps to 1e-5.
"""

from __future__ import annotations

import math
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO

import numpy as np
import pytest
from PIL import Image as PILImage
from python_loops import in_python

from bench import image
from bench.errors import MetricError
from bench.metrics import Undefined, create
from bench.metrics import _ms_ssim_loops as loops
from bench.metrics import ms_ssim as module

MS_SSIM = create("ms_ssim")


def jpeg(pixels, quality):
    """Return ``pixels`` after JPEG."""
    buffer = BytesIO()
    PILImage.fromarray(pixels).save(buffer, "JPEG", quality=quality)
    return np.array(PILImage.open(buffer))


def theirs(reference, decoded, *, exact=False):
    """Return pytorch_msssim's value, in float32 or in float64."""
    import pytorch_msssim
    import torch

    dtype = torch.float64 if exact else torch.float32
    pair = [
        torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1)[None].to(dtype)
        for pixels in (reference, decoded)
    ]
    window = None
    if exact:  # the default window is rounded to float32
        taps = torch.exp(-(torch.arange(-5, 6, dtype=dtype) ** 2) / 4.5)
        window = (taps / taps.sum()).repeat(3, 1, 1, 1)
    return float(pytorch_msssim.ms_ssim(*pair, data_range=255, win=window))


@pytest.mark.parametrize(
    "number", [*range(1, 4), *(pytest.param(n, marks=pytest.mark.slow) for n in range(4, 25))]
)
def test_kodak(kodim, number):
    """Every Kodak image, at a low, a middling or a high JPEG quality, is right to 1e-8."""
    reference = kodim(number)
    decoded = jpeg(reference, (5, 40, 92)[number % 3])

    assert theirs(reference, decoded, exact=True) == pytest.approx(
        MS_SSIM(reference, decoded), rel=0, abs=1e-8
    )


@pytest.mark.slow
def test_kodak_as_published(kodim):
    """The mean over Kodak equals that of pytorch_msssim in float32 to 1e-5, each image to 2e-5."""
    pairs = [(kodim(number), jpeg(kodim(number), 30)) for number in range(1, 25)]
    ours = np.array([MS_SSIM(*pair) for pair in pairs])
    published = np.array([theirs(*pair) for pair in pairs])

    assert published == pytest.approx(ours, rel=0, abs=2e-5)
    assert published.mean() == pytest.approx(ours.mean(), rel=0, abs=1e-5)


@pytest.mark.parametrize("number", [9, 12, 20, 22])
def test_flat_areas(kodim, number):
    """Bright skies at the worst JPEG quality, where float32 loses most, are right to 1e-8."""
    reference = kodim(number)
    decoded = jpeg(reference, 1)

    assert theirs(reference, decoded, exact=True) == pytest.approx(
        MS_SSIM(reference, decoded), rel=0, abs=1e-8
    )


@pytest.mark.slow
def test_clic(clic2025_dir):
    """Images of two megapixels and odd sides equal pytorch_msssim too."""
    for path in sorted(clic2025_dir.glob("*.png"))[:2]:
        reference = image.load(path)
        decoded = jpeg(reference, 20)

        assert theirs(reference, decoded) == pytest.approx(
            MS_SSIM(reference, decoded), rel=0, abs=1e-5
        )


@pytest.mark.parametrize(
    ("height", "width"),
    [(161, 161), (161, 163), (177, 200), (200, 177), (162, 451), (300, 161), (255, 319)],
)
def test_sizes(photo, height, width):
    """Odd sides at any scale are padded as pytorch_msssim pads them."""
    reference = photo[:height, :width]
    decoded = jpeg(np.ascontiguousarray(reference), 30)

    assert theirs(reference, decoded, exact=True) == pytest.approx(
        MS_SSIM(reference, decoded), rel=0, abs=1e-8
    )
    assert theirs(reference, decoded) == pytest.approx(MS_SSIM(reference, decoded), rel=0, abs=1e-5)


def _hard_cases(photo, rng):
    flat = np.full_like(photo, 200)
    gray = np.repeat(photo[..., 1:2], 3, axis=2)
    return {
        "gray": (gray, jpeg(gray, 10)),
        "noise": (photo, rng.integers(0, 256, photo.shape, dtype=np.uint8)),
        "black": (photo, np.zeros_like(photo)),
        "white": (photo, np.full_like(photo, 255)),
        "negative": (photo, ~photo),
        "one level": (photo, photo ^ 1),
        "flat": (flat, flat + np.uint8(1)),
        "black and white": (flat * 0, flat * 0 + np.uint8(255)),
        "swapped channels": (photo, photo[..., ::-1]),
    }


@pytest.mark.parametrize(
    "case",
    [
        "gray",
        "noise",
        "black",
        "white",
        "negative",
        "one level",
        "flat",
        "black and white",
        "swapped channels",
    ],
)
def test_hard_cases(photo, rng, case):
    """Gray, flat, inverted and unrelated images meet the definition in float64 to 1e-5.

    A difference of 255 everywhere loses more in float32; pytorch_msssim itself loses 5e-5 there.
    """
    reference, decoded = _hard_cases(photo, rng)[case]

    assert theirs(reference, decoded, exact=True) == pytest.approx(
        MS_SSIM(reference, decoded), rel=0, abs=5e-5 if case == "black and white" else 1e-5
    )


def test_equal_images_are_exactly_one(photo):
    """Equal images give 1 without rounding, and inf dB."""
    value = MS_SSIM(photo, photo.copy())

    assert value == 1
    assert math.inf == module.to_db(value)


def test_negative_structure_is_zero(photo):
    """A negative has negative structure at some scale: 0, not NaN."""
    assert MS_SSIM(photo, ~photo) == 0


def test_never_above_one():
    """Rounding never lifts a value above 1, where decibels would be undefined."""
    flat = np.full((170, 170, 3), 255, np.uint8)
    for level in range(250, 255):
        assert MS_SSIM(flat, np.full_like(flat, level)) <= 1


@pytest.mark.parametrize("shape", [(160, 161), (161, 160), (1, 1), (16, 2000)])
def test_too_small(photo, shape):
    """Under 161 pixels on a side the metric is undefined, and says so with the size."""
    height, width = shape
    reference = np.resize(photo, (height, width, 3))

    with pytest.raises(Undefined, match=f"161 pixels a side, found {width}x{height}"):
        MS_SSIM.prepare(reference)


def test_other_shape_is_refused(photo):
    """A decoded image of another shape is an error, not a broadcast."""
    with pytest.raises(MetricError, match="different shapes"):
        MS_SSIM(photo, photo[:, 1:])


def test_state_is_reusable(photo):
    """Scoring changes neither the state nor the images."""
    decoded = jpeg(photo, 25)
    kept = photo.copy(), decoded.copy()
    state = MS_SSIM.prepare(photo)

    assert MS_SSIM.score(state, decoded) == MS_SSIM.score(state, decoded)
    assert MS_SSIM(photo, decoded) == MS_SSIM.score(state, decoded)
    assert np.array_equal(kept, (photo, decoded))


def test_threads_do_not_share_memory(photo):
    """Pictures that are scored at the same time score as they do one after the other."""
    decoded = [jpeg(photo, quality) for quality in (5, 40, 75, 95)] * 4
    state = MS_SSIM.prepare(photo)
    alone = [MS_SSIM.score(state, one) for one in decoded]

    with ThreadPoolExecutor(4) as pool:
        assert alone == list(pool.map(lambda one: MS_SSIM.score(state, one), decoded))


@pytest.mark.parametrize("width", [161, 170, 225])
def test_memory_that_was_others_shows_nowhere(photo, monkeypatch, width):
    """Tiles end in the middle of what is worked out at once: nothing beyond is added up."""
    reference = np.ascontiguousarray(photo[:163, :width])
    decoded = jpeg(reference, 25)
    usual, empty = MS_SSIM(reference, decoded), np.empty

    def poisoned(*args, **kwargs):
        found = empty(*args, **kwargs)
        return np.full_like(found, np.nan) if found.dtype.kind == "f" else found

    monkeypatch.setattr(np, "empty", poisoned)

    assert usual == MS_SSIM(reference, decoded)


@pytest.mark.parametrize(("height", "width"), [(11, 11), (12, 27), (79, 75)])
def test_nothing_beyond_a_picture_is_read(rng, monkeypatch, height, width):
    """In Python, where too short a piece of an array is an error, loops give the same."""
    x, y = rng.integers(0, 256, (2, height, width, 3), np.uint8)
    for name in ("_reference_tiles", "_add_tiles"):
        monkeypatch.setattr(loops, name, in_python(getattr(loops, name)))
    slow = _sums(x, y)
    monkeypatch.undo()

    assert _sums(x, y) == pytest.approx(slow, rel=1e-4)


def _sums(x, y):
    """Return the sums of both forms under all windows, in full tiles and in parts of them."""
    width = 3 * x.shape[1]
    maps = loops.reference(x.reshape(-1), width)
    found = [
        loops.deficits(x.reshape(-1), y.reshape(-1), maps, width, coarsest=coarsest)
        for coarsest in (False, True)
    ]
    return np.ravel(found)


def test_large_images_take_the_frugal_path(photo, monkeypatch):
    """Recomputing the reference's maps, as for very large images, changes no bit."""
    decoded = jpeg(photo, 25)
    usual = MS_SSIM(photo, decoded)
    monkeypatch.setattr(module, "_KEEP_PIXELS", 0)

    assert usual == MS_SSIM(photo, decoded)


@pytest.mark.parametrize("samples", [1, 20_000, 1 << 30])
def test_strips_do_not_show(photo, monkeypatch, samples):
    """The height of the strips is a matter of speed only."""
    decoded = jpeg(photo, 25)
    usual = MS_SSIM(photo, decoded)
    monkeypatch.setattr(module, "_STRIP_SAMPLES", samples)

    assert usual == pytest.approx(MS_SSIM(photo, decoded), rel=0, abs=1e-9)


def test_decibels():
    """MS-SSIM in dB is -10 log10(1 - x)."""
    assert module.to_db(0.99) == pytest.approx(20)
    assert module.to_db(0.0) == 0
    assert math.inf == module.to_db(1.0)


def test_needs_no_torch():
    """Workers that score MS-SSIM and PSNR alone never pay for importing torch, nor numba."""
    MS_SSIM(np.zeros((161, 161, 3), np.uint8), np.zeros((161, 161, 3), np.uint8))  # compiles
    code = (
        "import sys, numpy as np; from bench.metrics import create; x = np.zeros((161,161,3),'u1');"
        "create('ms_ssim')(x, x + 9); create('psnr')(x, x + 9);"
        "sys.exit(bool({'torch', 'numba'} & {*sys.modules}))"
    )

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

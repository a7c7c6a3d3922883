"""Small inputs that once gave a wrong curve, measured as a user would and checked by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PILImage
from skimage import data

from bench.analysis import summary
from bench.analysis.published_curves import not_drawn
from bench.measurement.results import Results
from bench.measurement.run import run

Measure = Callable[..., Results]


@pytest.fixture
def measure(tmp_path: Path) -> Measure:
    """Return a function that measures pictures in a folder, by PSNR and MS-SSIM."""

    def go(pictures: dict[str, np.ndarray], codecs: list[str], **options: object) -> Results:
        for name, pixels in pictures.items():
            PILImage.fromarray(np.ascontiguousarray(pixels)).save(tmp_path / f"{name}.png")
        return run(
            [f"folder:{tmp_path}"], codecs, ["psnr", "ms_ssim"], jobs=1, **{"points": 4} | options
        )

    return go


def test_rate_and_quality_of_a_point_are_of_the_same_images(measure: Measure):
    """The noise without MS-SSIM is in no point of its curve: 0.552 bpp, not 1.675."""
    noise = np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    pictures = {"photo": data.astronaut()[:256, :256], "thumb": noise}

    results = measure(pictures, ["jpeg", "webp"], points=None, quality=[20, 40, 60, 80])
    means = results.summary()

    jpeg = summary.curve(means, "jpeg", "ms_ssim_db")
    assert 4 == len(jpeg)
    assert (0.552, 15.04) == pytest.approx(tuple(jpeg[0]), abs=0.005)
    first = means[(means["codec"] == "jpeg")].sort_values("bpp").iloc[0]
    assert (2, 1, 1.675) == (
        first["images_psnr_db"],
        first["images_ms_ssim"],
        pytest.approx(first["bpp"], abs=0.001),
    )
    lost = summary.left_out(results.rows).to_dict("records")
    assert [("ms_ssim", "thumb.png")] == [(one["metric"], one["image"]) for one in lost]
    assert "not defined under 161 pixels a side, found 64x64" in lost[0]["reason"]


def test_one_flat_image_costs_itself(measure: Measure):
    """The white picture leaves PSNR and MS-SSIM by name, beside a codec without loss too."""
    astronaut, coffee, cat = data.astronaut(), data.coffee(), data.chelsea()
    pictures = {
        "photo0": astronaut[:192, :192],
        "photo1": astronaut[200:392, 200:392],
        "photo2": coffee[:192, :192],
        "photo3": coffee[100:292, 200:392],
        "photo4": cat[:192, :192],
        "photo5": cat[50:242, 100:292],
        "white": np.full((192, 192, 3), 255, np.uint8),
    }

    results = measure(pictures, ["jpeg", "webp", "null"])

    lost = summary.left_out(results.rows)
    assert {("psnr_db", "white.png"), ("ms_ssim", "white.png")} == set(
        zip(lost["metric"], lost["image"], strict=True)
    )
    deltas = results.bd_rates("jpeg")
    webp = deltas[deltas["codec"] == "webp"]
    assert 6 == len(webp)
    assert (webp["bd_rate_percent"] < 0).all()
    assert webp.loc[webp["method"] == "pchip", "ci_low"].notna().all()
    means = results.summary()
    assert {6} == set(means["images_psnr_db"])
    assert {7} == set(means["images"])


def test_a_metric_hides_no_other(measure: Measure):
    """PSNR is infinite for a picture of two colours; the MS-SSIM of the photograph is drawn."""
    pair = np.repeat(np.repeat(np.array([[0, 255]], np.uint8), 2, 0), 4, 1)[..., None].repeat(3, 2)

    results = measure({"photo": data.astronaut()[:256, :256], "bw": pair}, ["jpeg", "webp"])

    means = results.summary()
    for codec in ("jpeg", "webp"):
        curve = summary.curve(means, codec, "ms_ssim_db")
        assert 4 == len(curve)
        assert (curve[:, 0] < 3).all()
    drawn = summary.drawn_rates(means)
    assert {"psnr_db", "ms_ssim_db"} == set(next(iter(drawn.values())))
    assert [] == not_drawn([], drawn)

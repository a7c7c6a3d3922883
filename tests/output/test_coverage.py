"""What is left out of means is said: in tables, plots, and with the reason."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pandas as pd
import pytest

from bench.analysis.published_curves import Reference
from bench.analysis.summary import summarise
from bench.output import plots, reported_rates, tables
from bench.output.coverage import coverage, listed, of_text


def row(image: str, codec: str, step: int, **scores: float) -> dict[str, object]:
    """Return a cell of a folder of pictures."""
    return {
        "dataset": "folder:mix",
        "image": image,
        "codec": codec,
        "label": f"{codec} (x 1)",
        "setting": f'{{"quality":{step}}}',
        "bytes": 1000.0,
        "bpp": 1.0,
        "width": 768.0,
        "height": 512.0,
        "error": "",
        **scores,
    }


@pytest.fixture
def mix() -> pd.DataFrame:
    """One photograph with MS-SSIM, three stamps without: rates of the stamps are four times it."""
    found = []
    for codec, gain in (("jpeg", 0.0), ("webp", 3.0)):
        for step in range(4):
            rate = 0.4 * 1.6**step
            found.append(row("photo.png", codec, step, bpp=rate, psnr_db=30 + gain + 2 * step))
            found[-1]["ms_ssim"] = 0.9 + 0.02 * step
            for name in ("a.png", "b.png", "c.png"):
                stamp = row(name, codec, step, bpp=4 * rate, psnr_db=28 + gain + 2 * step)
                found.append(stamp | {"width": 64.0, "height": 64.0, "ms_ssim": math.nan})
    return pd.DataFrame(found)


def test_a_curve_has_rate_and_quality_of_the_same_images(mix: pd.DataFrame):
    """MS-SSIM over the photograph stands at the photograph's rate, not at the mean rate."""
    means = summarise(mix)

    [curve] = [c for c in plots.measured_curves(means, "ms_ssim_db").values() if c.label == "jpeg"]
    assert pytest.approx([0.4 * 1.6**step for step in range(4)]) == list(curve.points[:, 0])
    [psnr] = [c for c in plots.measured_curves(means, "psnr_db").values() if c.label == "jpeg"]
    assert pytest.approx(0.4 * 13 / 4) == psnr.points[0, 0]


def test_tables_give_a_metric_of_fewer_images_its_own_rate(mix: pd.DataFrame, tmp_path: Path):
    """A column of rates before MS-SSIM, the count in its head, the images in a note."""
    tables.write_all(mix, tmp_path, provenance={})

    text = (tmp_path / "tables" / "folder_mix_rd.md").read_text()
    head = next(line for line in text.splitlines() if line.startswith("| Codec"))
    first = next(line for line in text.splitlines() if line.startswith("| jpeg"))
    cells = dict(
        zip(*([c.strip() for c in line.split("|")] for line in (head, first)), strict=True)
    )
    assert "1.300" == cells["bpp \u2193"]
    assert "0.400" == cells["bpp \u2193 (1 of 4 images, MS-SSIM)"]
    assert "10.00" == cells["MS-SSIM (dB) \u2191"]
    assert "means over 4 images" in text
    assert re.search(r"Left out of the means of MS-SSIM: a\.png, b\.png, c\.png: .*64x64", text)
    rates = (tmp_path / "tables" / "folder_mix_bd_rate.md").read_text()
    assert "MS-SSIM (dB), 1 of 4 images" in rates
    assert re.search(r"Left out of the means of MS-SSIM: a\.png", rates)


def test_plots_say_over_how_many_images_and_why(mix: pd.DataFrame, tmp_path: Path):
    """The heading counts, the small print names."""
    plots.write_all(mix, tmp_path, provenance={})

    svg = (tmp_path / "plots" / "folder_mix_ms_ssim_db_log.svg").read_text()
    words = " ".join(re.findall(r"<text[^>]*>([^<]*)</text>", svg))
    assert "folder:mix, mean of 1 of 4 images" in words
    assert "Left out of the means of MS-SSIM: a.png, b.png, c.png" in words
    assert "decibels of the mean MS-SSIM" in words
    whole = (tmp_path / "plots" / "folder_mix_psnr_db_log.svg").read_text()
    assert "folder:mix, mean of 4 images" in whole
    assert "Left out" not in whole


def test_a_curve_is_left_out_only_where_its_own_metric_is_infinite(tmp_path: Path):
    """A codec that is exact in one metric is drawn in the other, and named where it is not."""
    found = [
        row(name, codec, step, bpp=0.3 * 1.5**step, psnr_db=30.0 + step, ms_ssim=0.95 + 0.01 * step)
        for name in ("a.png", "b.png")
        for codec in ("jpeg", "webp")
        for step in range(4)
    ]
    frame = pd.DataFrame(found)
    frame.loc[frame["codec"] == "webp", "psnr_db"] = math.inf

    plots.write_all(frame, tmp_path, provenance={})

    texts = {
        metric: re.findall(
            r"<text[^>]*>([^<]*)</text>",
            (tmp_path / "plots" / f"folder_mix_{metric}_linear.svg").read_text(),
        )
        for metric in ("psnr_db", "ms_ssim_db")
    }
    assert {"jpeg", "webp"} <= set(texts["ms_ssim_db"])
    assert "webp" not in texts["psnr_db"]
    assert "not drawn: webp (lossless)" in " ".join(texts["psnr_db"])


def test_a_setting_tried_on_few_images_is_said_to_be_set_aside(mix: pd.DataFrame):
    """It takes part in no mean, and every table says so."""
    few = row("photo.png", "webp", 9, bpp=9.0, psnr_db=50.0, ms_ssim=0.99)

    covered = coverage(pd.concat([mix, pd.DataFrame([few])], ignore_index=True))["folder:mix"]

    assert "Set aside: webp at quality 9, tried on 1 of 4 images." in covered.reasons(["psnr_db"])
    assert "4 images" == covered.images("psnr_db")


def test_counts_and_names_in_words():
    """Nothing is said of a part where it is the whole; long lists are cut."""
    assert ["1 image", "24 images", "0 of 1 image"] == [
        of_text(1, 1),
        of_text(24, 24),
        of_text(0, 1),
    ]
    assert "0, 1, 2, 3, 4, 5, 6, 7 and 2 more" == listed([str(i) for i in range(10)])


@pytest.mark.parametrize(
    ("reference", "why"),
    [
        (
            Reference("V", "kodak", {"psnr_db": [(0.5, 30.0)]}),
            "it is of the dataset kodak, and the results",
        ),
        (
            Reference("V", "folder:mix", {"lpips_alex": [(0.5, 0.1)]}),
            "its LPIPS (alex) is not drawn: it was not measured",
        ),
        (Reference("V", "folder:mix", {"psnr_db": [(99.0, 30.0)]}), "outside of what was measured"),
        (
            Reference("V", "folder:mix", {"ms_ssim_db": [(0.5, 12.0)]}),
            "and the results are over 1 of 4 images",
        ),
    ],
    ids=["dataset", "metric", "rates", "images"],
)
def test_a_reference_that_is_not_drawn_says_why(mix: pd.DataFrame, reference: Reference, why: str):
    """One line, with every reason."""
    [line] = reported_rates.undrawn(mix, [reference])

    assert "is not drawn: " in line
    assert why in line


def test_a_reference_that_is_drawn_needs_no_word(mix: pd.DataFrame):
    """In one plot is enough."""
    drawn = Reference("V", "folder:mix", {"psnr_db": [(1.5, 30.0), (3.0, 33.0)]})

    assert [] == reported_rates.undrawn(mix, [drawn])

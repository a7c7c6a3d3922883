"""The last lines of a run: who needs how many bits, and what helps where that is not known."""

from __future__ import annotations

import math
from collections.abc import Mapping

import pandas as pd
import pytest

from bench.analysis import summary
from bench.output import headline

CURVES = {"bpg": 34.0, "jpeg": 28.0, "agvae": 35.0}


def rows(
    points: int = 6,
    images: int = 3,
    codecs: tuple[str, ...] = tuple(CURVES),
    curves: Mapping[str, float] = CURVES,
) -> pd.DataFrame:
    """Smooth curves of PSNR and MS-SSIM; every codec has ``points`` settings."""
    return pd.DataFrame(
        {
            "dataset": "kodak",
            "image": f"{image}.png",
            "codec": codec,
            "label": f"{codec} (x 1)",
            "setting": f'{{"quality":{step}}}',
            "bytes": 1000.0,
            "bpp": 0.1 * 1.5**step * (1 + image / 10),
            "psnr_db": curves[codec] + 2.4 * step + image,
            "ms_ssim": 1 - 10 ** (-(curves[codec] - 20 + 2 * step + image) / 10),
            "error": "",
        }
        for codec in codecs
        for step in range(points)
        for image in range(images)
    )


def said(frame: pd.DataFrame, dataset: str = "kodak") -> list[str]:
    """Return the headline of rows."""
    return headline.lines(summary.bd_table(frame), dataset, frame)


def test_a_codec_a_line_the_best_first():
    """Columns line up, rates carry their sign, the count of images stands in the first line."""
    first, names, best, worst = said(rows())[5:9]

    assert (
        "kodak: bits at equal quality, against bpg (BD-rate; negative is better), 3 images" == first
    )
    assert "PSNR-RGB  MS-SSIM" == " ".join(names.split()).replace(" ", "  ")
    assert ["agvae", "jpeg"] == [line.split()[0] for line in (best, worst)]
    assert "\N{MINUS SIGN}" in best
    assert "+" in worst
    assert 1 == len({len(line) for line in (best, worst)})


def test_a_point_of_each_codec_at_about_one_rate():
    """The small table has every metric, and the BD-rate with its interval or why it has none."""
    frame = rows(images=6)
    first, names, *lines = said(frame)[:5]
    target = frame[frame["codec"] == "bpg"].groupby("setting")["bpp"].mean().iloc[2]

    assert f"kodak, 6 images: the point of each codec nearest to {target:.3g} bpp" == first
    assert "bpp PSNR MS-SSIM BD-rate (PSNR)" == " ".join(names.split())
    assert ["agvae", "bpg", "jpeg"] == [line.split()[0] for line in lines]
    assert [f"{target:.3f}"] * 3 == [line.split()[1] for line in lines]
    assert lines[1].endswith("anchor")
    assert all("%" in line and line.endswith("]") for line in (lines[0], lines[2]))
    assert not any("no interval" in line for line in said(frame))
    assert 1 == said(rows(images=3)).count("no interval: 3 image(s), 5 needed")


def test_the_common_rate_is_where_the_codecs_are_nearest():
    """Not the middle of the anchor's points, where the other one's are elsewhere; and it is said.

    Qualities at 0.437 and 0.771 bpp, as a quick run of JPEG and WebP has them, invite a wrong
    comparison; at 1.1 bpp they lie nearer, and how far apart they are stands above them.
    """
    rates = {"jpeg": (0.24, 0.44, 1.1, 2.2), "webp": (0.13, 0.24, 0.77, 1.9)}
    frame = rows(points=4, codecs=("jpeg", "webp"), curves={"jpeg": 28.0, "webp": 31.0})
    step = frame["setting"].str.extract(r"(\d)")[0].astype(int)
    frame["bpp"] = [rates[c][s] for c, s in zip(frame["codec"], step, strict=True)]
    first, _, *lines = said(frame)[:4]

    assert first.endswith("nearest to 1.1 bpp; they differ by up to 43 % in rate")
    assert {"jpeg": "1.100", "webp": "0.770"} == {x.split()[0]: x.split()[1] for x in lines}


def test_one_metric_has_one_table():
    """The second table would repeat the first."""
    assert not any("negative is better" in line for line in said(rows().drop(columns="ms_ssim")))


def test_one_codec_has_its_points_alone():
    """With nothing to compare there is no BD-rate; of another dataset there is nothing to say."""
    assert [] == said(rows(), "sample")
    first, names, line = said(rows(codecs=("jpeg",)))

    assert first.startswith("kodak, 3 images: ")
    assert "BD-rate" not in names
    assert line.split()[0] == "jpeg"


def test_a_missing_rate_says_why():
    """A dash in a table is explained below it, codecs of one reason together."""
    frame = rows(points=5)
    lost = (frame["codec"] == "jpeg") & frame["setting"].str.contains("[234]")
    lines = said(frame[~lost])
    [reason] = [line for line in lines if line.startswith("- for jpeg (PSNR-RGB, against bpg): ")]

    assert any(line.split()[:1] == ["jpeg"] and line.endswith("-") for line in lines)
    assert "needs at least 4 points" in reason


def test_too_few_points_are_told_how_to_get_more():
    """Two settings a codec: the reason, and the options that give four."""
    lines = said(rows(points=2))[5:]

    assert 2 == len(lines)
    for line in lines:
        assert "needs at least 4 points" in line
        assert line.endswith(
            "; measure more settings of each codec: --points 4, or without --quick"
        )


def test_who_measured_four_points_is_not_told_to_measure_four():
    """Four settings of which some have no result: the way to the failures, not to --points."""
    frame = rows(points=4)
    lost = (frame["codec"] != "bpg") & frame["setting"].str.contains("[23]")
    frame.loc[lost, "error"] = "crashed: x"

    lines = said(frame)

    assert any("needs at least 4 points" in line for line in lines)
    assert not any("--points" in line or "--quick" in line for line in lines)
    assert any("see the table of failures" in line for line in lines)


@pytest.mark.parametrize("value", [math.inf, 1.0])
def test_exact_copies_are_told_to_lower_the_quality(value: float):
    """All points lossless in a metric: that metric has a line, the other one its column."""
    column = "psnr_db" if math.isinf(value) else "ms_ssim"
    frame = rows(points=4)
    frame.loc[(frame["codec"] != "bpg") & ~frame["setting"].str.contains("0"), column] = value

    lines = said(frame)

    told = [line for line in lines if "not computable" in line and line[0] != "-"]
    assert 1 == len(told)
    assert "--points" not in told[0]
    assert "measure lower qualities with --quality" in told[0]
    assert any("BD-rate (" in line for line in lines)


def test_an_image_that_costs_a_metric_is_named():
    """A flat picture is coded exactly: PSNR is over the others, and says so."""
    frame = rows(points=5, images=4)
    frame.loc[(frame["image"] == "3.png") & (frame["codec"] == "jpeg"), "psnr_db"] = math.inf

    lines = said(frame)

    assert "PSNR-RGB: means over 3 of 4 images" in lines
    assert any(line.startswith("Left out of the means of PSNR-RGB: 3.png: ") for line in lines)
    assert lines[0].startswith("kodak, 4 images: ")


def test_an_image_that_one_codec_lacks_is_named_with_the_reason():
    """A failure costs the image for all codecs; the terminal says so."""
    frame = rows(points=5)
    frame.loc[(frame["image"] == "1.png") & (frame["codec"] == "agvae"), "error"] = "timed out: 5 s"

    lines = said(frame)

    assert lines[0].startswith("kodak, 2 of 3 images: ")
    assert "Left out of every mean: 1.png (agvae, up to 5 settings: timed out: 5 s)." in lines

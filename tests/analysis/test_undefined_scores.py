"""Infinite, undefined and missing scores cost their images, alike for every codec."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st
from made_rows import IMAGES, cell, exact, grid, replaced

from bench.analysis import summary
from bench.analysis.bjontegaard import Cause


def test_an_infinite_value_costs_its_image_for_every_codec():
    """A flat image leaves the means of PSNR and MS-SSIM, named, and nothing else is lost."""
    rows = replaced(grid(), *(exact(IMAGES[0], "jpeg", q) for q in (20, 40, 80)))

    means, lost = summary.summarise(rows), summary.left_out(rows)

    assert [("psnr_db", IMAGES[0]), ("ms_ssim", IMAGES[0])] == list(
        zip(lost["metric"], lost["image"], strict=True)
    )
    assert lost["reason"].iloc[0] == "PSNR-RGB is infinite (an exact copy) at 3 of 15 points (jpeg)"
    for name, images in {"psnr_db": 5, "ms_ssim": 5, "ms_ssim_db": 5, "lpips_alex": 6}.items():
        assert {images} == set(means[f"images_{name}"])
        assert np.isfinite(means[name]).all()
    bpg = means[means["codec"] == "bpg"].iloc[0]
    kept = [cell(i, "bpg", 5) for i in IMAGES[1:]]
    assert math.isclose(sum(c["bpp"] for c in kept) / 5, bpg["bpp_psnr_db"])
    assert math.isclose(sum(c["psnr_db"] for c in kept) / 5, bpg["psnr_db"])
    assert math.isclose(sum(cell(i, "bpg", 5)["bpp"] for i in IMAGES) / 6, bpg["bpp"])
    deltas = summary.bd_table(rows, quality=True)
    assert deltas["bd_rate_percent"].notna().all()
    assert {""} == set(deltas["cause"])


def test_a_lossless_codec_costs_the_others_nothing():
    """A point that is an exact copy of every image is set aside; every image stays."""
    null = pd.DataFrame([exact(i, "null", 100) for i in IMAGES])
    rows = pd.concat([grid(), null], ignore_index=True)

    means = summary.summarise(rows)

    assert summary.left_out(rows).empty
    assert {6} == set(means["images_psnr_db"])
    line = means[means["codec"] == "null"].iloc[0]
    assert (math.inf, math.inf, 0.0) == (line["psnr_db"], line["ms_ssim_db"], line["lpips_alex"])
    for metric in ("psnr_db", "ms_ssim_db", "lpips_alex"):
        assert not len(summary.curve(means, "null", metric))
        assert 5 == len(summary.curve(means, "bpg", metric))
    deltas = summary.bd_table(rows, quality=True).set_index(["codec", "metric", "method"])
    assert deltas.loc[("null", "psnr_db", "pchip"), "cause"] == Cause.FEW_POINTS
    assert deltas.loc[("jpeg", "psnr_db", "pchip"), "bd_rate_percent"] > 0


def test_lossless_top_points_are_left_out_alone():
    """Points that are exact everywhere leave the curve, whose other points stay."""
    rows = replaced(grid(), *(exact(i, "webp", q) for i in IMAGES for q in (40, 80)))

    means, deltas = summary.summarise(rows), summary.bd_table(rows, quality=True)

    assert 3 == len(summary.curve(means, "webp", "psnr_db"))
    assert {6} == set(means["images_psnr_db"])
    webp = deltas[(deltas["codec"] == "webp") & (deltas["metric"] == "psnr_db")].iloc[0]
    assert webp["cause"] == Cause.LOSSLESS
    assert "2 lossless point(s) of test left out" in webp["note"]
    assert "test has 3" in webp["note"]


def test_each_metric_has_its_own_images():
    """What is infinite in PSNR on one image keeps its MS-SSIM there."""
    rows = grid(("jpeg", "webp"), images=IMAGES[:2])
    rows.loc[(rows["image"] == IMAGES[1]) & (rows["codec"] == "webp"), "psnr_db"] = math.inf
    rows.loc[rows["image"] == IMAGES[1], "ms_ssim"] = math.nan
    rows.loc[rows["image"] == IMAGES[0], "lpips_alex"] = math.nan

    means = summary.summarise(rows)

    assert 5 == len(summary.curve(means, "webp", "ms_ssim_db"))
    lost = summary.left_out(rows).set_index("metric")["image"].to_dict()
    assert {"psnr_db": IMAGES[1], "ms_ssim": IMAGES[1], "lpips_alex": IMAGES[0]} == lost


def test_small_images_are_named_with_their_size():
    """The reason of a metric that is undefined for an image is its size, where that is known."""
    rows = grid(("jpeg",)).assign(width=64.0, height=200.0)
    rows.loc[rows["image"] != IMAGES[3], ["width"]] = 200.0
    rows.loc[rows["image"] == IMAGES[3], "ms_ssim"] = math.nan

    assert ["MS-SSIM is not defined under 161 pixels a side, found 64x200"] == list(
        summary.left_out(rows)["reason"]
    )


def test_images_that_are_all_too_small_are_named():
    """Where the metric is defined nowhere, each image says so; one never measured says nothing."""
    rows = grid(("jpeg",), images=IMAGES[:2]).assign(width=64.0, height=64.0)
    rows[["ms_ssim", "lpips_alex"]] = math.nan

    lost = summary.left_out(rows)

    assert {"ms_ssim"} == set(lost["metric"])
    assert IMAGES[:2] == list(lost["image"])
    assert "MS-SSIM is not defined under 161 pixels a side, found 64x64" == lost["reason"].iloc[0]
    assert summary.summarise(rows)["ms_ssim"].isna().all()


def test_when_no_image_is_left_the_worst_points_go():
    """Two points that are infinite on different images of two cost themselves, not the metric."""
    rows = replaced(
        grid(("jpeg",), images=IMAGES[:2]),
        exact(IMAGES[0], "jpeg", 80),
        exact(IMAGES[1], "jpeg", 40),
    )
    rows["lpips_alex"] = 0.1

    means = summary.summarise(rows)

    assert 3 == len(summary.curve(means, "jpeg", "psnr_db"))
    assert {0, 2} == set(means["images_psnr_db"])
    lost = summary.left_out(rows)
    assert ["psnr_db"] * 2 + ["ms_ssim"] * 2 == list(lost["metric"])
    assert {True} == {name.startswith("jpeg {") for name in lost["image"]}
    assert "on 1 of 2 images, and with it no image would be left" in lost["reason"].iloc[0]


def test_where_no_image_and_no_point_stands_out_all_is_named():
    """Every codec infinite on another image: there is no mean, and each image says why."""
    rows = replaced(
        grid(("jpeg", "webp"), images=IMAGES[:2]),
        *(exact(IMAGES[0], "jpeg", q) for q in (5, 10, 20, 40, 80)),
        *(exact(IMAGES[1], "webp", q) for q in (5, 10, 20, 40, 80)),
    )

    means, lost = summary.summarise(rows), summary.left_out(rows)

    assert means["psnr_db"].isna().all()
    assert {0} == set(means["images_psnr_db"])
    psnr = lost[lost["metric"] == "psnr_db"]
    assert IMAGES[:2] == list(psnr["image"])
    assert "infinite (an exact copy) at 5 of 10 points (jpeg)" in psnr["reason"].iloc[0]
    deltas = summary.bd_table(rows, quality=True).set_index(["metric", "method"])
    assert deltas.loc[("psnr_db", "pchip"), "cause"] == Cause.NO_IMAGE
    assert deltas.loc[("lpips_alex", "pchip"), "bd_rate_percent"] < 0


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=25, deadline=None)
def test_rate_and_quality_are_means_over_the_same_images(seed: int):
    """Whatever is missing or infinite where: every point of a curve is of the same images."""
    rng = np.random.default_rng(seed)
    rows = grid(("jpeg", "webp"), (5, 10, 20), IMAGES[:4])
    for name in ("psnr_db", "ms_ssim", "lpips_alex"):
        hit = rng.random(len(rows))
        rows.loc[hit < 0.05, name] = math.nan
        best = {"psnr_db": math.inf, "ms_ssim": 1.0, "lpips_alex": math.inf}[name]
        rows.loc[(0.05 < hit) & (hit < 0.1), name] = best

    means, kept = summary.summarise(rows), summary.comparable(rows)

    for metric in ("psnr_db", "ms_ssim", "lpips_alex"):
        drawn = summary.on_curve(means, metric)
        images = set()
        for line in drawn.itertuples():
            mine = kept[(kept["codec"] == line.codec) & (kept["setting"] == line.setting)]
            mine = mine[mine[metric].notna()]
            images.add(tuple(sorted(mine["image"])))
            assert math.isclose(mine["bpp"].mean(), getattr(line, f"bpp_{metric}"))
            assert math.isclose(mine[metric].mean(), getattr(line, metric))
            assert len(mine) == getattr(line, f"images_{metric}")
        assert len(images) <= 1


def test_an_undefined_metric_is_left_out_for_every_codec_alike():
    """MS-SSIM of a small image is NaN: its mean is over the others, and the count says so."""
    rows = grid(("jpeg", "bpg"))
    rows.loc[rows["image"] == IMAGES[0], "ms_ssim"] = math.nan
    hole = (rows["image"] == IMAGES[1]) & (rows["codec"] == "bpg") & (rows.index % 5 == 0)
    rows.loc[hole, "ms_ssim"] = math.nan  # not yet computed for one row

    means = summary.summarise(rows)

    jpeg = means[means["codec"] == "jpeg"].iloc[0]
    naive = [cell(i, "jpeg", 5) for i in IMAGES[2:]]
    assert math.isclose(sum(one["ms_ssim"] for one in naive) / 4, jpeg["ms_ssim"])
    assert math.isclose(sum(one["bpp"] for one in naive) / 4, jpeg["bpp_ms_ssim"])
    assert (6, 4) == (jpeg["images"], jpeg["images_ms_ssim"])
    assert 4 == summary.metric_images(summary.comparable(rows))["kodak", "ms_ssim"]
    assert 6 == summary.metric_images(summary.comparable(rows))["kodak", "psnr_db"]


def test_a_codec_without_a_metric_costs_the_others_nothing():
    """A metric that one codec lacks throughout is NaN for it and whole for the rest."""
    rows = grid(("jpeg", "bpg"))
    rows.loc[rows["codec"] == "bpg", "lpips_alex"] = math.nan

    means = summary.summarise(rows).set_index("codec")

    assert means.loc["bpg", "lpips_alex"].isna().all()
    assert means.loc["jpeg", "lpips_alex"].notna().all()
    assert 6 == summary.metric_images(summary.comparable(rows))["kodak", "lpips_alex"]


def test_missing_metric_columns_are_nan():
    """Rows without MS-SSIM and LPIPS give a summary with the columns of every default run."""
    means = summary.summarise(grid().drop(columns=["ms_ssim", "lpips_alex"]))

    assert means["ms_ssim"].isna().all()
    assert means["ms_ssim_db"].isna().all()
    assert {0} == set(means["images_ms_ssim_db"])
    assert "lpips_alex" not in means.columns

"""Means over common images, what is left out and why, and the table of Bjontegaard deltas."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.analysis import summary
from bench.analysis.bjontegaard import Cause
from bench.errors import UsageError

IMAGES = [f"kodim{i:02d}.png" for i in range(1, 7)]


def cell(image: str, codec: str, quality: int, *, dataset: str = "kodak", **values: object) -> dict:
    """One plausible row: quality, rate and image move bpp and PSNR smoothly."""
    number = IMAGES.index(image) if image in IMAGES else 0
    gain = {"jpeg": 0.0, "webp": 1.0, "bpg": 2.2}.get(codec.partition(":")[0], 0.5)
    bpp = 0.02 * quality * (1 + 0.05 * number)
    psnr = 30 + 6 * math.log10(bpp) + gain + 0.4 * number
    row = {
        "dataset": dataset,
        "image": image,
        "codec": codec,
        "label": f"{codec.partition(':')[0]} 4:2:0 8-bit (lib 1.0)",
        "setting": f'{{"quality":{quality},"subsampling":"4:2:0"}}',
        "bytes": round(bpp * 49152),
        "bpp": bpp,
        "psnr_db": psnr,
        "ms_ssim": 1 - 10 ** (-(psnr - 18) / 10),
        "lpips_alex": 10 ** (-psnr / 20),
        "encode_s": 0.01,
        "decode_s": 0.005,
        "bitstream_sha256": "ab" * 32,
        "error": "",
    }
    return row | values


def failed(image: str, codec: str, quality: int, error: str = "crashed") -> dict:
    """Return a row as a failure leaves it."""
    row = cell(image, codec, quality, error=error, bitstream_sha256=None)
    numbers = [name for name, value in row.items() if isinstance(value, float | int)]
    return row | dict.fromkeys(numbers, math.nan)


def grid(
    codecs: tuple[str, ...] = ("jpeg", "webp", "bpg"),
    qualities: tuple[int, ...] = (5, 10, 20, 40, 80),
    images: list[str] = IMAGES,
    make: Callable[..., dict] = cell,
) -> pd.DataFrame:
    """Every codec at every quality over every image."""
    return pd.DataFrame([make(i, c, q) for c in codecs for i in images for q in qualities])


def replaced(rows: pd.DataFrame, *new: dict) -> pd.DataFrame:
    """Return ``rows`` with the cells of ``new`` in the place of their like."""
    frame = pd.concat([rows, pd.DataFrame(new)], ignore_index=True)
    return frame.drop_duplicates(["dataset", "image", "codec", "setting"], keep="last")


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_means_equal_a_naive_loop_whatever_the_order(seed: int):
    """Each summary value equals the plain mean of the per-image values, rows in any order."""
    rng = np.random.default_rng(seed)
    rows = grid(codecs=("jpeg", "webp"), qualities=(5, 10, 75), images=IMAGES[:4])
    rows["psnr_db"] += rng.normal(0, 1, len(rows))
    shuffled = rows.sample(frac=1, random_state=int(seed % 1000))

    means = summary.summarise(shuffled)

    pd.testing.assert_frame_equal(summary.summarise(rows), means)
    for line in means.to_dict("records"):
        same = [
            row
            for row in rows.to_dict("records")
            if (row["codec"], row["setting"]) == (line["codec"], line["setting"])
        ]
        assert len(same) == line["images"] == 4
        for name in ("bpp", "psnr_db", "ms_ssim", "lpips_alex"):
            assert math.isclose(sum(row[name] for row in same) / 4, line[name], rel_tol=1e-12)
        decibels = -10 * math.log10(1 - line["ms_ssim"])  # of the mean, not the mean of decibels
        assert math.isclose(decibels, line["ms_ssim_db"], rel_tol=1e-12)


def test_columns_and_order_are_those_of_the_file():
    """The summary has the promised columns, codecs by name, settings by rising rate."""
    means = summary.summarise(grid(qualities=(80, 5, 10)))

    qualities = ["psnr_db", "ms_ssim", "ms_ssim_db", "lpips_alex"]
    assert [
        *("dataset", "codec", "label", "setting", "images", "bpp", *qualities),
        *(f"{word}_{name}" for name in qualities for word in ("images", "bpp")),
    ] == list(means.columns)
    assert ["bpg", "jpeg", "webp"] == list(dict.fromkeys(means["codec"]))
    assert all(curve["bpp"].is_monotonic_increasing for _, curve in means.groupby("codec"))


def test_an_image_that_one_codec_failed_on_is_in_no_mean():
    """A failure costs that image for every codec, and ``missing`` names image, codec and error."""
    rows = replaced(grid(), failed(IMAGES[2], "webp", 20, "encoder crashed\n(signal 11)"))

    means, lost = summary.summarise(rows), summary.missing(rows)

    assert {5} == set(means["images"])
    jpeg = means[(means["codec"] == "jpeg") & means["setting"].str.contains('"quality":5,')]
    naive = [cell(i, "jpeg", 5)["psnr_db"] for i in IMAGES if i != IMAGES[2]]
    assert math.isclose(sum(naive) / 5, jpeg["psnr_db"].iloc[0])
    assert [
        {
            "dataset": "kodak",
            "image": IMAGES[2],
            "codec": "webp",
            "settings": 1,
            "reason": "encoder crashed (signal 11)",
        }
    ] == lost.to_dict("records")


def test_a_codec_that_failed_everywhere_costs_no_image():
    """It is left out of the intersection, absent from the summary and listed as failed."""
    broken = pd.DataFrame([failed(i, "avif", q) for i in IMAGES for q in (5, 10)])
    rows = pd.concat([grid(), broken], ignore_index=True)

    assert {6} == set(summary.summarise(rows)["images"])
    assert "avif" not in set(summary.summarise(rows)["codec"])
    assert summary.missing(rows).empty
    line = summary.failures(rows).to_dict("records")[0]
    assert ("avif", 12, 12, "crashed") == tuple(
        line[k] for k in ("codec", "cells", "attempted", "error")
    )
    assert ", ".join(IMAGES) == line["images"]


def test_a_setting_that_failed_everywhere_costs_only_itself():
    """The other settings of the codec keep all images."""
    rows = replaced(grid(), *(failed(i, "webp", 80) for i in IMAGES))

    means = summary.summarise(rows)

    assert {6} == set(means["images"])
    assert 4 == len(means[means["codec"] == "webp"])


def test_a_setting_tried_on_one_image_is_set_aside():
    """An experiment on one image does not shrink every mean to that image."""
    rows = pd.concat([grid(), pd.DataFrame([cell(IMAGES[0], "jpeg", 77)])], ignore_index=True)

    means, aside = summary.summarise(rows), summary.set_aside(rows)

    assert {6} == set(means["images"])
    assert not means["setting"].str.contains("77").any()
    assert [(1, 6)] == list(zip(aside["images"], aside["most"], strict=True))
    assert "77" in aside["setting"].iloc[0]


def test_an_unmeasured_image_is_missing_not_failed():
    """A codec that has only some images limits the means to those, with the reason."""
    rows = pd.concat([grid(("jpeg",)), grid(("bpg",), images=IMAGES[:4])], ignore_index=True)

    assert {4} == set(summary.summarise(rows)["images"])
    assert summary.failures(rows).empty
    lost = summary.missing(rows)
    assert IMAGES[4:] == list(lost["image"])
    assert {("bpg", 5, "not measured")} == set(
        zip(lost["codec"], lost["settings"], lost["reason"], strict=True)
    )


def test_no_common_image_gives_an_empty_summary():
    """Codecs without an image in common have no comparable mean, and no crash."""
    rows = pd.concat([grid(("jpeg",), images=IMAGES[:2]), grid(("bpg",), images=IMAGES[2:])])

    assert summary.summarise(rows).empty
    assert summary.bd_table(rows).empty
    assert {"kodak": []} == summary.common_images(rows)


def test_datasets_do_not_mix():
    """Common images and means are per dataset."""
    other = pd.DataFrame([cell("a.png", "jpeg", q, dataset="sample") for q in (5, 10)])
    rows = pd.concat([grid(), other], ignore_index=True)

    means = summary.summarise(rows)

    assert {("kodak", 6), ("sample", 1)} == set(zip(means["dataset"], means["images"], strict=True))


def exact(image: str, codec: str, quality: int) -> dict:
    """Return the cell of an exact copy."""
    return cell(image, codec, quality, psnr_db=math.inf, ms_ssim=1.0, lpips_alex=0.0)


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


def test_settings_sort_by_number():
    """Quality 9 comes before 75, in rows and in any list of settings."""
    rows = summary.sort_rows(grid(("jpeg",), (75, 9, 100), IMAGES[:1]))

    assert [9, 75, 100] == [summary.parse_setting(text)["quality"] for text in rows["setting"]]


def test_what_varies_is_told_from_what_is_held():
    """Along a curve the rate parameter varies; of one setting everything does."""
    texts = ['{"quality":5,"subsampling":"4:2:0"}', '{"quality":9,"subsampling":"4:2:0"}']

    assert ([{"quality": 5}, {"quality": 9}], {"subsampling": "4:2:0"}) == (
        summary.split_settings(texts)
    )
    assert ([{"quality": 5, "subsampling": "4:2:0"}], {}) == summary.split_settings(texts[:1])


@pytest.mark.parametrize(
    ("codecs", "anchor", "expected"),
    [
        (["avif", "bpg", "jpeg"], None, "bpg"),
        (["avif", "jpeg", "webp"], None, "jpeg"),
        (["webp", "avif"], None, "avif"),
        (["avif", "bpg:chroma=4:2:0", "jpeg"], None, "bpg:chroma=4:2:0"),
        (["avif", "bpg", "jpeg"], "avif", "avif"),
    ],
)
def test_the_anchor_is_bpg_else_jpeg_else_the_first(codecs, anchor, expected):
    """The default anchor follows the rule, and can be chosen."""
    assert expected == summary.pick_anchor(codecs, anchor)


def test_an_unmeasured_anchor_is_refused():
    """The message lists what was measured."""
    with pytest.raises(UsageError, match=r"no result of the anchor 'vtm'\. Measured: bpg, jpeg"):
        summary.bd_table(grid(), "vtm")


def test_bd_rate_recovers_a_known_shift():
    """A curve at 10 % less rate for the same quality has a BD-rate of -10 % in every metric."""
    rows = grid(("bpg",))
    better = rows.assign(codec="agvae", label="agvae 8-bit (agvae 1)", bpp=0.9 * rows["bpp"])

    table = summary.bd_table(pd.concat([rows, better], ignore_index=True))

    assert 9 == len(table)
    assert {"psnr_db", "ms_ssim_db", "lpips_alex"} == set(table["metric"])
    assert ["pchip", "akima", "cubic"] == list(table["method"][:3])
    assert np.allclose(-10, table["bd_rate_percent"], atol=0.02)
    head = table[table["method"] == "pchip"]
    assert (head["ci_low"] <= head["bd_rate_percent"] + 1e-9).all()
    assert (head["ci_high"] >= head["bd_rate_percent"] - 1e-9).all()
    assert np.allclose(100, table["overlap_percent"], atol=0.5)


def test_bd_rate_of_a_lossless_codec_is_not_computable():
    """A codec of one exact point has an empty number and a note, never 0 or nan in words."""
    exact = [
        cell(i, "null", 1, setting="{}", bpp=24.0, psnr_db=math.inf, ms_ssim=1.0) for i in IMAGES
    ]
    rows = pd.concat([grid(("bpg",)), pd.DataFrame(exact)], ignore_index=True)

    table = summary.bd_table(rows)

    psnr = table[table["metric"] == "psnr_db"]
    assert psnr["bd_rate_percent"].isna().all()
    assert psnr["note"].str.startswith("not computable: ").all()


def test_bd_rate_where_the_anchor_is_absent_says_so():
    """A dataset without the chosen anchor has a note instead of a number."""
    other = pd.DataFrame([cell("a.png", "jpeg", q, dataset="sample") for q in (5, 10, 20, 40)])
    rows = pd.concat([grid(("jpeg", "bpg")), other], ignore_index=True)

    table = summary.bd_table(rows, "bpg")

    notes = table.loc[table["dataset"] == "sample", "note"]
    assert len(notes)
    assert notes.str.startswith("not computable: ").all()

"""Means over common images, what is left out and why, and the table of Bjontegaard deltas."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_rows import IMAGES, cell, failed, grid, replaced

from bench.analysis import summary


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


def test_means_are_worked_out_once_and_belong_to_who_asked(monkeypatch: pytest.MonkeyPatch):
    """What one caller writes into them, no other one gets."""
    chosen, calls, means = summary.Selection(grid(qualities=(5, 10))), [], summary._means
    monkeypatch.setattr(summary, "_means", lambda one: calls.append(one) or means(one))
    first = summary.summarise(chosen)
    wanted = first.copy()
    first["bpp"] = 0.0
    first.drop(columns="label", inplace=True)  # noqa: PD002 - as a careless caller does

    pd.testing.assert_frame_equal(wanted, summary.summarise(chosen))
    assert [chosen] == calls
    pd.testing.assert_frame_equal(wanted, summary.summarise(chosen.rows))

"""The anchor, and Bjontegaard deltas against it."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from made_rows import IMAGES, cell, grid

from bench.analysis import summary
from bench.errors import UsageError


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

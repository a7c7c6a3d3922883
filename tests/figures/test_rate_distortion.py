"""Curves beside published ones: which are drawn, how far, and what the captions say of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from drawings import LADDER, lines_of, make, words_of

from bench.analysis.published_curves import Reference
from bench.analysis.published_names import find, references
from bench.figures import rate_distortion
from bench.output.figure import MEASURED, REPORTED, select


def test_partial_datasets_get_no_reported_curves(products):
    """Published means are over whole datasets, so a part of one is not drawn beside them."""
    product = products["rd"]

    assert {MEASURED} == set(product.data["status"])
    assert any("Reported curves are left out" in note for note in product.notes)
    assert any(note.startswith("jxl: no results") for note in product.notes)


@pytest.mark.parametrize("entry", ["fig07-rd-psnr", "fig07-rd-ms-ssim"])
def test_whole_datasets_get_reported_curves(invented, entry):
    """On all of Kodak the published curves are drawn, dashed, each with a BD-rate of its own."""
    better = [(rate, quality + 1) for rate, quality in LADDER]

    product = make(invented(bpg=LADDER, agvae=better, jpeg=[(r, q - 9) for r, q in LADDER]), entry)

    lines = lines_of(product)
    reported = {name for _, name, line in lines if line.get_linestyle() != "-"}
    assert 5 <= len(reported)
    sources = " ".join(product.notes)
    assert all(f"{name}: " in sources for name in reported)
    assert reported == set(product.data.loc[product.data["status"] == REPORTED, "series"])
    assert REPORTED in words_of(product)
    gain = select(product.data, "gain", "agvae")["y"]
    if entry == "fig07-rd-psnr":
        assert np.allclose(1, gain)
        rows = {row[0].text: row for row in product.table.rows}
        assert rows["agvae"][2].text.startswith("\u2212")
        assert reported <= set(rows)
        assert "below: jpeg" in words_of(product)


@pytest.mark.parametrize("low", [(0.2, 29.0), (0.04, 25.5)])
def test_axes_follow_what_was_measured(invented, low):
    """Published points beyond the measured rates and qualities are cut; lower levels show more."""
    product = make(invented(bpg=LADDER, agvae=[low, *LADDER[1:]]), "fig07-rd-psnr")
    rd, axes = select(product.data, "rd"), product.figure.axes[0]
    ours, reported = (rd[rd["status"] == status] for status in (MEASURED, REPORTED))

    margin = 0.08 * (ours["y"].max() - ours["y"].min())
    assert ours["x"].max() >= reported["x"].max()
    assert ours["y"].min() - margin <= axes.get_ylim()[0] <= reported["y"].min()
    assert reported["y"].max() <= axes.get_ylim()[1] <= ours["y"].max() + 2 * margin
    lowest = select(product.data, "rd", "AG-VAE (paper)")["x"].min()
    assert (0.1 if low[0] < 0.1 else 0.25) == lowest
    gain = select(product.data, "gain")
    assert gain["x"].max() <= ours["x"].max()
    assert gain["y"].max() < product.figure.axes[1].get_ylim()[1]


def test_a_published_curve_outside_of_what_was_measured_is_named(invented):
    """It is not drawn, and the caption says so."""
    product = make(invented(bpg=[(0.02, 15), (0.03, 17), (0.05, 19), (0.06, 20)]), "fig07-rd-psnr")

    assert {MEASURED} == set(product.data["status"])
    assert any("VTM 18.0" in note and "outside of what was" in note for note in product.notes)


def test_curves_that_were_asked_for_are_drawn_beside_the_sets(invented):
    """Those of the dataset, each with its source and BD-rate; the set's are drawn once."""
    context = invented(bpg=LADDER)
    context.references = references(["elic2022,clic-vtm", "vtm18"])

    product = make(context, "fig07-rd-psnr")

    drawn = list(select(product.data, "rd")["series"].unique())
    assert (1, 1) == (drawn.count("ELIC"), drawn.count("VTM 18.0"))
    assert "VTM (CompressAI)" not in drawn
    assert "ELIC: He et al., CVPR 2022" in " ".join(product.notes)
    assert "ELIC" in {row[0].text for row in product.table.rows}


def test_sources_are_told_once_for_each_way_of_reading():
    """A caption of many curves stays short enough for LaTeX; a file's path is no reading."""
    found = [find(name).reference() for name in ("vtm", "hm", "agvae2021")]
    found.append(Reference("mine", "kodak", {}, source="curves (1).json"))

    told = rate_distortion._sources(found)

    assert 3 == len(told)
    assert "5 of MS-SSIM: VTM (CompressAI): CompressAI, published" in told[0]
    assert "; HM: CompressAI" in told[0]
    assert told[1].startswith("Reported, not measured, read off the figure by a third party")
    assert "Reported, not measured: mine: curves (1).json." == told[2]


def test_labels_keep_clear_of_each_other(invented):
    """No two curve labels overlap, and none leaves the figure."""
    curves = {name: [(r, q - i) for r, q in LADDER] for i, name in enumerate(("agvae", "bpg"))}
    product = make(invented(**curves, avif=[(r, q - 0.5) for r, q in LADDER]), "fig07-rd-psnr")
    figure = product.figure

    for axes in figure.axes:
        texts = [text for text in axes.texts if text.get_text() and hasattr(text, "xyann")]
        boxes = [text.get_window_extent() for text in texts]
        for i, box in enumerate(boxes):
            assert figure.bbox.x0 <= box.x0
            assert box.x1 <= figure.bbox.x1
            assert not any(box.overlaps(other) for other in boxes[i + 1 :])


def test_ms_ssim_decibels_are_of_the_mean(invented):
    """Measured MS-SSIM is -10 log10(1 - mean), as the published one must be."""
    context = invented(bpg=LADDER, agvae=LADDER)
    options = rate_distortion.Options(("agvae",), metric="ms_ssim_db")

    lines, _ = rate_distortion.measured_lines(context.results.rows, options, context.styles)

    assert np.allclose([q * 0.4 for _, q in LADDER], lines["agvae"].points[:, 1])


def test_pairs_compare_what_was_measured(products, invented):
    """The first pair that has rows is drawn, with its BD-rate; here AG-VAE against BPG."""
    panels = {"rd", "gain", "rd_ms_ssim_db", "gain_ms_ssim_db"}
    assert panels == set(products["pairs"].data["panel"])
    better = [(rate, quality + 0.3) for rate, quality in LADDER]

    product = make(invented(agvae_branch=better, agvae_nogain=LADDER), "fig10-one-network")

    assert np.allclose(0.3, select(product.data, "gain")["y"])
    assert {"one gained network", "dedicated networks"} <= set(product.data["series"])
    assert {"PSNR-RGB (dB)"} <= {row[0].text for row in product.table.rows}


def test_pairs_are_drawn_larger_where_the_set_says(invented):
    """From 0.4 to 0.6 bpp, in other colours, in both metrics; each difference has its interval."""
    better = [(rate, quality + 0.3) for rate, quality in LADDER]
    context = invented(agvae_branch=better, agvae_gauss=LADDER)
    rows = context.results.rows.query("image == 'kodim01'")
    many = [rows.assign(image=f"{n}.png", psnr_db=rows["psnr_db"] + n) for n in range(6)]
    context.results = replace(context.results, rows=pd.concat(many, ignore_index=True))

    product = make(context, "fig12-asymmetric")

    axes = {str(one.get_label()): one for one in product.figure.axes}
    assert {"rd", "zoom", "gain"} <= set(axes)
    for kind in ("rd", "zoom"):
        for metric in ("", "_ms_ssim_db"):
            assert 2 == len({line.get_color() for line in axes[kind + metric].get_lines()})
    assert (0.4, 0.6) == axes["zoom"].get_xlim()
    zoomed = select(product.data, "zoom", "asymmetric")
    assert 3 == len(zoomed)
    assert (zoomed["x"].min(), zoomed["x"].max()) == pytest.approx((0.204, 1.02))
    gain = select(product.data, "gain")
    assert (gain["low"] <= gain["y"] + 1e-9).all()
    assert (gain["high"] >= gain["y"] - 1e-9).all()
    assert len(gain) == len(axes["gain"].collections[0].get_segments())
    assert any("bootstrap intervals" in note for note in product.notes)

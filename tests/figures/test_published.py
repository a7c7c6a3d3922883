"""Reported points: whole, plausible, and those of their sources."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from bench.analysis.published_names import find, published
from bench.errors import UsageError
from bench.figures import published as reported
from bench.figures import spec

REFERENCE = Path(__file__).resolve().parents[3] / "shared" / "reference"


@pytest.mark.parametrize("name", published())
def test_curves_say_where_they_come_from_and_rise(name: str):
    """Each curve has source and reading, rates and values rise, and lie where they can."""
    curve = find(name)

    assert curve.source
    assert curve.read
    assert curve.points
    for metric in curve.points:
        points = curve.values(metric)
        low, high = (20, 50) if metric == "psnr_db" else (0.7, 1)
        assert 4 <= len(points)
        assert (np.diff(points, axis=0) > 0).all()
        assert ((points[:, 0] > 0) & (points[:, 0] < 10)).all()
        assert ((points[:, 1] > low) & (points[:, 1] < high)).all()


def test_names_of_one_dataset_differ():
    """No two curves that may be drawn together have the same label."""
    labels = [(curve.dataset, curve.name) for curve in published().values()]

    assert len(labels) == len(set(labels))


def test_networks_trained_for_ms_ssim_are_told_from_those_trained_for_mse():
    """At 0.4 bpp of Kodak those reach 16.5 dB, and these do not, whatever their source says."""
    curves = [c for c in published().values() if c.dataset == "kodak" and "ms_ssim" in c.points]
    found = {
        curve.id: np.interp(0.4, *curve.values("ms_ssim_db").T)
        for curve in curves
        if curve.optimised
    }

    told = {curve.id for curve in curves if curve.optimised == "ms-ssim"}
    assert 8 <= len(told)
    assert told == {name for name, quality in found.items() if quality > 16.5}
    assert told == {name for name in found if name.endswith("-msssim")}


def test_figure_7_has_every_published_ms_ssim_curve():
    """One of its drawings of MS-SSIM shows each curve of Kodak that was published with it."""
    drawn = [
        entry.options["reported"]
        for entry in spec.load("agvae2021").entries
        if entry.paper == "Fig. 7" and entry.options["metric"] == "ms_ssim_db"
    ]

    wanted = {c.id for c in published().values() if c.dataset == "kodak" and "ms_ssim" in c.points}
    assert wanted == {name for names in drawn for name in names}


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("vtm", "compressai/kodak/vtm.json"),
        ("bpg444", "compressai/kodak/bpg_444_x265_ycbcr.json"),
        ("mbt2018-mean", "compressai/kodak/compressai-mbt2018-mean_mse_cuda.json"),
        ("cheng2020-attn", "compressai/kodak/compressai-cheng2020-attn_mse_cuda.json"),
        ("agvae2021", "agvae2021_kodak_mse.json"),
        ("elic2022", "compressai/kodak/paper-elic2022_mse.json"),
        ("webp", "compressai/kodak/webp.json"),
        ("clic-mbt2018", "compressai/clic2020-professional/compressai-mbt2018_mse_cuda.json"),
    ],
)
def test_points_are_those_of_the_source(name, file):
    """Rounding aside, the points are the published ones."""
    if not REFERENCE.is_dir():
        pytest.skip("needs the folder of published results beside the checkout")
    results = json.loads((REFERENCE / file).read_text())["results"]
    published = np.array(sorted(zip(results["bpp"], results["psnr-rgb"], strict=True)))

    points = find(name).values("psnr_db")

    assert np.abs(published - points).max() < 6e-4


def test_ms_ssim_in_db_is_of_the_published_mean():
    """0.99 is 20 dB; a curve without MS-SSIM has none in dB."""
    curve = find("vtm")
    linear, decibel = curve.values("ms_ssim"), curve.values("ms_ssim_db")

    assert np.allclose(-10 * np.log10(1 - linear[:, 1]), decibel[:, 1])
    assert find("vtm18").values("ms_ssim_db") is None


def test_the_numbers_under_the_papers_crops():
    """The four of kodim04, as the paper prints them."""
    crops = {c["name"]: (c["bpp"], c["psnr_db"], c["ms_ssim"]) for c in reported.content()["crop"]}

    assert (0.107, 30.68, 0.93) == crops["AG-VAE (MSE)"]
    assert (0.105, 30.00, 0.914) == crops["BPG"]
    assert 4 == len(crops)


def test_an_unknown_curve_suggests_the_near_one():
    """A mistyped id is an error that names the right one."""
    with pytest.raises(UsageError, match="Did you mean vtm"):
        find("vtmm")
    with pytest.raises(UsageError, match="Did you mean balle"):
        reported.pair("ballé")

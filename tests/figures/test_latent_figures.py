"""The paper's figures of latents, gains and levels: what each shows is so by its own rows."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from bench.codecs.agvae.paper import rate_control
from bench.codecs.agvae.paper.latents_of_files import Probe
from bench.output.figure import select


@pytest.mark.parametrize(("panel", "index"), [("all", 0), ("skewed", 1)])
def test_bars_are_the_csv(products, panel, index):
    """The histogram's bars have the heights of its rows, which integrate to about one."""
    product = products["residuals"]
    rows = select(product.data, panel, "histogram")

    heights = [bar.get_height() for bar in product.figure.axes[index].patches]

    assert list(rows["y"]) == heights
    assert rows["y"].sum() * (rows["x"].iloc[1] - rows["x"].iloc[0]) == pytest.approx(1, abs=0.05)


def test_skewed_residuals_are_a_quarter_and_lean_to_the_right(products):
    """Mirrored, the fitted and the predicted densities have more mass above zero than below."""
    data = products["residuals"].data
    every, skewed = (select(data, panel, "histogram") for panel in ("all", "skewed"))
    predicted = select(data, "skewed", "mean of predicted\ndensities")

    assert skewed["count"].iloc[0] == pytest.approx(every["count"].iloc[0] / 4, abs=2)
    assert (
        predicted.loc[predicted["x"] < 0, "y"].sum() < predicted.loc[predicted["x"] > 0, "y"].sum()
    )


def test_heat_maps_are_the_csv(products):
    """Each map shows the level's values in the order of the rows."""
    product = products["gain-vectors"]
    axes = {ax.get_title(loc="left")[:3]: ax for ax in product.figure.axes}

    for key, panel in (("(a)", "gain"), ("(b)", "drift")):
        shown = np.asarray(axes[key].get_images()[0].get_array())
        assert np.array_equal(select(product.data, panel)["y"], shown.ravel())


def test_importance_is_the_loss_of_a_zeroed_channel(products):
    """Losses fall with the rank, and scaling by one changes nothing."""
    data = products["importance"].data
    loss = select(data, "loss")
    scale = select(data, "scale")

    assert loss["y"].is_monotonic_decreasing
    assert 0.01 < loss["y"].iloc[0]
    assert sorted(loss["channel"]) == list(range(64))
    whole = scale.loc[scale["x"] == 1, "y"].unique()
    assert 1 == len(whole)
    zeroed = scale[(scale["x"] == 0) & (scale["channel"] == loss["channel"].iloc[0])]
    assert whole[0] - zeroed["y"].iloc[0] == pytest.approx(loss["y"].iloc[0])


def test_interpolated_levels_lie_between_the_discrete_ones(products):
    """Rate and PSNR rise through the interpolated level; discrete points lie on their chord."""
    data = products["continuous"].data
    curve = select(data, "rd", "crop0.png")
    chord = select(data, "chord")

    assert [0, 3.5, 7] == list(curve["level"])
    assert [0, 7] == list(select(data, "rd", "mean, discrete")["level"])
    other, mean = (select(data, "rd", name) for name in ("tiny.png", "mean"))
    assert np.allclose((curve[["x", "y"]].to_numpy() + other[["x", "y"]]) / 2, mean[["x", "y"]])
    assert curve["x"].is_monotonic_increasing
    assert curve["y"].is_monotonic_increasing
    assert np.allclose(0, chord.loc[chord["level"] % 1 == 0, "y"])


def test_continuous_rates_decode_what_no_run_has_decoded(tiny, products, monkeypatch):
    """A file of a run counts where every bit is the same; another file of its level does not."""
    probe = Probe("agvae-small")
    image = tiny.context.image("crop0.png")
    rows = tiny.context.results.rows
    row = rows[(rows["codec"] == "agvae-small") & (rows["image"] == "crop0.png")].iloc[0]
    stored = rate_control._stored(tiny.context, probe)
    assert (row["bitstream_sha256"], row["psnr_db"]) == stored["crop0.png", 0.0]
    decoded = []
    decode = probe.codec.decode
    monkeypatch.setattr(probe.codec, "decode", lambda data: decoded.append(data) or decode(data))
    known = {("crop0.png", 0.0): (row["bitstream_sha256"], 12.5), ("crop0.png", 7.0): ("0" * 64, 9)}

    frame = rate_control.measure_levels(probe, {"crop0.png": image}, 7, known=known)

    assert 1 == len(decoded)
    assert 12.5 == frame["psnr_db"][0]
    last = select(products["continuous"].data, "rd", "crop0.png").iloc[-1]
    assert (last["x"], last["y"]) == (frame["bpp"][1], frame["psnr_db"][1])


def test_levels_below_zero_are_no_trained_levels():
    """They lie on the continuous curve, and neither rings nor chords use them."""
    levels = np.arange(-2, 2.5, 0.5)
    frame = pd.DataFrame({"level": levels, "bpp": 2.0**levels, "psnr_db": 30 + levels})

    data = rate_control.level_rows({"one": frame})

    assert [0, 1, 2] == list(select(data, "rd", "mean, discrete")["level"])
    assert list(levels) == list(select(data, "rd", "mean")["level"])
    assert [0, 0.5, 1, 1.5, 2] == list(select(data, "chord", "mean")["x"])
    assert np.allclose([0, 0, 0], select(data, "chord", "mean")["y"][::2])


def test_hyper_gain_held_at_its_own_level_costs_nothing(products):
    """The cost of holding z's gains is zero at the level that they are held at."""
    data = products["hyper-gain"].data
    cost, share = select(data, "cost"), select(data, "share")

    assert 0 == cost.loc[cost["x"] == 4, "y"].iloc[0]
    assert 0 < cost["y"].max()
    assert ((share["y"] > 0) & (share["y"] < 100)).all()


def test_forced_symmetry_costs_bits(products):
    """Tied scales cost bits at every level; a matched Gaussian costs less than they do."""
    data = products["asymmetry"].data
    tied, matched = (select(data, "cost", name)["y"] for name in data["series"].unique()[:2])

    assert (tied > 0).all()
    assert (matched.to_numpy() < tied.to_numpy()).all()

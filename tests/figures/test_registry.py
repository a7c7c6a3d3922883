"""Every kind draws what its CSV says, reported curves dashed, from real files."""

from __future__ import annotations

import contextlib
import json
from dataclasses import replace

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Text

from bench import registry
from bench.analysis.published_curves import Reference
from bench.analysis.published_names import find, references
from bench.codecs.agvae.paper import rate_control
from bench.codecs.agvae.paper.latents_of_files import Probe
from bench.errors import Unavailable
from bench.figures import crops, rate_distortion, speed
from bench.figures import registry as kinds
from bench.output.figure import COMPUTED, MEASURED, REPORTED, Product, Skipped, select
from bench.output.sheet import RC

DRAWN = sorted(set(kinds.names()) - {"cost", "speed"})
LINES = sorted(set(DRAWN) - {"crops", "gain-vectors"})


def lines_of(product):
    """Return (panel, series, line) of every drawn series."""
    found = [line for axes in product.figure.axes for line in axes.get_lines() if line.get_gid()]
    return [(*line.get_gid().split("|"), line) for line in found]


def words_of(product):
    """Return all that is written in a figure."""
    return "\n".join(text.get_text() for text in product.figure.findobj(Text))


@pytest.mark.parametrize("kind", DRAWN)
def test_every_kind_runs_on_a_tiny_result(products, kind):
    """There is a drawing, numbers behind it, and an origin."""
    product = products[kind]

    assert isinstance(product, Product)
    assert product.figure.axes
    assert len(product.data)
    assert np.isfinite(product.data.select_dtypes("number").to_numpy(float)).any()
    if kind != "reported-pairs":
        assert product.stamp.date
    assert product.stamp.machine


@pytest.mark.parametrize("kind", LINES)
def test_the_csv_is_what_is_drawn(products, kind):
    """Each line has exactly the points of its series, and each series is a line or a bar."""
    product = products[kind]

    drawn = {(panel, name) for panel, name, _ in lines_of(product)}
    for panel, name, line in lines_of(product):
        rows = select(product.data, panel, name)
        assert np.array_equal(rows[["x", "y"]].to_numpy(), np.column_stack(line.get_data()))
    series = set(product.data[["panel", "series"]].itertuples(index=False, name=None))
    assert {("all", "histogram"), ("skewed", "histogram")} >= series - drawn


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


@pytest.mark.parametrize("kind", DRAWN)
def test_no_writing_leaves_the_figure(products, kind):
    """Headings, axis names, labels and small print lie within the paper."""
    figure = products[kind].figure
    texts = list(figure.texts)
    for axes in figure.axes:
        titles = [axes.title, axes._left_title, axes.xaxis.label, axes.yaxis.label]
        texts += [text for text in (*titles, *axes.texts) if text.get_text()]

    for text in texts:
        box = text.get_window_extent()
        assert figure.bbox.x0 - 1 <= box.x0, text
        assert box.x1 <= figure.bbox.x1 + 1, text
        assert figure.bbox.y0 - 1 <= box.y0, text
        assert box.y1 <= figure.bbox.y1 + 1, text


def test_heat_maps_are_the_csv(products):
    """Each map shows the level's values in the order of the rows."""
    product = products["gain-vectors"]
    axes = {ax.get_title(loc="left")[:3]: ax for ax in product.figure.axes}

    for key, panel in (("(a)", "gain"), ("(b)", "drift")):
        shown = np.asarray(axes[key].get_images()[0].get_array())
        assert np.array_equal(select(product.data, panel)["y"], shown.ravel())


@pytest.mark.parametrize("kind", LINES)
def test_reported_is_dashed_and_labelled_and_nothing_else_is(products, kind):
    """A reported series is dashed, the figure says what that means; our own are solid."""
    product = products[kind]
    published = product.data[product.data["status"] == REPORTED]
    reported = set(published[["panel", "series"]].itertuples(index=False, name=None))

    dashed = {(p, name) for p, name, line in lines_of(product) if line.get_linestyle() != "-"}
    assert reported == dashed
    if dashed:
        assert REPORTED in words_of(product)


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


def test_crops_show_decoded_pixels_and_the_files_numbers(tiny, products):
    """Each panel is a cut of the decoded file; codecs without weights are named."""
    product = products["crops"]
    shown = {image.get_gid(): image for axes in product.figure.axes for image in axes.get_images()}
    original = tiny.context.image("crop0.png")[30:78, 20:84]

    with contextlib.suppress(Unavailable):
        registry.create("compressai-cheng2020-attn")
        pytest.skip("weights of cheng2020-attn are here, so no codec lacks them")
    assert {"crop|original", "crop|agvae-small", "crop|bpg", "crop|webp"} == set(shown)
    assert np.array_equal(original, shown["crop|original"].get_array())
    assert not np.array_equal(original, shown["crop|bpg"].get_array())
    assert any("compressai-cheng2020-attn is left out" in note for note in product.notes)
    ours = product.data[product.data["codec"] == "agvae-small"].iloc[0]
    assert ours["bpp"] == pytest.approx(0.4, rel=0.003)
    assert 8 * ours["bytes"] / 176**2 == pytest.approx(ours["bpp"])
    assert f"{ours['bpp']:.3f} bpp" in words_of(product)


def test_crops_say_by_how_much_they_miss_the_rate(products):
    """Nothing is said within 1 %; beyond, the figure has the percentage and the caption why."""
    product = products["crops"]
    rows = product.data.to_dict(orient="records")

    missed = [row for row in rows if row["off_percent"]]
    assert {row["codec"] for row in rows if abs(row["bpp"] / 0.4 - 1) > 0.01} == {
        row["codec"] for row in missed
    }
    assert "agvae-small" not in {row["codec"] for row in missed}
    words, [told, *_] = words_of(product), product.notes
    for row in missed:
        assert f"{row['bpp']:.3f} bpp, " in words
        assert row["note"]
        assert row["note"] in told
    assert words.count("bpp, ") == len(missed)
    assert words.count("MS-SSIM ") == words.count("PSNR ") == len(rows)


def test_crops_quote_the_paper_where_it_has_numbers():
    """Under kodim04 stand the paper's four rows, as reported."""
    rows = crops._reported("kodim04")

    assert {REPORTED} == set(rows["status"])
    assert 4 == len(rows)
    assert 0 == len(crops._reported("crop0.png"))
    [told] = crops._quoted(rows)
    assert "reported, not measured" in told
    assert "AG-VAE (MSE) 0.107 bpp, 30.68 dB, 0.930" in told


def test_partial_datasets_get_no_reported_curves(products):
    """Published means are over whole datasets, so a part of one is not drawn beside them."""
    product = products["rd"]

    assert {MEASURED} == set(product.data["status"])
    assert any("Reported curves are left out" in note for note in product.notes)
    assert any(note.startswith("jxl: no results") for note in product.notes)


LADDER = [(0.2, 29.0), (0.5, 33.0), (1.0, 37.0), (1.5, 40.0)]


def _make(context, entry_id):
    entry = next(e for e in context.figure_set.entries if e.id == entry_id)
    with mpl.rc_context(RC):
        return kinds.make(context, entry)


@pytest.mark.parametrize("entry", ["fig07-rd-psnr", "fig07-rd-ms-ssim"])
def test_whole_datasets_get_reported_curves(invented, entry):
    """On all of Kodak the published curves are drawn, dashed, each with a BD-rate of its own."""
    better = [(rate, quality + 1) for rate, quality in LADDER]

    product = _make(invented(bpg=LADDER, agvae=better, jpeg=[(r, q - 9) for r, q in LADDER]), entry)

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
    product = _make(invented(bpg=LADDER, agvae=[low, *LADDER[1:]]), "fig07-rd-psnr")
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
    product = _make(invented(bpg=[(0.02, 15), (0.03, 17), (0.05, 19), (0.06, 20)]), "fig07-rd-psnr")

    assert {MEASURED} == set(product.data["status"])
    assert any("VTM 18.0" in note and "outside of what was" in note for note in product.notes)


def test_curves_that_were_asked_for_are_drawn_beside_the_sets(invented):
    """Those of the dataset, each with its source and BD-rate; the set's are drawn once."""
    context = invented(bpg=LADDER)
    context.references = references(["elic2022,clic-vtm", "vtm18"])

    product = _make(context, "fig07-rd-psnr")

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
    product = _make(invented(**curves, avif=[(r, q - 0.5) for r, q in LADDER]), "fig07-rd-psnr")
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

    product = _make(invented(agvae_branch=better, agvae_nogain=LADDER), "fig10-one-network")

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

    product = _make(context, "fig12-asymmetric")

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


@pytest.mark.parametrize("entry", ["fig10-one-network", "fig12-asymmetric"])
def test_untrained_variants_are_a_reason_never_a_curve(invented, entry, monkeypatch):
    """The figure is left out and says how to measure them, and to train them where they lack."""
    monkeypatch.setenv("BENCH_WEIGHTS", "/nowhere")
    registry.discover.cache_clear()

    with pytest.raises(Skipped, match=r"(train-all .*|no results of agvae-branch.*)bench all -d"):
        _make(invented(agvae=LADDER), entry)


def test_no_results_is_a_reason(invented):
    """An empty folder says which command fills it."""
    context = invented(bpg=LADDER)
    context.results.rows["dataset"] = "sample"

    with pytest.raises(Skipped, match=r"no results of kodak.*bench all -d kodak"):
        _make(context, "fig03-discrete-rates")


def test_the_cost_table_stands_beside_the_papers(products):
    """Computed and reported rows are in one table, each with its status."""
    product = products["cost"]

    assert product.figure is None
    assert {COMPUTED, REPORTED} == set(product.data["status"])
    assert "0.076" in product.table.markdown()


@pytest.mark.usefixtures("no_compressai")
def test_the_cost_of_compressais_networks_needs_compressai(invented):
    """Without it the table is left out with the command, never printed without those lines."""
    with pytest.raises(Skipped, match=r"compressai is not installed.*pip install --no-deps"):
        _make(invented(bpg=LADDER), "table1-cost")


def test_speed_needs_its_own_measurement(products, invented):
    """Without throughput.json there is no figure: times of rows are no speeds."""
    assert isinstance(products["speed"], Skipped)
    assert "bench throughput" in str(products["speed"])
    context = invented(bpg=LADDER, agvae=[(r * 0.9, q) for r, q in LADDER])
    rows = [
        {"codec": c, "device": "cpu", "batch": b, "direction": way, "phase": phase}
        | {"mp_per_s": 1.0 * b, "busy": False, "label": f"{c.upper()}, speed 1 (x)"}
        | {"processes": 1, "threads": 2}
        for c, b in (("bpg", 1), ("agvae", 1), ("agvae", 8), ("jpeg", 1))
        for way, phase in (("encode", "encode"), ("decode", "decode"), ("decode", "load"))
    ]
    path = context.results.folder / speed.FILE
    path.write_text(json.dumps({"rows": rows, "record": {"date": "2026-02-03"}}))

    product = _make(context, "speed-bd-rate")

    assert {"bpg cpu", "agvae cpu x8"} == set(select(product.data, "encode")["series"])
    assert "AGVAE, speed 1\n2 threads, batch 8" in words_of(product)
    assert 8 == select(product.data, "encode", "agvae cpu x8")["x"].iloc[0]
    assert -10 == pytest.approx(select(product.data, "encode", "agvae cpu x8")["y"].iloc[0])
    assert "2026-02-03" == product.stamp.date

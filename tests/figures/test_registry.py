"""Every kind draws what its CSV says, reported curves dashed, from real files."""

from __future__ import annotations

import contextlib
import json

import matplotlib as mpl
import numpy as np
import pytest
from drawings import LADDER, lines_of, make, words_of

from bench import registry
from bench.errors import Unavailable
from bench.figures import crops, speed
from bench.figures import registry as kinds
from bench.output.figure import COMPUTED, REPORTED, Product, Skipped, select
from bench.output.sheet import RC

DRAWN = sorted(set(kinds.names()) - {"cost", "speed"})
LINES = sorted(set(DRAWN) - {"crops", "gain-vectors"})


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


@pytest.mark.parametrize("kind", DRAWN)
def test_no_writing_leaves_the_figure(products, kind):
    """Headings, axis names, labels and small print lie within the paper."""
    figure = products[kind].figure
    with mpl.rc_context(RC):
        figure.draw_without_rendering()  # names of axes find their places when they are drawn
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


@pytest.mark.parametrize("entry", ["fig10-one-network", "fig12-asymmetric"])
def test_untrained_variants_are_a_reason_never_a_curve(invented, entry, monkeypatch):
    """The figure is left out and says how to measure them, and to train them where they lack."""
    monkeypatch.setenv("BENCH_WEIGHTS", "/nowhere")
    registry.discover.cache_clear()

    with pytest.raises(Skipped, match=r"(train-all .*|no results of agvae-branch.*)bench all -d"):
        make(invented(agvae=LADDER), entry)


def test_no_results_is_a_reason(invented):
    """An empty folder says which command fills it."""
    context = invented(bpg=LADDER)
    context.results.rows["dataset"] = "sample"

    with pytest.raises(Skipped, match=r"no results of kodak.*bench all -d kodak"):
        make(context, "fig03-discrete-rates")


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
        make(invented(bpg=LADDER), "table1-cost")


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

    product = make(context, "speed-bd-rate")

    assert {"bpg cpu", "agvae cpu x8"} == set(select(product.data, "encode")["series"])
    assert "AGVAE, speed 1\n2 threads, batch 8" in words_of(product)
    assert 8 == select(product.data, "encode", "agvae cpu x8")["x"].iloc[0]
    assert -10 == pytest.approx(select(product.data, "encode", "agvae cpu x8")["y"].iloc[0])
    assert "2026-02-03" == product.stamp.date

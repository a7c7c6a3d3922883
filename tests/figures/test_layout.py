"""What is drawn can be read: properties of the artists of every figure, not of files."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Annotation, Text

from bench.analysis.summary import summarise
from bench.figures import registry as kinds
from bench.measurement.results import load_results
from bench.output import label_placement, plots
from bench.output.curve_labels import LEADER, SMALL_PT
from bench.output.sheet import RC

KODAK = Path(__file__).parent.parent.parent / "results" / "kodak"
DRAWN = sorted(set(kinds.names()) - {"cost", "speed"})


def labels_of(axes: Axes) -> list[Annotation]:
    """Return the names at the curves of a panel."""
    found = [text for text in axes.texts if isinstance(text, Annotation)]
    return [text for text in found if text.get_text() and text.get_bbox_patch()]


def markers_of(axes: Axes) -> list[tuple[np.ndarray, float]]:
    """Return the markers of each curve in a panel, in pixels, and their radius."""
    found = []
    for line in axes.get_lines():
        if line.get_marker() not in {None, "None", ""} and len(line.get_xydata()):
            xy = line.get_xydata()
            marked = xy if line.get_markevery() is None else xy[line.get_markevery()]
            (x0, x1), (y0, y1) = sorted(axes.get_xlim()), sorted(axes.get_ylim())
            x, y = marked.T
            shown = marked[(x >= x0) & (x <= x1) & (y >= y0) & (y <= y1)]
            radius = line.get_markersize() / 2 * axes.figure.dpi / 72
            found.append((axes.transData.transform(shown), radius))
    return found


def _path(line: Line2D) -> np.ndarray:
    return np.asarray(line.get_path().transformed(line.get_transform()).vertices)


def problems(figure: Figure) -> list[str]:
    """Return what is wrong with the layout of a figure, in words."""
    found = [
        f"{text.get_text()!r} has {text.get_fontsize()} pt"
        for text in figure.findobj(Text)
        if text.get_text() and text.get_fontsize() < SMALL_PT
    ]
    for axes in figure.axes:
        boxes = {label.get_text(): label.get_window_extent() for label in labels_of(axes)}
        for (one, box), (other, second) in combinations(boxes.items(), 2):
            if box.overlaps(second):
                found.append(f"{one!r} overlaps {other!r}")
        for text, box in boxes.items():
            for points, radius in markers_of(axes):
                grown = box.padded(radius)
                if ((points > grown.p0) & (points < grown.p1)).all(axis=1).any():
                    found.append(f"{text!r} lies over a marker")
        for leader in (text for text in axes.texts if text.get_gid() == LEADER):
            start = axes.transData.transform(leader.xy)
            end = start + np.asarray(leader.xyann) * figure.dpi / 72
            others = [
                _path(line)
                for line in axes.get_lines()
                if not np.isclose(line.get_xydata(), leader.xy).all(axis=1).any()
            ]
            if label_placement.crossings(start[None], end[None], others).any():
                found.append(f"a leader from {leader.xy} crosses a curve")
    return found


@pytest.mark.parametrize("kind", DRAWN)
def test_every_kind_can_be_read(products, kind):
    """Nothing under 6 points, no label over a marker or another, no leader through a curve."""
    assert [] == problems(products[kind].figure)


def test_labels_stand_at_the_ends_of_curves(products):
    """Never in the middle of a curve, where it looks as if it were another's."""
    for axes in products["rd"].figure.axes:
        ends = [line.get_xydata()[[0, -1]] for line in axes.get_lines()]
        for label in labels_of(axes):
            assert np.isclose(np.vstack(ends), label.xy).all(axis=1).any(), label


@pytest.mark.parametrize(("metric", "scale"), [("psnr_db", "linear"), ("ms_ssim_db", "log")])
def test_the_committed_results_can_be_read(metric: str, scale: str):
    """Seven curves close together, each with name and effort."""
    means = summarise(load_results(KODAK).rows)
    curves = [*plots.measured_curves(means, metric).values()]
    with mpl.rc_context(RC):
        figure = plots.draw(curves, metric, scale=scale, heading="kodak", small_print="x")

    assert [] == problems(figure)
    assert len(curves) == len(labels_of(figure.axes[0]))


def test_a_codec_looks_the_same_in_every_figure(products):
    """Colour and marker of a curve depend on its codec alone, and no two codecs share both."""
    looks: dict[str, set[tuple[str, str]]] = {}
    for product in products.values():
        for axes in product.figure.axes if getattr(product, "figure", None) else ():
            for line in axes.get_lines():
                panel, _, name = str(line.get_gid()).partition("|")
                if name and line.get_marker() != "None" and panel in {"rd", "gain"}:
                    looks.setdefault(name, set()).add((line.get_color(), line.get_marker()))
    by_codec = {name: looks[name] for name in looks if name.startswith(("AG-VAE", "BPG", "WebP"))}

    assert {1} == {len(found) for found in by_codec.values()}
    assert len(by_codec) == len(set.union(*by_codec.values()))


def test_broken_layouts_are_found():
    """The checks above can fail: each fault is seen in a figure that has it."""
    figure = Figure(dpi=100)
    axes = figure.add_subplot()
    axes.plot([0, 1], [0, 1], marker="o")
    axes.plot([0, 1], [1, 0], marker="s")
    box = {"pad": 0.3}
    axes.annotate("over", (0, 0), xytext=(0, 0), textcoords="offset points", bbox=box)
    axes.annotate("beside", (0, 0), xytext=(1, 1), textcoords="offset points", bbox=box, size=5)
    axes.annotate("", (0, 0), xytext=(20, 400), textcoords="offset points", gid=LEADER)
    figure.draw_without_rendering()

    told = " ".join(problems(figure))
    for fault in ("has 5.0 pt", "'over' overlaps 'beside'", "'over' lies over", "crosses a curve"):
        assert fault in told

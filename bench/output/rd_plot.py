"""One rate-distortion figure: curves, axes, labels at the curves instead of a legend."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from bench.analysis import summary
from bench.output import label_placement
from bench.output.plot_styles import Style
from bench.output.tables import title

WIDTH_IN, HEIGHT_IN, DPI = 3.5, 2.75, 300
RC: dict[Any, Any] = {
    "font.family": ["DejaVu Sans"],
    "font.size": 6.5,
    "svg.fonttype": "none",  # text stays text: searchable, editable
    "svg.hashsalt": "bench",  # ids in the SVG do not change from run to run
    "axes.unicode_minus": True,
    "path.simplify": False,
}
"""Matplotlib's settings that ``draw`` and ``encode`` rely on."""

_POINT_PX = DPI / 72
_GREY, _FAINT = "#555555", "#DDDDDD"


@dataclass(frozen=True, slots=True)
class Curve:
    """A curve as drawn: label, style, points (N, 2) of bpp and value by rising rate."""

    label: str
    style: Style
    points: label_placement.Points
    reported: bool = False


def _draw_curves(axes: Axes, curves: Sequence[Curve]) -> None:
    for curve in curves:
        axes.plot(
            curve.points[:, 0],
            curve.points[:, 1],
            color=curve.style.colour,
            linewidth=0.8 if curve.reported else 1.1,
            linestyle=(0, (4, 2)) if curve.reported else "-",
            marker=curve.style.marker or None,
            markersize=2.9,
            markeredgewidth=0.7,
            markerfacecolor=curve.style.colour if curve.style.filled else "white",
            zorder=2 if curve.reported else 3,
        )


def _set_limits(axes: Axes, curves: Sequence[Curve], scale: str, room: float) -> None:
    """Start a linear rate axis at zero, and leave the share ``room`` of the width for labels."""
    rates = np.concatenate([curve.points[:, 0] for curve in curves])
    values = np.concatenate([curve.points[:, 1] for curve in curves])
    span = float(values.max() - values.min()) or abs(float(values[0])) or 1.0
    axes.set_ylim(values.min() - 0.06 * span, values.max() + 0.09 * span)
    low, high = float(rates.min()), float(rates.max())
    if scale == "linear":
        axes.set_xlim(0, high / (1 - room))
        return
    decades = np.log10(high / low) or 0.3
    axes.set_xscale("log")
    start = np.log10(low) - 0.06 * decades
    axes.set_xlim(10**start, 10 ** (start + (np.log10(high) - start) / (1 - room)))
    ticks = [d * 10.0**e for e in range(-4, 4) for d in (1, 2, 5)]
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def _dress(axes: Axes, metric: str, heading: str) -> None:
    better = "higher" if summary.higher_is_better(metric) else "lower"
    axes.set_title(heading, loc="left", fontsize=7.5, fontweight="bold", pad=5)
    axes.set_xlabel("bits per pixel (bpp), whole file")
    axes.set_ylabel(f"{title(metric)}, {better} is better")
    axes.grid(visible=True, color=_FAINT, linewidth=0.4)
    axes.set_axisbelow(True)
    axes.tick_params(length=2, width=0.5, color=_GREY)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set(linewidth=0.5, color=_GREY)


def _label_curves(figure: Figure, axes: Axes, curves: Sequence[Curve], scale: str) -> None:
    """Put each curve's label beside it; the layout must be final."""
    renderer = FigureCanvasAgg(figure).get_renderer()  # type: ignore[no-untyped-call]
    texts = [
        axes.annotate(
            curve.label,
            xy=tuple(curve.points[-1]),
            xytext=(0, 0),
            textcoords="offset points",
            ha="center",
            va="center",
            color=curve.style.text,
            fontsize=5.5 if curve.reported else 6.2,
            fontstyle="italic" if curve.reported else "normal",
            linespacing=1.05,
            zorder=5,
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.7, "pad": 0.3},
        )
        for curve in curves
    ]
    sizes = []
    for text in texts:
        box = text.get_window_extent(renderer)
        sizes.append((float(box.width), float(box.height)))
    frame = axes.get_window_extent()
    last = max(range(len(curves)), key=lambda i: float(curves[i].points[-1, 0]))
    _set_limits(axes, curves, scale, min(0.4, (sizes[last][0] + 6 * _POINT_PX) / frame.width))
    pixels = [np.asarray(axes.transData.transform(curve.points)) for curve in curves]
    right = figure.bbox.x1 - 2 * _POINT_PX  # labels may use the margin beside the axes
    places = label_placement.place(
        pixels, sizes, (frame.x0 + 2, frame.y0 + 2, right, frame.y1), gap=4.5 * _POINT_PX
    )
    for text, curve, xy, place, size in zip(texts, curves, pixels, places, sizes, strict=True):
        anchor = xy[place.anchor]
        text.xy = tuple(curve.points[place.anchor])
        offset = (np.asarray(place.centre) - anchor) / _POINT_PX
        text.set_position((float(offset[0]), float(offset[1])))
        if place.leader:
            _lead(axes, curve, place, size, anchor)


def _lead(
    axes: Axes,
    curve: Curve,
    place: label_placement.Placed,
    size: tuple[float, float],
    anchor: label_placement.Points,
) -> None:
    """Draw a hairline from the curve's point to the nearest edge of a label that stands off."""
    centre, half = np.asarray(place.centre), np.asarray(size) / 2 + _POINT_PX
    end = np.clip(anchor, centre - half, centre + half)
    axes.annotate(
        "",
        xy=tuple(curve.points[place.anchor]),
        xytext=tuple(((end - anchor) / _POINT_PX).tolist()),
        textcoords="offset points",
        arrowprops={
            "arrowstyle": "-",
            "color": curve.style.text,
            "linewidth": 0.4,
            "shrinkA": 0,
            "shrinkB": 2,
        },
        zorder=1.5,
    )


def draw(
    curves: Sequence[Curve], metric: str, *, scale: str, heading: str, small_print: str
) -> Figure:
    """Return a labelled figure of ``curves``; call it inside ``mpl.rc_context(...)``.

    Parameters
    ----------
    curves
        At least one, each of at least one point.
    metric
        Column name; gives the y label and direction.
    scale
        ``linear`` or ``log``: of the rate axis.
    heading
        Dataset and image count.
    small_print
        Footer, wrapped here.
    """
    figure = Figure(figsize=(WIDTH_IN, HEIGHT_IN), dpi=DPI, layout="constrained")
    lines = textwrap.wrap(small_print, 110, break_long_words=False)[:4]
    room = (len(lines) * 5.6 + 2) / 72 / HEIGHT_IN
    engine = figure.get_layout_engine()
    assert engine is not None
    engine.set(rect=(0, room, 1, 1 - room), w_pad=0.03, h_pad=0.03)  # type: ignore[call-arg]
    axes = figure.add_subplot()
    _draw_curves(axes, curves)
    _set_limits(axes, curves, scale, 0.2)
    _dress(axes, metric, heading)
    figure.text(
        0.012, 2 / 72 / HEIGHT_IN, "\n".join(lines), fontsize=4.2, color=_GREY, va="bottom"
    ).set_in_layout(False)
    FigureCanvasAgg(figure)
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # labels stand where they were measured
    _label_curves(figure, axes, curves, scale)
    return figure


def encode(figure: Figure, suffix: str) -> bytes:
    """Return ``figure`` as a file of format ``suffix``, without the date in it."""
    buffer = BytesIO()
    metadata = {"Date": None} if suffix == "svg" else {"Software": None}
    figure.savefig(buffer, format=suffix, dpi=DPI, metadata=metadata)
    if suffix == "svg":  # Verdana has DejaVu's widths, for machines without it
        return buffer.getvalue().replace(b"'DejaVu Sans'", b"'DejaVu Sans', Verdana, sans-serif")
    return buffer.getvalue()

"""Drawing at column width: panels from numbers, labels at the curves, the stamp underneath."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any, Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.transforms import Bbox

from bench.figures.figure import REPORTED, select
from bench.output import label_placement, plot_styles, rd_plot

WIDTH_IN, DPI = 3.5, 300
FORMATS = ("pdf", "svg", "png")
RC: dict[Any, Any] = {
    **rd_plot.RC,
    "pdf.fonttype": 42,  # TrueType outlines: journals refuse Type 3
    "font.size": 6.5,
    "axes.labelsize": 6.5,
    "xtick.labelsize": 6,
    "ytick.labelsize": 6,
    "hatch.linewidth": 0.4,
}
"""Matplotlib's settings that this module relies on."""

GREY, FAINT = "#555555", "#DDDDDD"
_POINT_PX = DPI / 72
_DASHES = ((4, 2), (6, 1.5, 1, 1.5), (2, 1.5), (8, 2), (5, 1.5, 1, 1.5, 1, 1.5), (1, 1))
_REPORTED_HUES = ("jpeg2000", "agvae-nogain", "jxl", "agvae-nogain-gauss", "agvae-gauss")
"""Codecs whose colours stand for reported curves: those that are not drawn beside them."""


@dataclass(frozen=True, slots=True)
class Look:
    """How a series is drawn."""

    colour: str
    text: str
    marker: str = ""
    dashes: tuple[float, ...] = ()
    width: float = 1.1
    size: float = 2.9
    filled: bool = True
    alpha: float = 1.0


def look_of(codec: str, *, marker: bool = True, width: float = 1.1) -> Look:
    """Return the colours that a codec has in every plot."""
    style = plot_styles.styles([codec])[codec]
    return Look(style.colour, style.text, style.marker if marker else "", width=width)


def reported_look(index: int) -> Look:
    """Return the look of the ``index``-th reported curve: thin, always dashed, no markers."""
    dashes = _DASHES[index % len(_DASHES)]
    turn = index % (len(_REPORTED_HUES) + 1)
    if turn == len(_REPORTED_HUES):
        return Look("#777777", GREY, dashes=dashes, width=0.8)
    chosen = plot_styles.styles([_REPORTED_HUES[turn]])[_REPORTED_HUES[turn]]
    return Look(chosen.colour, chosen.text, dashes=dashes, width=0.8)


@dataclass(slots=True)
class _Label:
    axes: Axes
    text: str
    points: label_placement.Points
    look: Look
    italic: bool


class Sheet:
    """One figure in the making: panels, lines drawn from rows, labels placed at the end.

    Use it inside ``mpl.rc_context(RC)``.

    Parameters
    ----------
    mosaic
        As of ``Figure.subplot_mosaic``; the keys are the panels.
    height_in
        Of the whole figure.
    small_print
        Drawn under the panels, wrapped here.
    width_in
        Column width, or the page's for what needs it.
    options
        More for ``Figure.subplot_mosaic``.
    """

    def __init__(
        self,
        mosaic: Sequence[Sequence[str]],
        *,
        height_in: float,
        small_print: str,
        width_in: float = WIDTH_IN,
        **options: Any,  # noqa: ANN401 - matplotlib's
    ) -> None:
        self.figure = Figure(figsize=(width_in, height_in), dpi=DPI, layout="constrained")
        lines = textwrap.wrap(small_print, int(30 * width_in), break_long_words=False)
        room = (len(lines) * 5.6 + 2) / 72 / height_in
        engine = self.figure.get_layout_engine()
        assert engine is not None
        engine.set(rect=(0, room, 1, 1 - room), w_pad=0.03, h_pad=0.03)  # type: ignore[call-arg]
        self.axes: Mapping[str, Axes] = self.figure.subplot_mosaic(
            [list(row) for row in mosaic], **options
        )
        self.figure.text(
            0.012, 2 / 72 / height_in, "\n".join(lines), fontsize=4.2, color=GREY, va="bottom"
        ).set_in_layout(False)
        self._widths_in = {
            key: width_in * row.count(key) / len(row) for row in map(list, mosaic) for key in row
        }
        self._labels: list[_Label] = []

    def panel(
        self,
        key: str,
        heading: str,
        *,
        x: str,
        y: str,
        xlim: tuple[float, float] | None = None,
        ylim: tuple[float, float] | None = None,
    ) -> Axes:
        """Dress a panel: heading, axis names with units, light grid; return its axes."""
        axes = self.axes[key]
        heading = textwrap.fill(heading, int(14 * self._widths_in[key]))
        axes.set_title(heading, loc="left", fontsize=7, fontweight="bold", pad=4)
        axes.set_xlabel(x, labelpad=2)
        axes.set_ylabel(y, labelpad=2)
        axes.grid(visible=True, color=FAINT, linewidth=0.4)
        axes.set_axisbelow(True)
        axes.tick_params(length=2, width=0.5, color=GREY, pad=2)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
        for side in ("left", "bottom"):
            axes.spines[side].set(linewidth=0.5, color=GREY)
        if xlim:
            axes.set_xlim(xlim)
        if ylim:
            axes.set_ylim(ylim)
        return axes

    def line(
        self, data: pd.DataFrame, panel: str, name: str, look: Look, label: str = ""
    ) -> Line2D:
        """Draw one series of ``data``; what is reported is dashed, whatever ``look`` says.

        Parameters
        ----------
        data
            Rows of ``product.series``.
        panel, name
            Which of them.
        look
            Colours, marker, dashes.
        label
            Written at the curve; empty for none.
        """
        rows = select(data, panel, name)
        reported = bool((rows["status"] == REPORTED).all())
        dashes = look.dashes or (_DASHES[0] if reported else ())
        points = rows[["x", "y"]].to_numpy(dtype=np.float64)
        [line] = self.axes[panel].plot(
            points[:, 0],
            points[:, 1],
            color=look.colour,
            linewidth=look.width,
            linestyle=(0, dashes) if dashes else "-",
            marker=look.marker or None,
            markersize=look.size,
            markeredgewidth=0.7,
            markerfacecolor=look.colour if look.filled else "white",
            alpha=look.alpha,
            zorder=2 if reported else 3,
            gid=f"{panel}|{name}",
        )
        if label or len(points):
            self._labels.append(_Label(self.axes[panel], label, points, look, reported))
        return line

    def words(
        self, panel: str, lines: Sequence[tuple[str, Look]], *, x: float = 0.01, y: float = 0.98
    ) -> None:
        """Name curves in their own colours, one under the other from (x, y) of the panel.

        For curves so close together that labels beside them would not tell which is which.
        """
        for text, look in lines:
            self.axes[panel].text(
                x,
                y,
                text,
                transform=self.axes[panel].transAxes,
                va="top",
                fontsize=6,
                color=look.text,
                linespacing=1.05,
                zorder=5,
            )
            y -= 0.075 * (1 + text.count("\n")) + 0.03

    def key(self, panel: str, *, loc: Literal["lower right", "lower left"] = "lower right") -> None:
        """Say in the panel what dashes mean."""
        handle = Line2D(
            [], [], color=GREY, linewidth=0.8, linestyle=(0, _DASHES[0]), label=REPORTED
        )
        legend = self.axes[panel].legend(
            handles=[handle], loc=loc, fontsize=5.5, handlelength=2.6, borderpad=0.25
        )
        legend.get_frame().set(linewidth=0, alpha=0.8)

    def finish(self) -> Figure:
        """Fix the layout, put every label beside its curve, return the figure."""
        FigureCanvasAgg(self.figure)
        self.figure.draw_without_rendering()
        self.figure.set_layout_engine("none")  # labels stand where they were measured
        for axes in self.figure.axes:  # the solver's last digits vary from run to run
            edges = axes.get_position(original=True).extents
            axes.set_position(Bbox.from_extents(*(round(float(edge), 6) for edge in edges)))
        for axes in dict.fromkeys(label.axes for label in self._labels):
            self._place(axes, [label for label in self._labels if label.axes is axes])
        return self.figure

    def _place(self, axes: Axes, labels: Sequence[_Label]) -> None:
        """Write the labels of one panel, clear of each other and of every curve in it."""
        if not any(label.text for label in labels):
            return
        frame = axes.get_window_extent()
        inside = [self._visible(axes, label) for label in labels]
        texts = [_write(axes, label, points) for label, points in zip(labels, inside, strict=True)]
        renderer = FigureCanvasAgg(self.figure).get_renderer()  # type: ignore[no-untyped-call]
        boxes = [text.get_window_extent(renderer) if text else None for text in texts]
        # A curve without a label is still in the way of the others' labels. Its own is given a
        # size below zero, a box that neither covers nor overlaps anything.
        gap = 4.0 * _POINT_PX
        none = (-8 * gap, -8 * gap)
        sizes = [(float(b.width), float(b.height)) if b else none for b in boxes]
        pixels = [np.asarray(axes.transData.transform(points)) for points in inside]
        right = self.figure.bbox.x1 - 2 * _POINT_PX if self._is_rightmost(axes) else frame.x1
        places = label_placement.place(
            pixels, sizes, (frame.x0 + 2, frame.y0 + 2, right, frame.y1), gap=gap
        )
        for text, label, points, xy, place, size in zip(
            texts, labels, inside, pixels, places, sizes, strict=True
        ):
            if text is None:
                continue
            text.xy = tuple(points[place.anchor])
            offset = (np.asarray(place.centre) - xy[place.anchor]) / _POINT_PX
            text.set_position((float(offset[0]), float(offset[1])))
            if place.leader:
                _lead(label, points[place.anchor], xy[place.anchor], place, size)

    @staticmethod
    def _visible(axes: Axes, label: _Label) -> label_placement.Points:
        """Return the points of a curve that lie within the panel's limits, or its last one."""
        (x0, x1), (y0, y1) = sorted(axes.get_xlim()), sorted(axes.get_ylim())
        x, y = label.points[:, 0], label.points[:, 1]
        kept = label.points[(x >= x0) & (x <= x1) & (y >= y0) & (y <= y1)]
        return kept if len(kept) else label.points[-1:]

    def _is_rightmost(self, axes: Axes) -> bool:
        edges = [other.get_window_extent().x1 for other in self.axes.values()]
        return bool(axes.get_window_extent().x1 >= max(edges) - 1)


def _write(axes: Axes, label: _Label, points: label_placement.Points) -> Any:  # noqa: ANN401 - a text
    """Return the label's text, not yet in its place; None where there is none."""
    if not label.text:
        return None
    return axes.annotate(
        label.text,
        xy=tuple(points[-1]),
        xytext=(0, 0),
        textcoords="offset points",
        ha="center",
        va="center",
        color=label.look.text,
        fontsize=5.6 if label.italic else 6.2,
        fontstyle="italic" if label.italic else "normal",
        linespacing=1.05,
        zorder=5,
        bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.7, "pad": 0.3},
        annotation_clip=False,
    )


def _lead(
    label: _Label,
    point: label_placement.Points,
    pixel: label_placement.Points,
    place: label_placement.Placed,
    size: tuple[float, float],
) -> None:
    """Draw a hairline from the curve's point to the nearest edge of a label that stands off."""
    centre, half = np.asarray(place.centre), np.asarray(size) / 2 + _POINT_PX
    end = np.clip(pixel, centre - half, centre + half)
    label.axes.annotate(
        "",
        xy=tuple(point),
        xytext=tuple(((end - pixel) / _POINT_PX).tolist()),
        textcoords="offset points",
        arrowprops={
            "arrowstyle": "-",
            "color": label.look.text,
            "linewidth": 0.4,
            "shrinkA": 0,
            "shrinkB": 1,
        },
        zorder=1.5,
        annotation_clip=False,
    )


def encode(figure: Figure, suffix: str, *, title: str, origin: str) -> bytes:
    """Return ``figure`` as a file that carries its title and origin in its metadata.

    Parameters
    ----------
    figure
        Finished.
    suffix
        One of ``FORMATS``.
    title
        What it shows.
    origin
        ``Stamp.full()``.
    """
    metadata = {
        "pdf": {"Title": title, "Subject": origin, "CreationDate": None, "Producer": None},
        "svg": {"Title": title, "Description": origin, "Date": None},
        "png": {"Title": title, "Description": origin, "Software": None},
    }[suffix]
    buffer = BytesIO()
    figure.savefig(buffer, format=suffix, dpi=DPI, metadata=metadata)
    if suffix == "svg":  # Verdana has DejaVu's widths, for machines without it
        return buffer.getvalue().replace(b"'DejaVu Sans'", b"'DejaVu Sans', Verdana, sans-serif")
    return buffer.getvalue()

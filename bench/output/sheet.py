"""The one drawing engine: panels from numbers, labels at the curves, the origin underneath.

Drawn at the width of a journal's column, with labels at the curves instead of a legend. Figures are
made without pyplot's global state, and the same numbers give the same bytes. Text is never markup:
a dollar sign in a name is a dollar sign.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.transforms import Bbox

from bench.files import write_atomically
from bench.output import label_placement
from bench.output.axes import fit_rates
from bench.output.figure import REPORTED, select
from bench.output.figure_text import clean, in_lines, no_glyph_warnings, shortened
from bench.output.plot_styles import DASHES, Style
from bench.output.table_formats import plain_text

WIDTH_IN, DPI = 3.5, 300
FORMATS = ("pdf", "svg", "png")
RATE = "bits per pixel (bpp), whole file"
"""Name of every rate axis."""

_SMALL = 6  # nothing is smaller, in points
RC: dict[Any, Any] = {
    "font.family": ["DejaVu Sans"],
    "font.size": 6.5,
    "text.parse_math": False,  # names come from users
    "svg.fonttype": "none",  # text stays text: searchable, editable
    "svg.hashsalt": "bench",  # ids in the SVG do not change from run to run
    "pdf.fonttype": 42,  # TrueType outlines: journals refuse Type 3
    "axes.unicode_minus": True,
    "axes.labelsize": 6.5,
    "xtick.labelsize": _SMALL,
    "ytick.labelsize": _SMALL,
    "path.simplify": False,
    "hatch.linewidth": 0.4,
}
"""Matplotlib's settings that this module relies on: draw inside ``mpl.rc_context(RC)``."""

GREY, FAINT = "#555555", "#DDDDDD"
_POINT_PX = DPI / 72
_LINE_IN, _LETTER_IN = 7.4 / 72, 3.45 / 72  # height of a line of small print, width of a letter
_HEADING_LETTERS, _NOTE_LETTERS = 150, 66
_BOX = {"facecolor": "white", "edgecolor": "none", "alpha": 0.7, "pad": 0.3}


@dataclass(slots=True)
class _Label:
    axes: Axes
    text: str
    points: label_placement.Points
    style: Style
    italic: bool


class Sheet:
    """One figure in the making: panels, lines drawn from rows, labels placed at the end.

    Use it inside ``mpl.rc_context(RC)``.

    Parameters
    ----------
    mosaic
        As of ``Figure.subplot_mosaic``; the keys are the panels.
    height_in
        Of the panels; the small print comes on top of it.
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
        lines = textwrap.wrap(plain_text(small_print), int(width_in / _LETTER_IN))
        below_in = len(lines) * _LINE_IN + 2 / 72
        height_in += below_in
        self.figure = Figure(figsize=(width_in, height_in), dpi=DPI, layout="constrained")
        room = below_in / height_in
        engine = self.figure.get_layout_engine()
        assert engine is not None
        engine.set(rect=(0, room, 1, 1 - room), w_pad=0.03, h_pad=0.03)  # type: ignore[call-arg]
        self.axes: Mapping[str, Axes] = self.figure.subplot_mosaic(
            [list(row) for row in mosaic], **options
        )
        self.figure.text(
            0.012, 2 / 72 / height_in, "\n".join(lines), fontsize=_SMALL, color=GREY, va="bottom"
        ).set_in_layout(False)
        self._widths_in = {
            key: width_in * row.count(key) / len(row) for row in map(list, mosaic) for key in row
        }
        self._labels: list[_Label] = []
        self._scales: dict[Axes, str] = {}

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
        heading = shortened(plain_text(heading), _HEADING_LETTERS)
        heading = textwrap.fill(heading, int(14 * self._widths_in[key]))
        axes.set_title(heading, loc="left", fontsize=7, fontweight="bold", pad=4)
        axes.set_xlabel(in_lines(x), labelpad=2)
        axes.set_ylabel(in_lines(y), labelpad=2)
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

    def rate_axis(self, panel: str, scale: str) -> None:
        """Make the x axis one of rates: from zero or logarithmic, with room for the labels.

        Parameters
        ----------
        panel
            Whose lines end in labels.
        scale
            ``linear`` or ``log``.
        """
        self._scales[self.axes[panel]] = scale
        self.axes[panel].margins(y=0.08)

    def line(
        self, data: pd.DataFrame, panel: str, name: str, style: Style, label: str = ""
    ) -> Line2D:
        """Draw one series of ``data``; what is reported is dashed, whatever ``style`` says.

        Parameters
        ----------
        data
            Rows of ``figure.series``.
        panel, name
            Which of them.
        style
            Colours, marker, dashes.
        label
            Written at the curve; empty for none.
        """
        rows = select(data, panel, name)
        reported = bool((rows["status"] == REPORTED).all())
        dashes = style.dashes or (DASHES[0] if reported else ())
        points = rows[["x", "y"]].to_numpy(dtype=np.float64)
        [line] = self.axes[panel].plot(
            points[:, 0],
            points[:, 1],
            color=style.colour,
            linewidth=style.width,
            linestyle=(0, dashes) if dashes else "-",
            marker=style.marker or None,
            markersize=style.size,
            markeredgewidth=0.7,
            markerfacecolor=style.colour if style.filled else "white",
            zorder=2 if reported else 3,
            gid=f"{panel}|{clean(name)}",
        )
        if label or len(points):
            self._labels.append(_Label(self.axes[panel], label, points, style, reported))
        return line

    def words(
        self, panel: str, lines: Sequence[tuple[str, Style]], *, x: float = 0.01, y: float = 0.98
    ) -> None:
        """Name curves in their own colours, one under the other from (x, y) of the panel.

        For curves so close together that labels beside them would not show which is which.
        """
        for text, style in lines:
            self._text(panel, x, y, text, style.text, "top")
            y -= 0.075 * (1 + text.count("\n")) + 0.03

    def note(self, panel: str, text: str, *, x: float = 0.98, y: float = 0.03) -> None:
        """Write a few grey words into a panel, at (x, y) of it."""
        self._text(panel, x, y, text, GREY, "bottom")

    def _text(self, panel: str, x: float, y: float, text: str, colour: str, va: str) -> None:
        axes = self.axes[panel]
        axes.text(
            x,
            y,
            in_lines(text, _NOTE_LETTERS),
            transform=axes.transAxes,
            ha="left" if x < 0.5 else "right",
            va=va,
            fontsize=_SMALL,
            color=colour,
            linespacing=1.05,
            zorder=5,
            bbox=_BOX,
        )

    def key(self, panel: str, *, loc: Literal["lower right", "lower left"] = "lower right") -> None:
        """Say in the panel what dashes mean."""
        handle = Line2D([], [], color=GREY, linewidth=0.8, linestyle=(0, DASHES[0]), label=REPORTED)
        legend = self.axes[panel].legend(
            handles=[handle], loc=loc, fontsize=_SMALL, handlelength=2.6, borderpad=0.25
        )
        legend.get_frame().set(linewidth=0, alpha=0.8)

    def finish(self) -> Figure:
        """Fix the layout, put every label beside its curve, return the figure."""
        with no_glyph_warnings():
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
        texts = [_write(label) for label in labels]
        renderer = FigureCanvasAgg(self.figure).get_renderer()  # type: ignore[no-untyped-call]
        boxes = [text.get_window_extent(renderer) if text else None for text in texts]
        # A curve without a label is still in the way of the others' labels. Its own is given a
        # size below zero, a box that neither covers nor overlaps anything.
        gap = 4.0 * _POINT_PX
        none = (-8 * gap, -8 * gap)
        sizes = [(float(b.width), float(b.height)) if b else none for b in boxes]
        frame = axes.get_window_extent()
        if axes in self._scales:
            shares = [max(0.0, (width + 1.5 * gap) / frame.width) for width, _ in sizes]
            fit_rates(axes, self._scales[axes], [label.points for label in labels], shares)
        if not any(texts):
            return
        inside = [_visible(axes, label) for label in labels]
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

    def _is_rightmost(self, axes: Axes) -> bool:
        edges = [other.get_window_extent().x1 for other in self.axes.values()]
        return bool(axes.get_window_extent().x1 >= max(edges) - 1)


def _visible(axes: Axes, label: _Label) -> label_placement.Points:
    """Return the points of a curve that lie within the panel's limits, or its last one."""
    (x0, x1), (y0, y1) = sorted(axes.get_xlim()), sorted(axes.get_ylim())
    x, y = label.points[:, 0], label.points[:, 1]
    kept = label.points[(x >= x0) & (x <= x1) & (y >= y0) & (y <= y1)]
    return kept if len(kept) else label.points[-1:]


def _write(label: _Label) -> Any:  # noqa: ANN401 - a text
    """Return the label's text, not yet in its place; None where there is none."""
    if not label.text:
        return None
    return label.axes.annotate(
        in_lines(label.text),
        xy=tuple(label.points[-1]),
        xytext=(0, 0),
        textcoords="offset points",
        ha="center",
        va="center",
        color=label.style.text,
        fontsize=_SMALL,
        fontstyle="italic" if label.italic else "normal",
        linespacing=1.05,
        zorder=5,
        bbox=_BOX,
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
            "color": label.style.text,
            "linewidth": 0.4,
            "shrinkA": 0,
            "shrinkB": 1,
        },
        zorder=1.5,
        annotation_clip=False,
    )


def encode(figure: Figure, suffix: str, *, title: str, origin: str) -> bytes:
    """Return ``figure`` as a file that carries its title and origin in its metadata, and no time.

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
    title = plain_text(title)
    metadata = {
        "pdf": {"Title": title, "Subject": origin, "CreationDate": None, "Producer": None},
        "svg": {"Title": title, "Description": origin, "Date": None},
        "png": {"Title": title, "Description": origin, "Software": None},
    }[suffix]
    buffer = BytesIO()
    with no_glyph_warnings():
        figure.savefig(buffer, format=suffix, dpi=DPI, metadata=metadata)
    if suffix == "svg":  # Verdana has DejaVu's widths, for machines without it
        return buffer.getvalue().replace(b"'DejaVu Sans'", b"'DejaVu Sans', Verdana, sans-serif")
    return buffer.getvalue()


def write_figure(
    figure: Figure, stem: Path, formats: Sequence[str], *, title: str, origin: str
) -> list[Path]:
    """Write ``stem.FORMAT`` for each of ``formats``; return the paths. See ``encode``.

    Raises
    ------
    OutputError
        If a file cannot be written.
    """
    paths = [stem.with_name(f"{stem.name}.{suffix}") for suffix in formats]  # dots in it stay
    for path, suffix in zip(paths, formats, strict=True):
        write_atomically(path, encode(figure, suffix, title=title, origin=origin))
    return paths

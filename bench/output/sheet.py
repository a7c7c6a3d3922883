"""The one drawing engine: panels from numbers, labels at the curves, the origin underneath.

Drawn at the width of a journal's column, with labels at the curves instead of a legend. Figures are
made without pyplot's global state, and the same numbers give the same bytes. Text is never markup:
a dollar sign in a name is a dollar sign.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from bench.files import write_atomically
from bench.output import curve_labels
from bench.output.curve_labels import BOX, DPI, POINT_PX, SMALL_PT, Label
from bench.output.figure import REPORTED, select
from bench.output.figure_text import clean, in_lines, no_glyph_warnings, short_svg, shortened
from bench.output.plot_styles import DASHES, Style
from bench.output.table_formats import plain_text

WIDTH_IN = 3.5
FORMATS = ("pdf", "svg", "png")
RATE = "bits per pixel (bpp), whole file"
"""Name of every rate axis."""

RC: dict[Any, Any] = {
    "font.family": ["DejaVu Sans"],
    "font.size": 6.5,
    "text.parse_math": False,  # names come from users
    "svg.fonttype": "none",  # text stays text: searchable, editable
    "svg.hashsalt": "bench",  # ids in the SVG do not change from run to run
    "pdf.fonttype": 42,  # TrueType outlines: journals refuse Type 3
    "axes.unicode_minus": True,
    "axes.labelsize": 6.5,
    "xtick.labelsize": SMALL_PT,
    "ytick.labelsize": SMALL_PT,
    "path.simplify": False,
    "hatch.linewidth": 0.4,
    "figure.autolayout": False,
    "figure.constrained_layout.use": False,
}
"""Matplotlib's settings that this module relies on: draw inside ``mpl.rc_context(RC)``."""

GREY, FAINT = "#555555", "#DDDDDD"
_LINE_IN, _LETTER_IN = 7.4 / 72, 3.45 / 72  # height of a line of small print, width of a letter
_ROW_IN, _HANDLE_IN = 7.9 / 72, 0.4  # of a key: height of a row, width beside a name
_HEADING_LETTERS, _NOTE_LETTERS, _KEY_LETTERS = 150, 66, 56


@dataclass(frozen=True, slots=True)
class Key:
    """Names and styles of curves that lie too close together for labels, below all panels.

    Attributes
    ----------
    title
        What they have in common.
    entries
        Name and style of each; none: no key.
    """

    title: str
    entries: Sequence[tuple[str, Style]]

    @property
    def short(self) -> list[tuple[str, Style]]:
        """The entries as they are written."""
        return [(shortened(plain_text(name), _KEY_LETTERS), style) for name, style in self.entries]

    def columns(self, width_in: float) -> int:
        """Return how many columns of names fit side by side: two or one."""
        longest = max((len(name) for name, _ in self.short), default=0)
        return 2 if 2 * (longest * _LETTER_IN + _HANDLE_IN) < width_in else 1

    def height_in(self, width_in: float) -> float:
        """Return how much of the figure it takes."""
        if not self.entries:
            return 0.0
        rows = -(-len(self.entries) // self.columns(width_in))
        return (rows + 1) * _ROW_IN + 0.04


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
    key
        Of dashed curves, drawn below the panels.
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
        key: Key | None = None,
        **options: Any,  # noqa: ANN401 - matplotlib's
    ) -> None:
        lines = textwrap.wrap(
            plain_text(small_print), int(width_in / _LETTER_IN), break_on_hyphens=False
        )
        print_in = len(lines) * _LINE_IN + 2 / 72
        below_in = print_in + (key.height_in(width_in) if key else 0)
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
            0.012, 2 / 72 / height_in, "\n".join(lines), fontsize=SMALL_PT, color=GREY, va="bottom"
        ).set_in_layout(False)
        if key and key.entries:
            _legend(self.figure, key, width_in, print_in / height_in)
        self._tall = int(0.75 * (height_in - below_in) / len(mosaic) / (1.08 * _LETTER_IN))
        self._widths_in = {
            key: width_in * row.count(key) / len(row) for row in map(list, mosaic) for key in row
        }
        self._labels: list[Label] = []
        self._notes: list[Text] = []
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
        axes.set_ylabel(textwrap.fill(plain_text(y), self._tall), labelpad=2)
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
        self.axes[panel].margins(y=0.13)

    def line(
        self,
        data: pd.DataFrame,
        panel: str,
        name: str,
        style: Style,
        label: str = "",
        *,
        marks: int = 0,
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
        marks
            So many markers, spread over the line; 0: one at each point.
        """
        rows = select(data, panel, name)
        reported = bool((rows["status"] == REPORTED).all())
        points = rows[["x", "y"]].to_numpy(dtype=np.float64)
        marked = _spread(len(points), marks)
        [line] = self.axes[panel].plot(
            points[:, 0],
            points[:, 1],
            **_look(style if style.dashes or not reported else replace(style, dashes=DASHES[0])),
            markevery=marked,
            zorder=2 if reported else 3,
            gid=f"{panel}|{clean(name)}",
        )
        if label or len(points):
            self._labels.append(
                Label(self.axes[panel], line, label, points, style, reported, marked)
            )
        return line

    def level(self, panel: str, y: float, x: tuple[float, float], style: Style, label: str) -> None:
        """Draw a horizontal line from one x to another, and name it at its end as a curve."""
        [line] = self.axes[panel].plot(x, (y, y), color=style.colour, linewidth=0.9, zorder=2)
        points = np.array([[end, y] for end in x])
        self._labels.append(Label(self.axes[panel], line, label, points, style, italic=False))

    def words(self, panel: str, lines: Sequence[tuple[str, Style]]) -> None:
        """Name curves beside their line and marker, where in the panel that hides least.

        For curves so close together that labels beside them would not show which is which.
        """
        legend = self.axes[panel].legend(
            handles=[Line2D([], [], label=text, **_look(style)) for text, style in lines],
            labelcolor=[style.text for _, style in lines],
            loc="best",
            fontsize=SMALL_PT,
            handlelength=1.9,
            handletextpad=0.5,
            labelspacing=0.35,
            borderpad=0.2,
            borderaxespad=0.3,
        )
        legend.get_frame().set(linewidth=0, alpha=BOX["alpha"])

    def note(self, panel: str, text: str, *, x: float = 0.98, y: float = 0.03) -> None:
        """Write a few grey words into the corner of a panel at (x, y), or a freer one."""
        axes = self.axes[panel]
        note = axes.text(
            x,
            y,
            in_lines(text, _NOTE_LETTERS),
            transform=axes.transAxes,
            ha="left" if x < 0.5 else "right",
            va="bottom" if y < 0.5 else "top",
            fontsize=SMALL_PT,
            color=GREY,
            linespacing=1.05,
            zorder=5,
            bbox=BOX,
        )
        self._notes.append(note)

    def dashed(
        self, panel: str, *, loc: Literal["lower right", "lower left"] = "lower right"
    ) -> None:
        """Say in the panel what dashes mean."""
        handle = Line2D([], [], color=GREY, linewidth=0.8, linestyle=(0, DASHES[0]), label=REPORTED)
        legend = self.axes[panel].legend(
            handles=[handle], loc=loc, fontsize=SMALL_PT, handlelength=3.6, borderpad=0.25
        )
        legend.get_frame().set(linewidth=0, alpha=0.8)

    def finish(self) -> Figure:
        """Fix the layout, put every label beside its curve, return the figure."""
        with no_glyph_warnings():
            FigureCanvasAgg(self.figure)
            engine = self.figure.get_layout_engine()
            assert engine is not None
            if self.figure.legends or any(axes.get_legend() for axes in self.figure.axes):
                self.figure.draw_without_rendering()  # a legend finds its place when it is drawn
            else:
                engine.execute(self.figure)
            # Labels stand where they were measured; without an engine a file is drawn once.
            self.figure.set_layout_engine(None)
            for axes in self.figure.axes:  # the solver's last digits vary from run to run
                edges = axes.get_position(original=True).extents
                axes.set_position(Bbox.from_extents(*(round(float(edge), 6) for edge in edges)))
            curve_labels.move_notes(self._notes)
            ends = {axes: float(axes.get_window_extent().x1) for axes in self.axes.values()}
            for axes in dict.fromkeys(label.axes for label in self._labels):
                rightmost = ends[axes] >= max(ends.values()) - 1
                right = self.figure.bbox.x1 - 2 * POINT_PX if rightmost else ends[axes]
                mine = [label for label in self._labels if label.axes is axes]
                curve_labels.write(axes, mine, self._scales.get(axes, ""), right)
        return self.figure


def _legend(figure: Figure, key: Key, width_in: float, bottom: float) -> None:
    """Draw a key over the width of a figure, ``bottom`` of its height above its lower edge."""
    legend = figure.legend(
        handles=[Line2D([], [], **_look(style), label=name) for name, style in key.short],
        title=key.title,
        loc="lower left",
        bbox_to_anchor=(0, bottom),
        ncols=key.columns(width_in),
        frameon=False,
        fontsize=SMALL_PT,
        title_fontsize=SMALL_PT,
        handlelength=3.2,
        columnspacing=1.0,
        borderpad=0.25,
        labelspacing=0.3,
        alignment="left",
    )
    legend.set_in_layout(False)


def _look(style: Style) -> dict[str, Any]:
    """Return a style as properties of a line."""
    return {
        "color": style.colour,
        "linewidth": style.width,
        "linestyle": (0, style.dashes) if style.dashes else "-",
        "marker": style.marker or None,
        "markersize": style.size,
        "markeredgewidth": 0.7,
        "markerfacecolor": style.colour if style.filled else "white",
    }


def _spread(count: int, marks: int) -> list[int] | None:
    """Return which of ``count`` points have markers; None for all."""
    if not marks or marks >= count:
        return None
    return [round((i + 0.5) * (count - 1) / marks) for i in range(marks)]


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
    return short_svg(buffer.getvalue()) if suffix == "svg" else buffer.getvalue()


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

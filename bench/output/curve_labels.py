"""Names at the ends of curves: one panel's labels, measured, placed and written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.text import Text

from bench.output import label_placement
from bench.output.axes import fit_rates
from bench.output.figure_text import in_lines
from bench.output.plot_styles import Style

SMALL_PT, DPI = 6, 300
"""Nothing on a figure is smaller than the one, at the size that it is printed in; dots an inch."""

POINT_PX = DPI / 72
BOX = {"facecolor": "white", "edgecolor": "none", "alpha": 0.7, "pad": 0.3}
LEADER = "leader"
"""``gid`` of the hairlines from curves to labels that stand off."""

_GAP = 4.0 * POINT_PX


@dataclass(frozen=True, slots=True)
class Label:
    """A drawn line and what is to be written at it, perhaps nothing.

    Attributes
    ----------
    axes, line
        Where it is drawn.
    text
        Empty for none.
    points
        (N, 2) of the data, the preferred end last.
    style
        Of the line.
    italic
        For what is reported.
    marks
        Which points have markers; None for all.
    """

    axes: Axes
    line: Line2D
    text: str
    points: label_placement.Points
    style: Style
    italic: bool = False
    marks: list[int] | None = None


def write(axes: Axes, labels: Sequence[Label], scale: str, right: float) -> None:
    """Write the labels of one panel, clear of each other and of everything that is drawn in it.

    Parameters
    ----------
    axes
        The panel, its layout fixed.
    labels
        All of it.
    scale
        ``linear`` or ``log`` for a rate axis, whose limits make room for the labels; else empty.
    right
        As far as labels may reach, in pixels.
    """
    fixed = _fixed_boxes(axes)
    texts = [_written(label) for label in labels]
    sizes = [_size(text) if text else None for text in texts]
    frame = axes.get_window_extent()
    if scale:
        shares = [(size[0] + 2.5 * _GAP) / frame.width if size else 0.0 for size in sizes]
        fit_rates(axes, scale, [label.points for label in labels], shares)
    if not any(texts):
        return
    inside = [_visible(axes, label) for label in labels]
    triples = zip(labels, inside, sizes, strict=True)
    curves = [_curve(label, points, size) for label, points, size in triples]
    others = _obstacles(axes, [label.line for label in labels])
    area = (frame.x0 + 2, frame.y0 + 2, right, frame.y1)
    places = label_placement.place([*curves, *others], area, gap=_GAP, fixed=fixed)
    for text, label, points, curve, place in zip(
        texts, labels, inside, curves, places[: len(labels)], strict=True
    ):
        if text is None or place is None:
            continue
        text.xy = tuple(points[place.anchor])
        pixel = curve.points[place.anchor]
        offset = (np.asarray(place.centre) - pixel) / POINT_PX
        text.set_position((float(offset[0]), float(offset[1])))
        text.set_multialignment(_side(offset[0], curve.size))
        if place.leader:
            _lead(label, points[place.anchor], curve, place)


def _size(text: Any) -> tuple[float, float]:  # noqa: ANN401 - a text
    box = text.get_window_extent()
    return float(box.width), float(box.height)


def _curve(
    label: Label, points: label_placement.Points, size: tuple[float, float] | None
) -> label_placement.Curve:
    """Return a drawn line as label placement knows it, in pixels."""
    course = np.asarray(label.axes.transData.transform(points))
    if not label.style.marker:
        return label_placement.Curve(course, size)
    marked = label.points if label.marks is None else label.points[label.marks]
    return label_placement.Curve(
        course,
        size,
        np.asarray(label.axes.transData.transform(marked)),
        (label.style.size / 2 + 0.4) * POINT_PX,
    )


def _obstacles(axes: Axes, labelled: Sequence[Line2D]) -> list[label_placement.Curve]:
    """Return the other lines of a panel that labels keep clear of, a zero line for one."""
    paths = [
        line.get_path().transformed(line.get_transform())
        for line in axes.get_lines()
        if line not in labelled
    ]
    return [label_placement.Curve(np.asarray(path.vertices, dtype=np.float64)) for path in paths]


def _fixed_boxes(axes: Axes) -> list[label_placement.Box]:
    """Return the boxes of what is written in a panel already, and of its legend."""
    legend = axes.get_legend()
    drawn: list[Any] = [text for text in axes.texts if text.get_text()]
    boxes = [item.get_window_extent() for item in [*drawn, *([legend] if legend else [])]]
    return [(float(b.x0), float(b.y0), float(b.x1), float(b.y1)) for b in boxes]


def move_notes(notes: Sequence[Text]) -> None:
    """Put each note into the corner of its panel where it covers least, its own if it can stay."""
    for note in notes:
        axes = note.axes
        assert isinstance(axes, Axes)
        legend = axes.get_legend()
        taken = [legend.get_window_extent()] if legend else []
        lines = [np.asarray(curve.points) for curve in _obstacles(axes, [])]
        lines += [np.asarray(axes.transData.transform(p.get_offsets())) for p in axes.collections]
        x, y = note.get_position()
        corners = [(x, y), (1 - x, y), (x, 1 - y), (1 - x, 1 - y)]
        costs = []
        for left, bottom in corners:
            _to_corner(note, left, bottom)
            box = note.get_window_extent().padded(POINT_PX)
            inside = [
                label_placement.densify(line[np.isfinite(line).all(axis=1)], POINT_PX)
                for line in lines
            ]
            covered = sum(int(((p >= box.p0) & (p <= box.p1)).all(axis=1).sum()) for p in inside)
            costs.append(covered + 1000 * sum(box.overlaps(other) for other in taken))
        _to_corner(note, *corners[int(np.argmin(costs))])


def _to_corner(note: Text, x: float, y: float) -> None:
    note.set(position=(x, y), ha="left" if x < 0.5 else "right", va="bottom" if y < 0.5 else "top")


def _side(offset: float, size: tuple[float, float] | None) -> str:
    """Return how the lines of a label are aligned: towards its curve."""
    half = size[0] / 2 / POINT_PX if size else 0
    return "left" if offset >= half else "right" if offset <= -half else "center"


def _visible(axes: Axes, label: Label) -> label_placement.Points:
    """Return the points of a curve that lie within the panel's limits, or its last one."""
    (x0, x1), (y0, y1) = sorted(axes.get_xlim()), sorted(axes.get_ylim())
    x, y = label.points[:, 0], label.points[:, 1]
    kept = label.points[(x >= x0) & (x <= x1) & (y >= y0) & (y <= y1)]
    return kept if len(kept) else label.points[-1:]


def _written(label: Label) -> Any:  # noqa: ANN401 - a text
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
        fontsize=SMALL_PT,
        fontstyle="italic" if label.italic else "normal",
        linespacing=1.05,
        zorder=5,
        bbox=BOX,
        annotation_clip=False,
    )


def _lead(
    label: Label,
    point: label_placement.Points,
    curve: label_placement.Curve,
    place: label_placement.Placed,
) -> None:
    """Draw a hairline from the curve's point to the nearest edge of a label that stands off."""
    pixel = curve.points[place.anchor]
    centre, half = np.asarray(place.centre), np.asarray(curve.size) / 2 + POINT_PX
    end = np.clip(pixel, centre - half, centre + half)
    label.axes.annotate(
        "",
        xy=tuple(point),
        xytext=tuple(((end - pixel) / POINT_PX).tolist()),
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
        gid=LEADER,
    )

"""Where labels go: beside their own curve, clear of each other and of every line.

A small optimiser over a finite set of candidates. Every label may stand at several distances and
directions from several points of its curve, the last point first; a candidate's cost grows with
distance, with every stretch of curve that it covers and with every label that it overlaps. Labels
are placed greedily, longest-cost first, then moved one by one while the total falls.

All coordinates are in pixels, x to the right, y up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]

_ANGLES_DEG = (0, 30, -30, 90, -90, 60, -60, 120, -120, 150, -150, 180)
_RINGS = (1.0, 1.6, 2.5, 3.5, 5.0, 7.0, 10.0)
_COVERED_CURVE, _COVERED_OWN, _OVERLAP, _OUTSIDE, _CROSSED = 25.0, 20.0, 400.0, 5000.0, 9.0
_COVERED_MARKER = 60.0

_STRUCK = 30.0
_SHARES = tuple(i / 10 for i in range(1, 10))
_NOWHERE = -1e9
_GRID = np.array([1.0, 2.0**20])  # a grid cell as one number


@dataclass(frozen=True, slots=True)
class Placed:
    """A label's place.

    Attributes
    ----------
    anchor
        Index of the curve's point that it belongs to.
    centre
        Of the text, in pixels.
    leader
        Whether it stands so far off that a line should lead to it.
    """

    anchor: int
    centre: tuple[float, float]
    leader: bool


@dataclass(frozen=True, slots=True)
class _Candidates:
    """Candidates of one label: boxes (N, 4) as x0, y0, x1, y1; cost, anchor, far are (N,)."""

    boxes: Points
    cost: Points
    anchor: NDArray[np.intp]
    far: NDArray[np.bool_]
    leaders: Points  # (N, 4, 2) points on the leader, off its ends; far away where there is none


def densify(points: Points, step: float) -> Points:
    """Return points (N, 2) on the polyline ``points`` (M, 2), at most ``step`` apart."""
    if len(points) < 2:
        return points
    pieces = []
    for start, end in pairwise(points):
        count = max(1, int(np.ceil(np.hypot(*(end - start)) / step)))
        pieces.append(start + (end - start) * np.arange(count)[:, None] / count)
    return np.vstack([*pieces, points[-1:]])


def _inside(boxes: Points, points: Points, axis: int = 1) -> NDArray[np.intp]:
    """Return how many of ``points`` lie in each of ``boxes``; axis 0: of boxes hold each point."""
    x, y = points[:, 0], points[:, 1]
    within = (
        (x >= boxes[:, :1]) & (x <= boxes[:, 2:3]) & (y >= boxes[:, 1:2]) & (y <= boxes[:, 3:4])
    )
    return np.asarray(within.sum(axis=axis), dtype=np.intp)


def _overlap(boxes: Points, other: Points) -> Points:
    """Return the area that each of ``boxes`` shares with the box ``other``, over other's area."""
    width = np.minimum(boxes[:, 2], other[2]) - np.maximum(boxes[:, 0], other[0])
    height = np.minimum(boxes[:, 3], other[3]) - np.maximum(boxes[:, 1], other[1])
    area = (other[2] - other[0]) * (other[3] - other[1])
    return np.asarray(np.clip(width, 0, None) * np.clip(height, 0, None) / area)


def _candidates(
    index: int,
    curves: Sequence[Points],
    lines: Sequence[Points],
    size: tuple[float, float],
    frame: tuple[float, float, float, float],
    gap: float,
) -> _Candidates:
    """Return every place that label ``index`` may take, with its cost but for other labels."""
    curve, (width, height) = curves[index], size
    last = len(curve) - 1
    boxes, cost, anchors, far = [], [], [], []
    for anchor in sorted({round(i * last / 5) for i in range(6)}, reverse=True):
        from_end = min(last - anchor, 1.5 + anchor) if last else 0
        for ring in _RINGS:
            for rank, angle in enumerate(_ANGLES_DEG):
                # The nearest point of the box, not its centre, keeps the distance.
                dx, dy = np.cos(np.radians(angle)), np.sin(np.radians(angle))
                x = curve[anchor, 0] + dx * (ring * gap + width / 2)
                y = curve[anchor, 1] + dy * (ring * gap + height / 2)
                boxes.append((x - width / 2, y - height / 2, x + width / 2, y + height / 2))
                cost.append(4.0 * (ring - 1.0) + 0.8 * rank + 4.0 * from_end)
                anchors.append(anchor)
                far.append(ring > 1.6)
    found = _with_leaders(curve, np.array(boxes), np.array(cost), np.array(anchors), np.array(far))
    pad = gap * 0.45 * np.array([-1, -1, 1, 1])
    for other, line in enumerate(lines):
        weight = _COVERED_OWN if other == index else _COVERED_CURVE
        found.cost[:] += weight * _inside(found.boxes + pad, line)
        found.cost[:] += _COVERED_MARKER * (_inside(found.boxes + 1.3 * pad, curves[other]) > 0)
    found.cost[:] += _OUTSIDE * _outside(found.boxes, frame)
    _add_crossings(found, [line for i, line in enumerate(lines) if i != index], gap / 4)
    return found


def _with_leaders(
    curve: Points, boxes: Points, cost: Points, anchor: NDArray[np.intp], far: NDArray[np.bool_]
) -> _Candidates:
    """Return candidates with points on the leader from the curve to the box's nearest edge."""
    starts = curve[anchor]
    ends = np.clip(starts, boxes[:, :2], boxes[:, 2:])
    shares = np.array(_SHARES)[None, :, None]
    leaders = starts[:, None, :] + shares * (ends - starts)[:, None, :]
    leaders[~far] = _NOWHERE
    return _Candidates(boxes, cost, anchor, far, leaders)


def _add_crossings(found: _Candidates, others: Sequence[Points], reach: float) -> None:
    """Add the cost of leaders that cross other curves."""
    if not others or not found.far.any():
        return
    # Cells of a coarse grid stand for distance: a point is near a line if any of the line's points
    # lies in its cell or in one of the eight around it.
    around = np.array([(dx, dy) for dx in (-1, 0, 1) for dy in (-1, 0, 1)])
    cells = np.floor(np.vstack(others) / reach)[:, None, :] + around
    points = np.floor(found.leaders[found.far] / reach)
    near = np.isin(points @ _GRID, np.unique(cells.reshape(-1, 2) @ _GRID))
    found.cost[found.far] += _CROSSED * near.sum(axis=1)


def _outside(boxes: Points, frame: tuple[float, float, float, float]) -> NDArray[np.bool_]:
    """Return which boxes stick out of the frame x0, y0, x1, y1."""
    x0, y0, x1, y1 = frame
    return np.asarray(
        (boxes[:, 0] < x0) | (boxes[:, 1] < y0) | (boxes[:, 2] > x1) | (boxes[:, 3] > y1)
    )


def place(
    curves: Sequence[Points],
    sizes: Sequence[tuple[float, float]],
    frame: tuple[float, float, float, float],
    *,
    gap: float,
) -> list[Placed]:
    """Return a place for one label per curve.

    Parameters
    ----------
    curves
        Points (M, 2) of each curve, M at least 1, the preferred end last.
    sizes
        Width and height of each label.
    frame
        x0, y0, x1, y1 that labels must stay in.
    gap
        Wanted distance between a point and its label; labels keep half of it from each other.

    Returns
    -------
    list of Placed
        As many as there are curves, in their order. The result depends on the arguments alone.
    """
    lines = [densify(curve, gap * 0.4) for curve in curves]
    options = [_candidates(i, curves, lines, size, frame, gap) for i, size in enumerate(sizes)]
    margin = gap * 0.25 * np.array([-1, -1, 1, 1])

    def total(i: int, chosen: Sequence[int | None]) -> Points:
        cost = options[i].cost.copy()
        for other, place in enumerate(chosen):
            if other != i and place is not None:
                box = options[other].boxes[place] + margin
                shared = _overlap(options[i].boxes + margin, box)
                struck = _inside(options[i].boxes, options[other].leaders[place])
                strikes = _inside(box[None, :], options[i].leaders.reshape(-1, 2), axis=0)
                struck = struck + strikes.reshape(len(cost), -1).sum(axis=1)
                cost += _OVERLAP * (shared + (shared > 0)) + _STRUCK * struck
        return cost

    chosen: list[int | None] = [None] * len(curves)
    # The label with the worst best place chooses first.
    for i in sorted(range(len(curves)), key=lambda i: (-options[i].cost.min(), i)):
        chosen[i] = int(total(i, chosen).argmin())
    for _ in range(6):
        before = list(chosen)
        for i in range(len(curves)):
            chosen[i] = int(total(i, chosen).argmin())
        if chosen == before:
            break
    placed = []
    for option, index in zip(options, chosen, strict=True):
        assert index is not None
        x0, y0, x1, y1 = option.boxes[index]
        centre = (float(x0 + x1) / 2, float(y0 + y1) / 2)
        placed.append(Placed(int(option.anchor[index]), centre, bool(option.far[index])))
    return placed

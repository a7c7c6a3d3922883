"""Where labels go: at the end of their own curve, clear of each other, of markers and of lines.

A small optimiser over a finite set of candidates. Every label may stand at several distances and
directions from several points of its curve, the last point first, or in the margin to the right of
all curves; a candidate's cost grows with distance, with every stretch of curve and every marker
that it covers, with every line that its leader crosses and with every label that it overlaps.
Labels are moved one by one while the total falls, from many orders; the best outcome is taken.

All coordinates are in pixels, x to the right, y up.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]
Box = tuple[float, float, float, float]
"""x0, y0, x1, y1."""

_ANGLES_DEG = (0, 30, -30, 90, -90, 60, -60, 15, -15, 45, -45, 75, -75, 120, -120, 150, -150, 180)
_DIRECTIONS = [(math.cos(math.radians(a)), math.sin(math.radians(a))) for a in _ANGLES_DEG]
_RINGS = (1.0, 1.5, 2.0, 2.7, 3.5, 4.5, 6.0, 8.0, 10.0)
_NEAR = 1.5  # a ring; a label further off has a leader
_MARGIN_PLACES = 40
_COVERED_CURVE, _COVERED_OWN, _OVERLAP, _OUTSIDE = 25.0, 20.0, 400.0, 5000.0
_AT_ALL = 5.0  # stretches
_COVERED_MARKER, _CROSSED, _CROSSED_LEADER = 1500.0, 600.0, 150.0
_STRUCK, _STRUCK_MARKER, _NEARER_TO_ANOTHER = 200.0, 300.0, 60.0
_BEGINNING, _BETWEEN = 70.0, 150.0  # labels stand at an end of their curve, the last point first
_KEPT, _DESCENTS = 120, 60
_STRETCHES = (slice(None, -1), slice(1, None))  # of a line: where they begin, where they end
_ANCHORS = 6


@dataclass(frozen=True, slots=True)
class Curve:
    """A line that may have a label, or only be in the way.

    Attributes
    ----------
    points
        (M, 2) of its course, M at least 1, the preferred end last.
    size
        Width and height of its label; None where it has none.
    markers
        (K, 2) of what is drawn over it.
    radius
        Of the markers.
    """

    points: Points
    size: tuple[float, float] | None = None
    markers: Points = field(default_factory=lambda: np.empty((0, 2)))
    radius: float = 0.0


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
    """Candidates of one label: boxes (N, 4) as x0, y0, x1, y1; cost, anchor, far are (N,).

    ``starts`` and ``ends`` (N, 2) are those of the leader, equal where there is none.
    """

    boxes: Points
    cost: Points
    anchor: NDArray[np.intp]
    far: NDArray[np.bool_]
    starts: Points
    ends: Points

    def only(self, which: NDArray[np.intp]) -> _Candidates:
        """Return some of them."""
        return _Candidates(*(getattr(self, name)[which] for name in self.__slots__))


def densify(points: Points, step: float) -> Points:
    """Return points (N, 2) on the polyline ``points`` (M, 2), at most ``step`` apart."""
    if len(points) < 2:
        return points
    pieces = []
    for start, end in pairwise(points):
        count = max(1, int(np.ceil(np.hypot(*(end - start)) / step)))
        pieces.append(start + (end - start) * np.arange(count)[:, None] / count)
    return np.vstack([*pieces, points[-1:]])


def _squares(boxes: Points, points: Points) -> Points:
    """Return the squared distance of each of ``points`` (M, 2) from ``boxes`` (N, 4): (N, M)."""
    x, y = points[:, 0], points[:, 1]
    across = np.maximum(np.maximum(boxes[:, :1] - x, x - boxes[:, 2:3]), 0)
    up = np.maximum(np.maximum(boxes[:, 1:2] - y, y - boxes[:, 3:4]), 0)
    return np.asarray(across**2 + up**2)


def _passed(starts: Points, ends: Points, points: Points, reach: float) -> NDArray[np.intp]:
    """Return how many of ``points`` each segment passes nearer than ``reach``, its start apart."""
    if not len(points):
        return np.zeros(len(starts), dtype=np.intp)
    way, apart = ends - starts, points[None] - starts[:, None]
    length = np.maximum((way**2).sum(axis=1), 1e-9)[:, None]
    share = np.clip((apart * way[:, None]).sum(axis=2) / length, 0, 1)
    off = np.hypot(*np.moveaxis(apart - share[..., None] * way[:, None], 2, 0))
    near = (off < reach) & (np.hypot(apart[..., 0], apart[..., 1]) > reach)
    return np.asarray(near.sum(axis=1), dtype=np.intp)


def _overlap(boxes: Points, other: Points) -> Points:
    """Return the area that boxes (..., 4) share with ``other`` (..., 4), over other's area."""
    width = np.minimum(boxes[..., 2], other[..., 2]) - np.maximum(boxes[..., 0], other[..., 0])
    height = np.minimum(boxes[..., 3], other[..., 3]) - np.maximum(boxes[..., 1], other[..., 1])
    area = (other[..., 2] - other[..., 0]) * (other[..., 3] - other[..., 1])
    return np.asarray(np.clip(width, 0, None) * np.clip(height, 0, None) / area)


def crossings(starts: Points, ends: Points, lines: Sequence[Points]) -> NDArray[np.intp]:
    """Return how many stretches of ``lines`` the segment from each start to its end crosses.

    A segment that begins on a line does not cross it there.
    """
    stretches = [line for line in lines if len(line) > 1]
    if not stretches:
        return np.zeros(len(starts), dtype=np.intp)
    first, last = (np.vstack([line[part] for line in stretches]) for part in _STRETCHES)
    return np.asarray(_hits(starts, ends, first, last).sum(axis=1), dtype=np.intp)


def _hits(starts: Points, ends: Points, first: Points, last: Points) -> NDArray[np.bool_]:
    """Return whether each segment (N) crosses each of others (M), apart from its start: (N, M)."""
    way, along = ends - starts, last - first
    apart = first[None] - starts[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        turn = way[:, None, 0] * along[None, :, 1] - way[:, None, 1] * along[None, :, 0]
        here = (apart[..., 0] * along[None, :, 1] - apart[..., 1] * along[None, :, 0]) / turn
        there = (apart[..., 0] * way[:, None, 1] - apart[..., 1] * way[:, None, 0]) / turn
    return np.asarray((here > 1e-6) & (here < 1) & (there >= 0) & (there <= 1))


def _across(starts: Points, ends: Points, boxes: Points) -> NDArray[np.intp]:
    """Return how many edges of each box (K, 4) each segment (N) crosses: (N, K)."""
    corners = boxes[:, [[0, 1], [2, 1], [2, 3], [0, 3], [0, 1]]]
    hits = [_hits(starts, ends, corners[:, i], corners[:, i + 1]) for i in range(4)]
    return np.asarray(np.sum(hits, axis=0), dtype=np.intp)


def _places(curve: Curve, right: float, frame: Box, gap: float) -> _Candidates:
    """Return every place that the label of a curve may take, with the cost of its distance."""
    assert curve.size is not None
    width, height = curve.size
    last = len(curve.points) - 1
    shares = range(_ANCHORS)
    boxes, cost, anchors, far = [], [], [], []

    def add(x: float, y: float, price: float, anchor: int, *, leads: bool) -> None:
        boxes.append((x - width / 2, y - height / 2, x + width / 2, y + height / 2))
        cost.append(price)
        anchors.append(anchor)
        far.append(leads)

    for anchor in sorted({round(i * last / (_ANCHORS - 1)) for i in shares}, reverse=True):
        away = 0.0 if anchor == last else _BEGINNING if anchor == 0 else _BETWEEN
        x0, y0 = map(float, curve.points[anchor])
        for ring in _RINGS:
            reach = ring * gap + (curve.radius if ring <= _NEAR else 0)
            for rank, (dx, dy) in enumerate(_DIRECTIONS):
                # The nearest point of the box, not its centre, keeps the distance.
                x = x0 + dx * (reach + width / 2)
                y = y0 + dy * (reach + height / 2)
                price = 4.0 * (ring - 1.0) + 0.6 * rank + away
                add(x, y, price, anchor, leads=ring > _NEAR)
    end = curve.points[-1]
    left = max(right, float(end[0])) + 2 * gap
    for y in np.linspace(frame[1] + height / 2, frame[3] - height / 2, _MARGIN_PLACES):
        distance = float(np.hypot(left - end[0], y - end[1]))
        add(left + width / 2, y, 5.0 + 1.2 * distance / gap, last, leads=True)
    return _with_leaders(curve, np.array(boxes), np.array(cost), np.array(anchors), np.array(far))


def _with_leaders(
    curve: Curve, boxes: Points, cost: Points, anchor: NDArray[np.intp], far: NDArray[np.bool_]
) -> _Candidates:
    """Return candidates with the leader from the curve to the box's nearest edge."""
    starts = curve.points[anchor]
    ends = np.clip(starts, boxes[:, :2], boxes[:, 2:])
    ends[~far] = starts[~far]
    return _Candidates(boxes, cost, anchor, far, starts, ends)


def _add_covered(
    found: _Candidates, index: int, curves: Sequence[Curve], fixed: Sequence[Box], gap: float
) -> None:
    """Add what covering curves, markers and fixed boxes costs, and crossing curves."""
    around = np.array([-1, -1, 1, 1])
    far, nearest = found.far, {}
    for other, curve in enumerate(curves):
        apart = _squares(found.boxes, densify(curve.points, gap * 0.4))
        weight = _COVERED_OWN if other == index else _COVERED_CURVE
        covered = (apart < (0.45 * gap) ** 2).sum(axis=1)
        found.cost[:] += weight * (covered + _AT_ALL * (covered > 0))
        nearest[other] = apart.min(axis=1)
        if len(curve.markers):
            reach = curve.radius + 0.15 * gap
            hidden = (_squares(found.boxes, curve.markers) < reach**2).any(axis=1)
            found.cost[:] += _COVERED_MARKER * hidden
            found.cost[far] += _STRUCK_MARKER * _passed(
                found.starts[far], found.ends[far], curve.markers, reach
            )
        if other != index:  # a line that ends on a leader does not cross it, and looks as if it did
            found.cost[far] += _STRUCK_MARKER * _passed(
                found.starts[far], found.ends[far], curve.points[[0, -1]], 0.5 * gap
            )
    own = nearest.pop(index)
    closer = np.any([apart < own for apart in nearest.values()], axis=0) if nearest else False
    found.cost[:] += _NEARER_TO_ANOTHER * (closer & ~far)
    for box in fixed:
        shared = _overlap(found.boxes + 0.25 * gap * around, np.array(box))
        found.cost[:] += _OVERLAP * (shared + (shared > 0))
        found.cost[far] += _STRUCK * _across(
            found.starts[far], found.ends[far], np.array([box])
        ).sum(axis=1)
    lines = [curve.points for other, curve in enumerate(curves) if other != index]
    ends = np.clip(found.starts, found.boxes[:, :2], found.boxes[:, 2:])
    weights = np.where(far, _CROSSED, _CROSSED / 3)
    found.cost[:] += weights * crossings(found.starts, ends, lines)


def _outside(boxes: Points, frame: Box) -> NDArray[np.bool_]:
    """Return which boxes stick out of the frame."""
    x0, y0, x1, y1 = frame
    return np.asarray(
        (boxes[:, 0] < x0) | (boxes[:, 1] < y0) | (boxes[:, 2] > x1) | (boxes[:, 3] > y1)
    )


def place(
    curves: Sequence[Curve], frame: Box, *, gap: float, fixed: Sequence[Box] = ()
) -> list[Placed | None]:
    """Return a place for the label of each curve that has one.

    Parameters
    ----------
    curves
        Those with labels, and those that are in the way.
    frame
        What labels must stay in.
    gap
        Wanted distance between a point and its label; labels keep half of it from each other.
    fixed
        Boxes that are in the way: notes, a legend.

    Returns
    -------
    list of Placed or None
        As many as there are curves, in their order. The result depends on the arguments alone.
    """
    right = max(float(curve.points[:, 0].max()) for curve in curves)
    options: dict[int, _Candidates] = {}
    for i, curve in enumerate(curves):
        if curve.size is not None:
            options[i] = _places(curve, right, frame, gap)
            _add_covered(options[i], i, curves, fixed, gap)
            options[i].cost[:] += _OUTSIDE * _outside(options[i].boxes, frame)
    chosen = _choose(options, gap)
    placed: list[Placed | None] = [None] * len(curves)
    for i, index in chosen.items():
        x0, y0, x1, y1 = options[i].boxes[index]
        centre = (float(x0 + x1) / 2, float(y0 + y1) / 2)
        placed[i] = Placed(int(options[i].anchor[index]), centre, bool(options[i].far[index]))
    return placed


def _choose(options: dict[int, _Candidates], gap: float) -> dict[int, int]:
    """Return which candidate each label takes: the best of many descents from random orders."""
    names = list(options)
    kept = {i: np.argsort(options[i].cost, kind="stable")[:_KEPT] for i in names}
    cut = {i: options[i].only(kept[i]) for i in names}
    pairs: dict[tuple[int, int], Points] = {}
    for place, i in enumerate(names):
        for j in names[:place]:
            pairs[i, j] = _between(cut[i], cut[j], gap)
            pairs[j, i] = pairs[i, j].T
    generator = np.random.default_rng(0)
    best: tuple[float, dict[int, int]] = (np.inf, {})
    for _ in range(_DESCENTS):
        order = [names[k] for k in generator.permutation(len(names))]
        found = _descend(order, cut, pairs)
        total = sum(float(cut[i].cost[found[i]]) for i in names)
        total += sum(float(pairs[i, j][found[i], found[j]]) for i, j in pairs) / 2
        best = min(best, (total, found), key=lambda pair: pair[0])
    return {i: int(kept[i][index]) for i, index in best[1].items()}


def _descend(
    order: Sequence[int], cut: dict[int, _Candidates], pairs: dict[tuple[int, int], Points]
) -> dict[int, int]:
    """Return a choice in which no label alone can do better."""
    chosen: dict[int, int] = {}
    for _ in range(6):
        before = dict(chosen)
        for i in order:
            others = [pairs[i, j][:, place] for j, place in chosen.items() if j != i]
            chosen[i] = int(np.sum([cut[i].cost, *others], axis=0).argmin())
        if chosen == before:
            break
    return chosen


def _between(one: _Candidates, other: _Candidates, gap: float) -> Points:
    """Return what each place of one label costs together with each place of another: (N, K)."""
    margin = gap * 0.25 * np.array([-1, -1, 1, 1])
    boxes, theirs = one.boxes + margin, other.boxes + margin
    shared = _overlap(boxes[:, None], theirs)
    cost = _OVERLAP * (shared + (shared > 0))
    cost += _STRUCK * _across(one.starts, one.ends, other.boxes)
    cost += _STRUCK * _across(other.starts, other.ends, one.boxes).T
    cost += _CROSSED_LEADER * _hits(one.starts, one.ends, other.starts, other.ends)
    return np.asarray(cost)

"""Judge one image: its cells on one curve together."""

from __future__ import annotations

import enum
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.gate import scores
from bench.gate.cells import BAD, NO_FILE, Cell, Change, bd_rate_percent, gain_at_equal_rate
from bench.gate.rows import Row
from bench.gate.tolerance import Tolerance


class Verdict(enum.StrEnum):
    """What the gate says of one curve."""

    IDENTICAL = "identical bytes"
    PIXELS = "identical bytes, equal RD"
    EQUAL = "different bytes, equal RD"
    BETTER = "different bytes, better RD"
    MOVED = "settings moved"
    METRIC = "metric changed"
    ENVIRONMENT = "environment"
    WORSE = "worse"
    STILL_FAILS = "failed as before"
    NOT_COMPARABLE = "not comparable"


# Where settings moved, the points of the two curves are others, and what lies between them is
# interpolated: a curve against itself, sampled elsewhere, differs by up to these.
INTERPOLATION_PERCENT = 3.0
_INTERPOLATION_POINTS = 3.0  # of the tolerance of one point

SAME_BYTES = frozenset({Verdict.IDENTICAL, Verdict.PIXELS})
PASSING = SAME_BYTES | {Verdict.EQUAL, Verdict.BETTER, Verdict.STILL_FAILS}


@dataclass(frozen=True, slots=True)
class ImageResult:
    """One image of a curve.

    Attributes
    ----------
    image
        Its name.
    verdict
        Of its cells together.
    bd_rate_percent
        Score -> BD-rate of now against the baseline; NaN where not computable.
    slide
        Largest slide of a setting along the curve, in the quality of the first score (PSNR, in dB).
    moved
        Whether that is more than the tolerance.
    why
        What decided, in words; empty where nothing is wrong.
    """

    image: str
    verdict: Verdict
    bd_rate_percent: Mapping[str, float]
    slide: float = 0.0
    moved: bool = False
    why: str = ""


def judge_image(
    image: str, cells: Sequence[Cell], tolerance: Tolerance, judges: Sequence[str]
) -> ImageResult:
    """Judge the cells of one image together."""
    if all(cell.change == Change.IDENTICAL for cell in cells):
        return ImageResult(image, Verdict.IDENTICAL, dict.fromkeys(judges, 0.0))
    before = [c.before for c in cells if not c.before.error]
    after = [c.after for c in cells if c.after is not None and not c.after.error]
    bd = {column: bd_rate_percent(before, after, column) for column in judges}
    slide, moved = _slide(cells, judges, tolerance)
    verdict, why = _decide(cells, before, bd, slide, tolerance, moved=moved)
    if verdict == Verdict.EQUAL and all(cell.same_bytes for cell in cells):
        verdict = Verdict.PIXELS
    return ImageResult(image, verdict, bd, slide, moved, why)


def _slide(
    cells: Sequence[Cell], judges: Sequence[str], tolerance: Tolerance
) -> tuple[float, bool]:
    """Return the largest slide of a setting along the curve, and whether it is too much."""
    moved = [cell for cell in cells if cell.change == Change.MOVED]
    for column in judges:
        gains = [gain for cell in moved if not math.isnan(gain := cell.gain(column))]
        if gains:
            slide = max(gains, key=abs)
            return slide, abs(slide) > tolerance.moved(column)
    return 0.0, False


def _decide(
    cells: Sequence[Cell],
    before: Sequence[Row],
    bd: Mapping[str, float],
    slide: float,
    tolerance: Tolerance,
    *,
    moved: bool,
) -> tuple[Verdict, str]:
    """Return verdict and reason for one image, the gravest first."""
    changes = {cell.change for cell in cells}
    loss = _loss(cells, before, bd, tolerance, moved=moved)
    if loss:
        return Verdict.WORSE, loss
    if Change.METRIC in changes:
        return Verdict.METRIC, "same bytes, other score"
    known = [value for value in bd.values() if not math.isnan(value)]
    gained = bool(known) and max(known) <= 0 and min(known) < -tolerance.bd_rate_percent
    size = max((c.size_percent for c in cells if c.change == Change.MOVED), key=abs, default=0.0)
    if moved or (abs(size) > tolerance.moved_percent and not gained):
        unit = next((scores.of(column).unit for column in bd), "")
        return Verdict.MOVED, f"along the curve by up to {slide:+.3f}{unit}, {size:+.2f} %"
    if changes & BAD and not gained:
        return Verdict.WORSE, "larger or worse at the same setting, and nothing gained for it"
    if gained or changes & {Change.BETTER, Change.MENDED}:
        return Verdict.BETTER, ""
    return Verdict.EQUAL, ""


def _loss(
    cells: Sequence[Cell],
    before: Sequence[Row],
    bd: Mapping[str, float],
    tolerance: Tolerance,
    *,
    moved: bool,
) -> str:
    """Return what no gain elsewhere excuses, in words; empty where there is no such loss."""
    for cell in cells:
        if cell.change in NO_FILE:
            return f"a cell {cell.change}"
        if cell.change in BAD and cell.hard:
            return "a point lost more than any gain excuses"
    allowed = max(tolerance.bd_rate_image_percent, INTERPOLATION_PERCENT * moved)
    for column, value in bd.items():
        if value > allowed:
            return f"BD-rate ({scores.of(column).title}) {value:+.2f} %"
    for cell in cells:
        if cell.change != Change.MOVED or cell.after is None:
            continue
        for column in bd:
            gain, score = gain_at_equal_rate(before, cell.after, column), scores.of(column)
            if gain < -tolerance.point(column) * (_INTERPOLATION_POINTS if moved else 1):
                return f"{gain:+.3g}{score.unit} ({score.title}) at equal rate"
    return ""

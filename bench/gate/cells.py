"""Compare one cell: the same image, codec and setting, in the baseline and now."""

from __future__ import annotations

import enum
import math
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.analysis import bjontegaard
from bench.gate import scores as score_of
from bench.gate.environment import Difference
from bench.gate.rows import CellKey, Row
from bench.gate.tolerance import Tolerance

Floats = NDArray[np.float64]

_MIN_POINTS = 2

# Folders, line numbers and addresses in an error's text change with every edit and machine.
_PLACES = re.compile(
    r"""
    0x[0-9a-f]+ | (?<=\.py:)\d+ | (?<=line[ ])\d+  # addresses and lines
    | (/[^/\s:'"()]+)+/ | [^\s:'"()]+/(?=[^/]+\.py)  # folders
    """,
    re.IGNORECASE | re.VERBOSE,
)


# A metric that returned no number failed the cell; that is no fault of the codec.
_NO_SCORE = re.compile(r"(\w+: )?MetricError: ")


class Change(enum.StrEnum):
    """What became of one cell, the gravest first."""

    FAILED = "fails now"
    OTHER_ERROR = "fails with another error"
    WORSE = "worse"
    METRIC = "the metric changed"
    MOVED = "moved along the curve"
    DAMAGED = "rows that contradict each other"
    UNSCORED = "a score is missing"
    OTHER_IMAGE = "another picture"
    ABSENT = "not measured"
    STILL_FAILS = "failed as before"
    BETTER = "better"
    MENDED = "failed before, works now"
    EQUAL = "equal within tolerance"
    IDENTICAL = "identical bytes"


INCOMPARABLE = frozenset({Change.ABSENT, Change.OTHER_IMAGE, Change.UNSCORED, Change.DAMAGED})
"""Nothing can be said of such a cell."""

COMPARED = frozenset(Change) - INCOMPARABLE - {Change.STILL_FAILS}
NO_FILE = frozenset({Change.FAILED, Change.OTHER_ERROR})
BAD = frozenset({Change.WORSE}) | NO_FILE


@dataclass(frozen=True, slots=True)
class Cell:
    """The comparison of one cell.

    Attributes
    ----------
    before, after
        The rows; ``after`` is None where the cell was not measured.
    change
        What became of it.
    hard
        Whether it is worse by more than any gain elsewhere on the image's curve can excuse.
    why
        In words, with numbers.
    """

    before: Row
    after: Row | None
    change: Change
    hard: bool = False
    why: str = ""

    @property
    def size_percent(self) -> float:
        """Growth of the file; NaN where one side is missing."""
        if self.after is None or not self.after.size_bytes or not self.before.size_bytes:
            return math.nan
        return 100 * (self.after.size_bytes / self.before.size_bytes - 1)

    def gain(self, column: str) -> float:
        """Return the gain in quality, see ``Row.quality``; NaN where one side has none.

        0 where both images are equal to their source, infinite where one of them is.
        """
        if self.after is None:
            return math.nan
        old, new = self.before.quality(column), self.after.quality(column)
        if old is None or new is None:
            return math.nan
        return 0.0 if old == new else new - old

    @property
    def same_bytes(self) -> bool:
        """Whether the file is the same in every byte."""
        return self.after is not None and _same_bytes(self.before, self.after)

    @property
    def compared(self) -> bool:
        """Whether anything can be said of it."""
        return self.change in COMPARED


def drifted_scores(
    before: Mapping[CellKey, Row],
    after: Mapping[CellKey, Row],
    columns: Sequence[str],
    differences: Iterable[Difference] = (),
) -> dict[str, str]:
    """Return the columns whose metric itself changed, each with the proof in words.

    The proof is the probe of the two environments, or a cell whose decoded pixels are the same
    and whose score is not. Where no decoded hashes are known, equal bytes with other scores prove
    it if they do so in every cell of more than one codec.
    """
    found: dict[str, str] = {}
    changed = {d.name.split()[0]: d for d in differences if d.kind == "metric"}
    for column in columns:
        if (difference := changed.get(score_of.of(column).form.metric)) is not None:
            found.setdefault(column, f"{difference} on the fixed pair of images")
    pairs = [(old, after[key]) for key, old in before.items() if key in after]
    same = [(o, n) for o, n in pairs if _same_bytes(o, n)]
    for column in columns:
        for old, new in pairs:
            if _same_pixels(old, new) and _score_differs(column, old, new):
                found.setdefault(column, f"same pixels, other score: {_pair(column, old, new)}")
        moved = {o.codec for o, n in same if _score_differs(column, o, n)}
        kept = any(not _score_differs(column, o, n) for o, n in same)
        if len(moved) > 1 and not kept and not any(o.decoded_sha256 for o, _ in same):
            found.setdefault(column, f"same bytes, other scores for {', '.join(sorted(moved))}")
    return found


def _same_bytes(old: Row, new: Row) -> bool:
    return bool(old.bitstream_sha256) and old.bitstream_sha256 == new.bitstream_sha256


def _same_pixels(old: Row, new: Row) -> bool:
    return bool(old.decoded_sha256) and old.decoded_sha256 == new.decoded_sha256


def _score_differs(column: str, old: Row, new: Row) -> bool:
    a, b = old.scores.get(column), new.scores.get(column)
    if a is None or b is None or a == b or old.fault(column) or new.fault(column):
        return False
    return not abs(a - b) <= score_of.NOISE


def _pair(column: str, old: Row, new: Row) -> str:
    return f"{score_of.of(column).title} {old.scores[column]} -> {new.scores[column]} ({old.image})"


def compare(
    old: Row,
    new: Row | None,
    tolerance: Tolerance,
    columns: Sequence[str],
    drifted: Collection[str] = (),
    absent_why: str = "",
) -> Cell:
    """Return what became of one cell.

    Parameters
    ----------
    old, new
        The same key in the baseline and now; None where it was not measured.
    tolerance
        Of the codec.
    columns
        The scores of the baseline.
    drifted
        Those of them whose metric itself changed; the others judge.
    absent_why
        Why it was not measured, where it was not.
    """
    if new is None:
        return Cell(old, None, Change.ABSENT, why=absent_why)
    if new.error or old.error:
        return _failures(old, new)
    return _compare_files(old, new, tolerance, columns, drifted)


def _compare_files(
    old: Row, new: Row, tolerance: Tolerance, columns: Sequence[str], drifted: Collection[str]
) -> Cell:
    """Compare two cells that both have a file."""
    if old.pixels_sha256 != new.pixels_sha256:
        return Cell(old, new, Change.OTHER_IMAGE, why="the source's pixels are others")
    if _same_bytes(old, new) and old.size_bytes != new.size_bytes:
        why = f"one hash, and {old.size_bytes} and {new.size_bytes} bytes"
        return Cell(old, new, Change.DAMAGED, why=why)
    if missing := [why for column in columns if (why := _unscored(column, old, new))]:
        return Cell(old, new, Change.UNSCORED, why="; ".join(missing))
    judges = [column for column in columns if column not in drifted]
    if _same_bytes(old, new):
        return _same_file(old, new, tolerance, judges, drifted)
    return _other_file(old, new, tolerance, judges)


def _unscored(column: str, old: Row, new: Row) -> str:
    """Return why a score cannot be compared; empty where it can, or is undefined on both sides."""
    before, after = old.fault(column), new.fault(column)
    if not (before or after) or (before == after and before.startswith("undefined")):
        return ""
    title = score_of.of(column).title
    if before == after:
        return f"{title} is {before}"
    words = [why or f"{row.scores[column]}" for why, row in ((before, old), (after, new))]
    return f"{title} was {words[0]}, is {words[1]}"


def _failures(old: Row, new: Row) -> Cell:
    if old.pixels_sha256 and new.pixels_sha256 and old.pixels_sha256 != new.pixels_sha256:
        return Cell(old, new, Change.OTHER_IMAGE, why="the source's pixels are others")
    if any(_NO_SCORE.match(error) for error in (old.error, new.error)):
        return Cell(old, new, Change.UNSCORED, why=new.error or f"before: {old.error}")
    if not old.error:
        return Cell(old, new, Change.FAILED, hard=True, why=new.error)
    if not new.error:
        return Cell(old, new, Change.MENDED, why=f"before: {old.error}")
    if _PLACES.sub("", old.error) == _PLACES.sub("", new.error):
        return Cell(old, new, Change.STILL_FAILS, why=new.error)
    why = f"before: {old.error}; now: {new.error}"
    return Cell(old, new, Change.OTHER_ERROR, hard=True, why=why)


def _same_file(
    old: Row, new: Row, tolerance: Tolerance, judges: Sequence[str], drifted: Collection[str]
) -> Cell:
    """Judge a cell whose bytes are the same: only the decoder or a metric can have changed."""
    if any(_score_differs(column, old, new) for column in drifted):
        return Cell(old, new, Change.METRIC, why="same bytes, other score")
    judged = [column for column in judges if _score_differs(column, old, new)]
    known = old.decoded_sha256 and new.decoded_sha256
    # A decoder in floating point rounds a few samples otherwise on another CPU.
    exact = known and "cpu" not in tolerance.listed
    if not judged and not (exact and not _same_pixels(old, new)):
        return Cell(old, new, Change.IDENTICAL)
    cell = Cell(old, new, Change.EQUAL)
    losses = [c for c in judged if cell.gain(c) < -tolerance.quality(c)]
    gains = [c for c in judged if cell.gain(c) > tolerance.quality(c)]
    if not losses and not gains:
        return Cell(old, new, Change.EQUAL, why="same bytes, pixels differ within tolerance")
    why = f"same bytes, {'other pixels: the decoder' if known else 'the decoder or the metric'}"
    change = Change.WORSE if losses else Change.BETTER
    # A decoder that spoils a picture is not excused by one that it improves.
    return Cell(old, new, change, hard=bool(losses), why=f"{why} changed")


def _other_file(old: Row, new: Row, tolerance: Tolerance, judges: Sequence[str]) -> Cell:
    """Judge a cell whose bytes differ, by size and quality together."""
    cell = Cell(old, new, Change.EQUAL)
    if any(cell.gain(c) == -math.inf for c in judges):
        return Cell(old, new, Change.WORSE, hard=True, why="no longer equal to its source")
    lost = any(cell.gain(c) < -tolerance.quality(c) for c in judges)
    gained = any(cell.gain(c) > tolerance.quality(c) for c in judges)
    why, larger, smaller = "", cell.size_percent > 0, cell.size_percent < 0
    if _same_pixels(old, new):  # the entropy coder alone: no rounding to excuse it
        why = "same pixels, other bytes: the entropy coder or the header changed"
    elif tolerance.same_size(old.size_bytes or 0, new.size_bytes or 0):
        larger = smaller = False
    if (lost and not smaller) or (larger and not gained):
        hard = cell.size_percent > tolerance.point_percent or any(
            cell.gain(c) < -tolerance.point(c) for c in judges
        )
        return Cell(old, new, Change.WORSE, hard=hard, why=why)
    if (larger and gained) or (smaller and lost):
        return Cell(old, new, Change.MOVED, why=why)
    change = Change.BETTER if smaller or gained else Change.EQUAL
    return Cell(old, new, change, why=why)


def _points(rows: Iterable[Row], column: str) -> list[tuple[float, float]]:
    """Return (bpp, quality) of the rows that have both finite, by rising rate."""
    found = [(row.bpp, row.quality(column)) for row in rows]
    return sorted(
        (rate, quality)
        for rate, quality in found
        if quality is not None and math.isfinite(quality) and math.isfinite(rate)
    )


def bd_rate_percent(before: Iterable[Row], after: Iterable[Row], column: str) -> float:
    """Return the BD-rate (PCHIP) of one image's points now against the baseline's, in percent.

    NaN where it is not computable: fewer than 4 points, or a curve that does not rise.
    """
    curves = [
        bjontegaard.Curve(tuple(rate for rate, _ in points), tuple(value for _, value in points))
        for points in (_points(before, column), _points(after, column))
    ]
    rate = bjontegaard.compare(curves[0], curves[1]).bd_rate_percent
    return math.nan if rate is None else rate


def gain_at_equal_rate(before: Iterable[Row], row: Row, column: str) -> float:
    """Return how far ``row`` lies over the curve of ``before``, see ``Row.quality``; or NaN.

    Between points the curve is a monotone cubic (PCHIP) over log rate; beyond its ends it goes on
    as the straight line through the last two points.
    """
    best: dict[float, float] = {}
    for rate, value in _points(before, column):  # of two points at one rate the better one counts
        best[rate] = max(value, best.get(rate, -math.inf))
    quality = row.quality(column)
    if len(best) < _MIN_POINTS or quality is None or not math.isfinite(quality):
        return math.nan
    rates = np.log(sorted(best))
    values = np.array([best[rate] for rate in sorted(best)], np.float64)
    return quality - _on_curve(rates, values, math.log(row.bpp))


def _on_curve(rates: Floats, values: Floats, at: float) -> float:
    from scipy.interpolate import PchipInterpolator

    if rates[0] <= at <= rates[-1]:
        return float(PchipInterpolator(rates, values)(at))
    a, b = (0, 1) if at < rates[0] else (-2, -1)
    slope = (values[b] - values[a]) / (rates[b] - rates[a])
    return float(values[b] + slope * (at - rates[b]))

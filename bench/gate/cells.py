"""Compare one cell: the same image, codec and setting, in the baseline and now."""

from __future__ import annotations

import enum
import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from bench.gate.environment import Difference
from bench.gate.rows import SCORES, CellKey, Row
from bench.gate.tolerance import Tolerance

_NOISE = {"psnr_db": 1e-6, "ms_ssim": 1e-5}
"""What scores of the very same pixels may differ by: PSNR is exact, MS-SSIM filters in float32."""

_METRIC_NAMES = {"psnr_db": "psnr", "ms_ssim": "ms_ssim"}


class Change(enum.StrEnum):
    """What became of one cell."""

    IDENTICAL = "identical bytes"
    EQUAL = "equal within tolerance"
    BETTER = "better"
    MOVED = "moved along the curve"
    METRIC = "the metric changed"
    WORSE = "worse"
    FAILED = "fails now"
    MENDED = "failed before, works now"
    ABSENT = "not measured"
    OTHER_IMAGE = "another picture"


COMPARED = frozenset(Change) - {Change.ABSENT, Change.OTHER_IMAGE}
BAD = frozenset({Change.WORSE, Change.FAILED})


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

    def gain_db(self, score: str) -> float:
        """Return the gain in quality; 0 where both are lossless, NaN where one is missing."""
        if self.after is None:
            return math.nan
        old, new = self.before.quality_db(score), self.after.quality_db(score)
        if old is None or new is None:
            return math.nan
        return 0.0 if old == new else new - old


def drifted_scores(
    before: Mapping[CellKey, Row],
    after: Mapping[CellKey, Row],
    differences: Iterable[Difference] = (),
) -> dict[str, str]:
    """Return the scores whose metric itself changed, each with the proof in words.

    The proof is the probe of the two environments, or a cell whose decoded pixels are the same
    and whose score is not. Where no decoded hashes are known, equal bytes with other scores prove
    it if they do so in every cell of more than one codec.
    """
    found: dict[str, str] = {}
    for difference in differences:
        for score, name in _METRIC_NAMES.items():
            if difference.kind == "metric" and difference.name.split()[0] == name:
                found.setdefault(score, f"{difference} on the fixed pair of images")
    pairs = [(old, after[key]) for key, old in before.items() if key in after]
    for score in SCORES:
        same = [(o, n) for o, n in pairs if _same_bytes(o, n)]
        for old, new in pairs:
            if _same_pixels(old, new) and _score_differs(score, old, new):
                found.setdefault(score, f"same pixels, other score: {_told(score, old, new)}")
        moved = {o.codec for o, n in same if _score_differs(score, o, n)}
        kept = any(not _score_differs(score, o, n) for o, n in same)
        if len(moved) > 1 and not kept and not any(o.decoded_sha256 for o, _ in same):
            found.setdefault(score, f"same bytes, other scores for {', '.join(sorted(moved))}")
    return found


def _same_bytes(old: Row, new: Row) -> bool:
    return bool(old.bitstream_sha256) and old.bitstream_sha256 == new.bitstream_sha256


def _same_pixels(old: Row, new: Row) -> bool:
    return bool(old.decoded_sha256) and old.decoded_sha256 == new.decoded_sha256


def _score_differs(score: str, old: Row, new: Row) -> bool:
    a, b = getattr(old, score), getattr(new, score)
    if a is None or b is None or a == b:
        return False
    return not abs(a - b) <= _NOISE[score]


def _told(score: str, old: Row, new: Row) -> str:
    name = {"psnr_db": "PSNR", "ms_ssim": "MS-SSIM"}[score]
    return f"{name} {getattr(old, score):.4f} -> {getattr(new, score):.4f} ({old.image})"


def compare(
    old: Row,
    new: Row | None,
    tolerance: Tolerance,
    scores: Collection[str] = SCORES,
    absent_why: str = "",
) -> Cell:
    """Return what became of one cell.

    Parameters
    ----------
    old, new
        The same key in the baseline and now; None where it was not measured.
    tolerance
        Of the codec.
    scores
        Columns to judge by: those whose metric did not change.
    absent_why
        Why it was not measured, where it was not.
    """
    if new is None:
        return Cell(old, None, Change.ABSENT, why=absent_why)
    if old.pixels_sha256 and new.pixels_sha256 and old.pixels_sha256 != new.pixels_sha256:
        return Cell(old, new, Change.OTHER_IMAGE, why="the source's pixels are others")
    if new.error or old.error:
        return _failures(old, new)
    if _same_bytes(old, new):
        return _same_file(old, new, tolerance, scores)
    return _other_file(old, new, tolerance, scores)


def _failures(old: Row, new: Row) -> Cell:
    if new.error and old.error:
        return Cell(old, new, Change.IDENTICAL, why=f"fails as before: {new.error}")
    if new.error:
        return Cell(old, new, Change.FAILED, hard=True, why=new.error)
    return Cell(old, new, Change.MENDED, why=f"before: {old.error}")


def _same_file(old: Row, new: Row, tolerance: Tolerance, scores: Collection[str]) -> Cell:
    """Judge a cell whose bytes are the same: only the decoder or a metric can have changed."""
    judged = [score for score in scores if _score_differs(score, old, new)]
    if any(_score_differs(score, old, new) for score in SCORES if score not in scores):
        return Cell(old, new, Change.METRIC, why="same bytes, other score")
    if not judged:
        return Cell(old, new, Change.IDENTICAL)
    cell = Cell(old, new, Change.EQUAL)
    losses = [s for s in judged if cell.gain_db(s) < -tolerance.quality_db(s)]
    gains = [s for s in judged if cell.gain_db(s) > tolerance.quality_db(s)]
    if not losses and not gains:
        return Cell(old, new, Change.EQUAL, why="same bytes, pixels differ within tolerance")
    known = old.decoded_sha256 and new.decoded_sha256
    why = f"same bytes, {'other pixels: the decoder' if known else 'the decoder or the metric'}"
    change = Change.WORSE if losses else Change.BETTER
    # A decoder that spoils a picture is not excused by one that it improves.
    return Cell(old, new, change, hard=bool(losses), why=f"{why} changed")


def _other_file(old: Row, new: Row, tolerance: Tolerance, scores: Collection[str]) -> Cell:
    """Judge a cell whose bytes differ, by size and quality together."""
    cell = Cell(old, new, Change.EQUAL)
    lost = any(cell.gain_db(s) < -tolerance.quality_db(s) for s in scores)
    gained = any(cell.gain_db(s) > tolerance.quality_db(s) for s in scores)
    why, larger, smaller = "", cell.size_percent > 0, cell.size_percent < 0
    if _same_pixels(old, new):  # the entropy coder alone: no rounding to excuse it
        why = "same pixels, other bytes: the entropy coder or the header changed"
    elif tolerance.same_size(old.size_bytes or 0, new.size_bytes or 0):
        larger = smaller = False
    if (lost and not smaller) or (larger and not gained):
        hard = cell.size_percent > tolerance.point_percent or any(
            cell.gain_db(s) < -max(tolerance.point_db, tolerance.quality_db(s)) for s in scores
        )
        return Cell(old, new, Change.WORSE, hard=hard, why=why)
    if (larger and gained) or (smaller and lost):
        return Cell(old, new, Change.MOVED, why=why)
    change = Change.BETTER if smaller or gained else Change.EQUAL
    return Cell(old, new, change, why=why)

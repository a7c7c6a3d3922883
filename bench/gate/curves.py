"""Compare one curve: the cells of a codec on a dataset, image by image, then together."""

from __future__ import annotations

import enum
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean

from bench.gate import rd
from bench.gate.cells import BAD, COMPARED, Cell, Change
from bench.gate.environment import Difference, explains
from bench.gate.rows import SCORES, Row, rungs, short
from bench.gate.tolerance import Tolerance


class Verdict(enum.StrEnum):
    """What the gate says of one curve."""

    IDENTICAL = "identical bytes"
    EQUAL = "different bytes, equal RD"
    BETTER = "different bytes, better RD"
    MOVED = "settings moved"
    METRIC = "metric changed"
    ENVIRONMENT = "environment"
    WORSE = "worse"
    NOT_COMPARABLE = "not comparable"


# Where settings moved, the points of the two curves are others, and what lies between them is
# interpolated: a curve against itself, sampled elsewhere, differs by up to these.
_INTERPOLATION_PERCENT = 3.0
_INTERPOLATION_DB = 0.3

PASSING = frozenset({Verdict.IDENTICAL, Verdict.EQUAL, Verdict.BETTER})


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
    moved_db
        Largest slide of a setting in PSNR (MS-SSIM where that is all there is).
    why
        What decided, in words; empty where nothing is wrong.
    """

    image: str
    verdict: Verdict
    bd_rate_percent: Mapping[str, float]
    moved_db: float = 0.0
    why: str = ""


@dataclass(frozen=True, slots=True)
class CurveResult:
    """The verdict on one curve, with everything that a report shows.

    Attributes
    ----------
    dataset, curve, codec
        Which curve.
    verdict
        ``ENVIRONMENT`` where the codec's library is another; ``underlying`` is what the numbers
        alone say.
    cells, images
        The comparisons.
    bd_rate_percent
        Score -> mean over images; NaN where not computable.
    causes
        What else changed that may bear on this codec.
    notes
        What a reader must know: reasons, missing cells, a changed ladder, a diagnosis.
    """

    dataset: str
    curve: str
    codec: str
    verdict: Verdict
    underlying: Verdict
    cells: Sequence[Cell]
    images: Sequence[ImageResult] = ()
    bd_rate_percent: Mapping[str, float] = field(default_factory=dict)
    causes: Sequence[Difference] = ()
    notes: Sequence[str] = ()

    @property
    def changed(self) -> list[Cell]:
        """The cells that are not as they were, the worst first."""
        return sorted((c for c in self.cells if c.change != Change.IDENTICAL), key=_severity)

    @property
    def guilty(self) -> list[str]:
        """The images that decided against the curve."""
        return [image.image for image in self.images if image.verdict not in PASSING]

    def rung(self, cell: Cell) -> str:
        """Return the setting of one of its cells in few words."""
        return short(cell.before.setting, [c.before.setting for c in self.cells])

    def with_notes(self, *more: str) -> CurveResult:
        """Return a copy with more notes."""
        return replace(self, notes=(*self.notes, *more))


def _severity(cell: Cell) -> tuple[int, float, float]:
    """Return a key by which the worst comes first: kind, loss in dB, growth in size."""
    order = (
        Change.FAILED,
        Change.WORSE,
        Change.METRIC,
        Change.MOVED,
        Change.OTHER_IMAGE,
        Change.ABSENT,
        Change.BETTER,
        Change.MENDED,
        Change.EQUAL,
        Change.IDENTICAL,
    )
    gain, growth = cell.gain_db("psnr_db"), cell.size_percent
    if cell.change == Change.MOVED:
        gain = -abs(gain)
    return (
        order.index(cell.change),
        math.inf if math.isnan(gain) else gain,
        math.inf if math.isnan(growth) else -growth,
    )


def judge(
    cells: Sequence[Cell],
    tolerance: Tolerance,
    *,
    curve: str,
    drifted: Collection[str] = (),
    causes: Sequence[Difference] = (),
    notes: Iterable[str] = (),
    ladder_changed: bool = False,
) -> CurveResult:
    """Return the verdict on the cells of one curve.

    Parameters
    ----------
    cells
        Of one dataset and curve; at least one.
    tolerance
        Of the codec.
    curve
        Its name in the baseline.
    drifted
        Columns whose metric itself changed; the others judge.
    causes
        Environment differences that concern the codec.
    notes
        Put ahead of what is found here.
    ladder_changed
        Whether the codec's own operating points are no longer those of the baseline.
    """
    first = cells[0].before
    told = list(notes)
    scores = [score for score in SCORES if score not in drifted]
    compared = [cell for cell in cells if cell.change in COMPARED]
    images = [
        _judge_image(name, [c for c in compared if c.before.image == name], tolerance, scores)
        for name in dict.fromkeys(c.before.image for c in compared)
    ]
    mean = {s: _mean(image.bd_rate_percent.get(s, math.nan) for image in images) for s in scores}
    verdict = _verdict(compared, images)
    allowed = tolerance.bd_rate_percent
    if any(_moved(image.moved_db, tolerance) for image in images):
        allowed = max(allowed, _INTERPOLATION_PERCENT)
    for score, value in mean.items():
        if value > allowed:
            told.append(f"mean BD-rate ({rd.name(score)}) {value:+.2f} % is over {allowed:g} %")
            verdict = Verdict.WORSE
    if drifted and verdict in PASSING:
        verdict = Verdict.METRIC
    if ladder_changed and verdict in PASSING:
        verdict = Verdict.MOVED
    told += _moved_rungs(compared)
    underlying = verdict
    if verdict not in PASSING and verdict != Verdict.METRIC:
        libraries, own = tolerance.libraries, tolerance.own
        if any(explains(cause, libraries, own=own) for cause in causes):
            verdict = Verdict.ENVIRONMENT
    if len(compared) < len(cells):
        told.append(_incomplete(cells, compared, verdict))
        if verdict in PASSING:
            verdict = underlying = Verdict.NOT_COMPARABLE
    return CurveResult(
        dataset=first.dataset,
        curve=curve,
        codec=first.codec,
        verdict=verdict,
        underlying=underlying,
        cells=cells,
        images=images,
        bd_rate_percent=mean,
        causes=causes,
        notes=told,
    )


def _mean(values: Iterable[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return fmean(known) if known else math.nan


def _verdict(compared: Sequence[Cell], images: Sequence[ImageResult]) -> Verdict:
    """Return the worst that can be said of any image."""
    found = {image.verdict for image in images}
    for verdict in (Verdict.WORSE, Verdict.METRIC, Verdict.MOVED):
        if verdict in found:
            return verdict
    if not compared:
        return Verdict.NOT_COMPARABLE
    if all(cell.change == Change.IDENTICAL for cell in compared):
        return Verdict.IDENTICAL
    return Verdict.BETTER if Verdict.BETTER in found else Verdict.EQUAL


def _judge_image(
    image: str, cells: Sequence[Cell], tolerance: Tolerance, scores: Collection[str]
) -> ImageResult:
    """Judge the cells of one image together."""
    if all(cell.change == Change.IDENTICAL for cell in cells):
        return ImageResult(image, Verdict.IDENTICAL, dict.fromkeys(scores, 0.0))
    before = [c.before for c in cells if not c.before.error]
    after = [c.after for c in cells if c.after is not None and not c.after.error]
    bd = {score: rd.bd_rate_percent(before, after, score) for score in scores}
    slide = _slide(cells, scores)
    verdict, why = _decide(cells, before, bd, slide, tolerance)
    return ImageResult(image, verdict, bd, slide, why)


def _slide(cells: Sequence[Cell], scores: Collection[str]) -> float:
    """Return the largest change in dB of a setting that moved along the curve."""
    moved = [cell for cell in cells if cell.change == Change.MOVED]
    for score in scores:
        gains = [gain for cell in moved if math.isfinite(gain := cell.gain_db(score))]
        if gains:
            return max(gains, key=abs)
    return 0.0


def _decide(
    cells: Sequence[Cell],
    before: Sequence[Row],
    bd: Mapping[str, float],
    slide_db: float,
    tolerance: Tolerance,
) -> tuple[Verdict, str]:
    """Return verdict and reason for one image, the gravest first."""
    changes = {cell.change for cell in cells}
    moved = _moved(slide_db, tolerance)
    loss = _loss(cells, before, bd, tolerance, moved=moved)
    if loss:
        return Verdict.WORSE, loss
    if Change.METRIC in changes:
        return Verdict.METRIC, "same bytes, other score"
    known = [value for value in bd.values() if not math.isnan(value)]
    gained = bool(known) and max(known) <= 0 and min(known) < -tolerance.bd_rate_percent
    size = max((c.size_percent for c in cells if c.change == Change.MOVED), key=abs, default=0.0)
    if moved or (abs(size) > tolerance.moved_percent and not gained):
        return Verdict.MOVED, f"along the curve by up to {slide_db:+.3f} dB, {size:+.2f} %"
    if changes & BAD and not gained:
        return Verdict.WORSE, "larger or worse at the same setting, and nothing gained for it"
    if gained or changes & {Change.BETTER, Change.MENDED}:
        return Verdict.BETTER, ""
    return Verdict.EQUAL, ""


def _moved(slide_db: float, tolerance: Tolerance) -> bool:
    return abs(slide_db) > tolerance.moved_db


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
        if cell.change in BAD and cell.hard:
            return f"{cell.change}: a point lost more than any gain excuses"
    allowed = max(tolerance.bd_rate_image_percent, _INTERPOLATION_PERCENT * moved)
    for score, value in bd.items():
        if value > allowed:
            return f"BD-rate ({rd.name(score)}) {value:+.2f} %"
    allowed = max(tolerance.point_db, _INTERPOLATION_DB * moved)
    for cell in cells:
        if cell.change != Change.MOVED or cell.after is None:
            continue
        for score in bd:
            gain = rd.gain_at_equal_rate_db(before, cell.after, score)
            if gain < -max(allowed, tolerance.quality_db(score)):
                return f"{gain:+.2f} dB ({rd.name(score)}) at equal rate"
    return ""


def _moved_rungs(cells: Sequence[Cell]) -> list[str]:
    """Say whose files the changed ones are, where the baseline knows them under another rung."""
    known = {
        (c.before.image, c.before.bitstream_sha256): c.before.setting
        for c in cells
        if c.before.bitstream_sha256
    }
    changed = [c for c in cells if c.after is not None and c.change != Change.IDENTICAL]
    settings = [c.before.setting for c in cells]
    pairs: dict[tuple[str, str], int] = {}
    for cell in changed:
        assert cell.after is not None
        other = known.get((cell.before.image, cell.after.bitstream_sha256))
        if other is not None and other != cell.before.setting:
            pair = (short(cell.before.setting, settings), short(other, settings))
            pairs[pair] = pairs.get(pair, 0) + 1
    if not pairs:
        return []
    told = ", ".join(f"{now} gives the files of {then}" for now, then in pairs)
    return [f"{sum(pairs.values())} of {len(changed)} changed files are another rung's: {told}"]


def _incomplete(cells: Sequence[Cell], compared: Sequence[Cell], verdict: Verdict) -> str:
    """Say what could not be compared, and why."""
    reasons: dict[str, int] = {}
    for cell in cells:
        if cell.change not in COMPARED:
            why = cell.why or str(cell.change)
            reasons[why] = reasons.get(why, 0) + 1
    told = "; ".join(f"{why} ({count} cells)" for why, count in reasons.items())
    return f"{len(compared)} of {len(cells)} cells compared ({verdict}); the rest: {told}"


def rungs_of(result: CurveResult) -> list[str]:
    """Return the settings of a curve in few words, from low to high rate."""
    ordered = rungs(cell.before for cell in result.cells)
    return [short(setting, ordered) for setting in ordered]

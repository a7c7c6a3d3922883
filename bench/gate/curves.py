"""Compare one curve: the cells of a codec on a dataset, image by image, then together."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean

from bench.gate import scores
from bench.gate.cells import INCOMPARABLE, NO_FILE, Cell, Change
from bench.gate.environment import Difference, explains
from bench.gate.images import (
    INTERPOLATION_PERCENT,
    PASSING,
    SAME_BYTES,
    ImageResult,
    Verdict,
    judge_image,
)
from bench.gate.rows import short
from bench.gate.tolerance import Tolerance

ENVIRONMENT_PERCENT, ENVIRONMENT_DB, ENVIRONMENT_BD_PERCENT = 10.0, 0.5, 5.0
"""What another library may do under ``--allow-environment``: to the size of any file and the
quality of any image, either way, and to the BD-rate of any image. A metric without decibels has
fifty times its tolerance."""


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
    beyond
        What no other environment excuses; empty where there is no such thing.
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
    beyond: str = ""

    @property
    def incomplete(self) -> bool:
        """Whether of some cell nothing can be said."""
        return any(cell.change in INCOMPARABLE for cell in self.cells)

    @property
    def changed(self) -> list[Cell]:
        """The cells that are not as they were, the worst first."""
        return sorted((c for c in self.cells if c.change != Change.IDENTICAL), key=_severity)

    @property
    def failing_images(self) -> list[str]:
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
    gains = [g for column in cell.before.scores if not math.isnan(g := cell.gain(column))]
    gain, growth = next(iter(gains), math.nan), cell.size_percent
    if cell.change == Change.MOVED:
        gain = -abs(gain)
    return (
        list(Change).index(cell.change),
        math.inf if math.isnan(gain) else gain,
        math.inf if math.isnan(growth) else -growth,
    )


def judge(
    cells: Sequence[Cell],
    tolerance: Tolerance,
    columns: Sequence[str],
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
    columns
        The scores of the baseline.
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
    judges = [column for column in columns if column not in drifted]
    compared = [cell for cell in cells if cell.compared]
    images = [
        judge_image(name, [c for c in compared if c.before.image == name], tolerance, judges)
        for name in dict.fromkeys(c.before.image for c in compared)
    ]
    mean = {c: _mean(image.bd_rate_percent.get(c, math.nan) for image in images) for c in judges}
    over = _mean_over(mean, images, tolerance)
    verdict = Verdict.WORSE if over else _verdict(cells, images)
    if drifted and verdict in PASSING:
        verdict = Verdict.METRIC
    if ladder_changed and verdict in PASSING:
        verdict = Verdict.MOVED
    underlying, beyond = verdict, ""
    if verdict not in PASSING and verdict not in {Verdict.METRIC, Verdict.NOT_COMPARABLE}:
        libraries, own = tolerance.libraries, tolerance.own
        if any(explains(cause, libraries, own=own) for cause in causes):
            verdict, beyond = Verdict.ENVIRONMENT, _beyond(compared, images, tolerance)
    told = [*notes, *over, *_moved_rungs(compared), *_left_out(cells)]
    if beyond:
        told.append(f"more than another environment may do: {beyond}")
    result = CurveResult(
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
        beyond=beyond,
    )
    if result.incomplete and verdict in PASSING:
        return replace(result, verdict=Verdict.NOT_COMPARABLE, underlying=Verdict.NOT_COMPARABLE)
    return result


def _mean(values: Iterable[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return fmean(known) if known else math.nan


def _mean_over(
    mean: Mapping[str, float], images: Sequence[ImageResult], tolerance: Tolerance
) -> list[str]:
    """Say which mean BD-rates are over what is allowed."""
    allowed = tolerance.bd_rate_percent
    if any(image.moved for image in images):
        allowed = max(allowed, INTERPOLATION_PERCENT)
    return [
        f"mean BD-rate ({scores.of(column).title}) {value:+.2f} % is over {allowed:g} %"
        for column, value in mean.items()
        if value > allowed
    ]


def _verdict(cells: Sequence[Cell], images: Sequence[ImageResult]) -> Verdict:
    """Return the worst that can be said of any image."""
    found = {image.verdict for image in images}
    for verdict in (Verdict.WORSE, Verdict.METRIC, Verdict.MOVED):
        if verdict in found:
            return verdict
    changes = {cell.change for cell in cells}
    if not any(cell.compared for cell in cells):
        return Verdict.NOT_COMPARABLE
    if changes - INCOMPARABLE <= {Change.IDENTICAL, Change.STILL_FAILS}:
        return Verdict.STILL_FAILS if Change.STILL_FAILS in changes else Verdict.IDENTICAL
    if Verdict.PIXELS in found and found <= SAME_BYTES:
        return Verdict.PIXELS
    return Verdict.BETTER if Verdict.BETTER in found else Verdict.EQUAL


def _beyond(cells: Sequence[Cell], images: Sequence[ImageResult], tolerance: Tolerance) -> str:
    """Return the first thing that no other library excuses; empty where all is within limits."""
    for cell in cells:
        where = f"{cell.before.image}, {cell.before.setting}"
        if cell.change in NO_FILE:
            return f"no file ({where}: {cell.why})"
        if abs(cell.size_percent) > ENVIRONMENT_PERCENT:
            return f"{cell.size_percent:+.2f} % in size ({where}), at most {ENVIRONMENT_PERCENT:g}"
        for column in cell.before.scores:
            score, gain = scores.of(column), cell.gain(column)
            limit = ENVIRONMENT_DB if score.unit else 50 * tolerance.quality(column)
            if abs(gain) > limit:
                return f"{gain:+.3g}{score.unit} in {score.title} ({where}), at most {limit:g}"
    for image in images:
        for column, rate in image.bd_rate_percent.items():
            if abs(rate) > ENVIRONMENT_BD_PERCENT:
                return (
                    f"{rate:+.2f} % in BD-rate ({scores.of(column).title}, {image.image}), "
                    f"at most {ENVIRONMENT_BD_PERCENT:g}"
                )
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


def _left_out(cells: Sequence[Cell]) -> list[str]:
    """Say of how many cells nothing can be said, and why; and which fail as before."""
    reasons: dict[str, int] = {}
    failures: dict[str, int] = {}
    for cell in cells:
        if cell.change in INCOMPARABLE:
            why = cell.why or str(cell.change)
            reasons[why] = reasons.get(why, 0) + 1
        elif cell.change == Change.STILL_FAILS:
            failures[cell.why] = failures.get(cell.why, 0) + 1
    told = [f"{_cells(n, len(cells))} as before: {why}" for why, n in failures.items()]
    if reasons:
        compared = sum(cell.compared for cell in cells)
        words = "; ".join(f"{why} ({count} cells)" for why, count in reasons.items())
        told.append(f"{compared} of {len(cells)} cells compared; the rest: {words}")
    undefined = dict.fromkeys(
        f"{scores.of(column).title} is {fault}"
        for cell in cells
        if cell.after is not None and not cell.after.error
        for column in cell.before.scores
        if (fault := cell.before.fault(column)).startswith("undefined")
        and fault == cell.after.fault(column)
    )
    return [*told, *(f"{why}: judged without it" for why in undefined)]


def _cells(count: int, total: int) -> str:
    return f"{count} of {total} cells fail{'s' if count == 1 else ''}"

"""Bjontegaard deltas with guard rails: a number with its interval, or the reason why there is none.

G. Bjontegaard, "Calculation of average PSNR differences between RD-curves", VCEG-M33, 2001: the
mean difference of log10 rate (or of quality) between two interpolated curves over the range that
both cover. The formula trusts its input: from a curve that is not monotone its cubic method returns
-93 %, from two curves that share 2 % of their range -87 %. So curves are checked first, and what
cannot be computed is None with its cause and a note.
"""

from __future__ import annotations

import enum
import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from bench.analysis._bjontegaard_batch import (
    MIN_OVERLAP_PERCENT,
    Stack,
    deltas,
)
from bench.errors import BDError, UsageError

METHODS = ("pchip", "akima", "cubic")
"""Interpolations; the first is the headline."""

MIN_POINTS = {"pchip": 4, "akima": 4, "cubic": 4}
"""Points that each curve needs: the cubic has four coefficients, and Bjontegaard's figures four
points; two or three would let the others draw almost any curve."""

LOW_OVERLAP_PERCENT = 50.0
"""Under this the note warns."""


class Cause(enum.StrEnum):
    """Why a delta is not computable."""

    FEW_POINTS = "too few points"
    LOSSLESS = "too few points that are not lossless"
    UNDEFINED = "too few points that have a value"
    NOT_FINITE = "a value that is not finite, or a rate that is not positive"
    SAME_RATE = "two points of one rate"
    NOT_RISING = "quality that does not improve with rate"
    OVERLAP = "too little overlap"
    TOO_CLOSE = "points too close together"
    NO_IMAGE = "no image that both have"


class Refusal(BDError):  # noqa: N818 - a verdict, not a fault
    """A delta is not computable, with the cause."""

    def __init__(self, cause: Cause, what: str) -> None:
        super().__init__(what)
        self.cause = cause


@dataclass(frozen=True, slots=True)
class Curve:
    """Points of one rate-distortion curve, in any order.

    Attributes
    ----------
    rate
        Positive, of any unit that both curves share (bpp). NaN: this point is missing.
    quality
        Of any metric. ``inf`` marks a lossless point, NaN a missing one.
    """

    rate: tuple[float, ...]
    quality: tuple[float, ...]

    def __post_init__(self) -> None:
        """Check that every rate has its quality.

        Raises
        ------
        BDError
            If the numbers of rates and qualities differ.
        """
        if len(self.rate) != len(self.quality):
            raise BDError(
                f"a curve needs as many qualities as rates, found {len(self.quality)} and "
                f"{len(self.rate)}"
            )


@dataclass(frozen=True, slots=True)
class Delta:
    """How a test curve differs from an anchor.

    Attributes
    ----------
    bd_rate_percent
        Mean rate difference at equal quality; negative: the test needs fewer bits. None: not
        computable, ``note`` says why.
    bd_quality
        Mean quality difference at equal rate, test minus anchor, in the metric's own unit and
        direction (BD-PSNR in dB). None where not computable.
    method
        The interpolation.
    overlap_percent
        Intersection over union of the two quality ranges.
    ci_low, ci_high
        95 % bootstrap interval of ``bd_rate_percent`` over images, in percent.
    note
        Caveats and reasons, separated by semicolons.
    cause
        Why there is no BD-rate; None where there is one.
    images
        How many images the curves are means over; 0: unknown.
    per_image
        Image -> its own delta, pchip only.
    """

    bd_rate_percent: float | None
    bd_quality: float | None
    method: str
    overlap_percent: float | None = None
    ci_low: float | None = None
    ci_high: float | None = None
    note: str = ""
    cause: Cause | None = None
    images: int = 0
    per_image: Mapping[str, Delta] = field(default_factory=dict)

    @property
    def image_rates(self) -> dict[str, float]:
        """Image -> BD-rate in percent, of those images where it is computable."""
        rates = {name: delta.bd_rate_percent for name, delta in self.per_image.items()}
        return {name: rate for name, rate in rates.items() if rate is not None}

    @property
    def median_percent(self) -> float | None:
        """Median of the images' BD-rates."""
        return float(np.median(list(self.image_rates.values()))) if self.image_rates else None

    @property
    def worst(self) -> tuple[str, float] | None:
        """The image with the largest BD-rate, and that in percent."""
        return max(self.image_rates.items(), key=lambda item: item[1], default=None)


def compare(
    anchor: Curve, test: Curve, method: str = "pchip", *, higher_is_better: bool = True
) -> Delta:
    """Return BD-rate and BD-quality of ``test`` against ``anchor``.

    Parameters
    ----------
    anchor, test
        At least ``MIN_POINTS[method]`` points each, in any order; missing and lossless points are
        left out.
    method
        One of ``METHODS``.
    higher_is_better
        False for LPIPS: qualities are negated inside.

    Returns
    -------
    Delta
        Without numbers, and with ``not computable: reason`` as its note, where a curve has too few
        points, two points of one rate, or a quality that does not improve with the rate, or where
        the curves overlap by less than ``MIN_OVERLAP_PERCENT``.

    Raises
    ------
    UsageError
        If there is no such method.
    """
    check_method(method)
    sign, notes = 1 if higher_is_better else -1, list[str]()
    try:
        checked = [
            checked_stack(curve, name, method, sign, notes)
            for name, curve in (("anchor", anchor), ("test", test))
        ]
        delta = _calculate(checked[0], checked[1], method, sign)
    except Refusal as error:
        delta = refused(method, error)
    return replace(delta, note=joined(delta.note, *notes))


def check_method(method: str) -> None:
    """Raise ``UsageError`` for an unknown interpolation."""
    if method not in METHODS:
        raise UsageError(f"unknown BD method {method!r}", f"Known: {', '.join(METHODS)}.")


def refused(method: str, error: Refusal) -> Delta:
    """Return the delta without numbers that a refusal stands for."""
    return Delta(None, None, method, note=f"not computable: {error.what}", cause=error.cause)


def joined(*notes: str) -> str:
    """Return the notes that are not empty as one text."""
    return "; ".join(note for note in notes if note)


def checked_stack(curve: Curve, name: str, method: str, sign: int, notes: list[str]) -> Stack:
    """Return the curve as a stack of one, rates rising, qualities rising and signed.

    Raises
    ------
    BDError
        If no delta can be computed from it.
    """
    rate, quality = np.array(curve.rate, float), np.array(curve.quality, float)
    missing = np.isnan(rate) | np.isnan(quality)
    lossless = np.isposinf(quality) & ~missing
    for lost, word in ((missing, "missing"), (lossless, "lossless")):
        if lost.any():
            notes.append(f"{lost.sum()} {word} point(s) of {name} left out")
    rate, quality = rate[~(missing | lossless)], quality[~(missing | lossless)]
    if len(rate) < (needed := MIN_POINTS[method]):
        few = Cause.LOSSLESS if lossless.any() else Cause.UNDEFINED
        raise Refusal(
            few if len(curve.rate) >= needed else Cause.FEW_POINTS,
            f"{method} needs at least {needed} points per curve, {name} has {len(rate)}",
        )
    if not (np.isfinite([rate, quality]).all() and (rate > 0).all()):
        raise Refusal(
            Cause.NOT_FINITE,
            f"{name} has a rate that is not positive or a value that is not finite",
        )
    order = np.argsort(rate, kind="stable")
    rate, quality = rate[order], quality[order]
    for k in np.flatnonzero(np.diff(rate) <= 0)[:1]:
        raise Refusal(Cause.SAME_RATE, f"{name} has two points at rate {rate[k]:.4g}")
    for k in np.flatnonzero(np.diff(sign * quality) <= 0)[:1]:
        raise Refusal(
            Cause.NOT_RISING,
            f"quality of {name} does not improve with rate: {quality[k]:.5g} at {rate[k]:.4g}, "
            f"{quality[k + 1]:.5g} at {rate[k + 1]:.4g}",
        )
    return Stack(rate[None], sign * quality[None])


def delta_of(rate: float, gain: float, overlap: float, method: str, sign: int) -> Delta:
    """Return numbers as a delta; NaN means that they could not be computed."""
    note, cause = "", None
    if overlap < MIN_OVERLAP_PERCENT:
        note = f"not computable: quality ranges overlap by {overlap:.2g} %"
        cause = Cause.OVERLAP
    elif overlap < LOW_OVERLAP_PERCENT:
        note = f"warning: quality ranges overlap by only {overlap:.0f} %"
    return Delta(
        None if cause else rate,
        None if cause or math.isnan(gain) else sign * gain + 0.0,
        method,
        overlap,
        note=note,
        cause=cause,
    )


def _calculate(anchor: Stack, test: Stack, method: str, sign: int) -> Delta:
    """Return the delta of two checked curves; refuse a cubic fit that points do not determine."""
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="Polyfit may be poorly conditioned")
        try:
            columns = deltas(anchor, test, method)
        except Warning:
            raise Refusal(
                Cause.TOO_CLOSE, "the points lie too close together for a cubic fit"
            ) from None
    rate, gain, overlap = (float(column[0]) for column in columns)
    return delta_of(rate, gain, overlap, method, sign)

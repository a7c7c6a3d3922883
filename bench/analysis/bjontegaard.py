"""Bjontegaard deltas with guard rails: a number with its interval, or the reason why there is none.

G. Bjontegaard, "Calculation of average PSNR differences between RD-curves", VCEG-M33, 2001. The
package ``bjontegaard`` is the calculator: the mean difference of log10 rate (or of quality) between
two interpolated curves over the range that both cover. It trusts its input: from a curve that is
not monotone its cubic method returns -93 %, from two curves that share 2 % of their range -87 %.
So curves are checked first, and what cannot be computed is None with a note.
"""

from __future__ import annotations

import math
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from bench.analysis._bjontegaard_batch import (
    MIN_OVERLAP_PERCENT,
    Floats,
    Stack,
    deltas,
    overlaps_percent,
    resampled_rates,
)
from bench.errors import BDError, UsageError

METHODS = ("pchip", "akima", "cubic")
"""Interpolations; the first is the headline."""

MIN_POINTS = {"pchip": 4, "akima": 4, "cubic": 4}
"""Points that each curve needs: the cubic has four coefficients, and Bjontegaard's figures four
points; two or three would let the others draw almost any curve."""

LOW_OVERLAP_PERCENT = 50.0
"""Under this the note warns."""

MIN_IMAGES = 5
"""A bootstrap over fewer images has too few distinct resamples for an interval."""

# An interval that silently left out more of the resamples than this would be too narrow.
_MAX_LOST = 0.1


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
    def mean_percent(self) -> float | None:
        """Mean of the images' BD-rates, in contrast to the BD-rate of the mean curves."""
        return float(np.mean(list(self.image_rates.values()))) if self.image_rates else None

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
    _check_method(method)
    sign, notes = 1 if higher_is_better else -1, list[str]()
    try:
        checked = [
            _checked(curve, name, method, sign, notes)
            for name, curve in (("anchor", anchor), ("test", test))
        ]
        delta = _calculate(checked[0], checked[1], method, sign)
    except BDError as error:
        delta = _refused(method, error)
    return replace(delta, note=_joined(delta.note, *notes))


def _check_method(method: str) -> None:
    if method not in METHODS:
        raise UsageError(f"unknown BD method {method!r}", f"Known: {', '.join(METHODS)}.")


def _refused(method: str, error: BDError) -> Delta:
    return Delta(None, None, method, note=f"not computable: {error.what}")


def _joined(*notes: str) -> str:
    return "; ".join(note for note in notes if note)


def _checked(curve: Curve, name: str, method: str, sign: int, notes: list[str]) -> Stack:
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
    if len(rate) < MIN_POINTS[method]:
        raise BDError(
            f"{method} needs at least {MIN_POINTS[method]} points per curve, {name} has {len(rate)}"
        )
    if not (np.isfinite([rate, quality]).all() and (rate > 0).all()):
        raise BDError(f"{name} has a rate that is not positive or a value that is not finite")
    order = np.argsort(rate, kind="stable")
    rate, quality = rate[order], quality[order]
    for k in np.flatnonzero(np.diff(rate) <= 0)[:1]:
        raise BDError(f"{name} has two points at rate {rate[k]:.4g}")
    for k in np.flatnonzero(np.diff(sign * quality) <= 0)[:1]:
        raise BDError(
            f"quality of {name} does not improve with rate: {quality[k]:.5g} at {rate[k]:.4g}, "
            f"{quality[k + 1]:.5g} at {rate[k + 1]:.4g}"
        )
    return Stack(rate[None], sign * quality[None])


def _overlap_note(overlap: float) -> str:
    """Return what must be said of an overlap in percent; usually nothing."""
    if overlap < MIN_OVERLAP_PERCENT:
        return f"not computable: quality ranges overlap by {overlap:.2g} %"
    if overlap < LOW_OVERLAP_PERCENT:
        return f"warning: quality ranges overlap by only {overlap:.0f} %"
    return ""


def _calculate(anchor: Stack, test: Stack, method: str, sign: int) -> Delta:
    """Return the delta of two checked curves, by the package ``bjontegaard``.

    Raises
    ------
    BDError
        If the cubic fit is not determined by the points.
    """
    import bjontegaard  # imports matplotlib: slow

    overlap = float(overlaps_percent(anchor.quality, test.quality)[0])
    note = _overlap_note(overlap)
    if overlap < MIN_OVERLAP_PERCENT:
        return Delta(None, None, method, overlap, note=note)
    points = (anchor.rate[0], anchor.quality[0], test.rate[0], test.quality[0])
    # The package's own warning is at 75 % overlap; ours is the note.
    options = {"method": method, "require_matching_points": False, "min_overlap": 0}
    gain = None
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="Polyfit may be poorly conditioned")
        try:
            bd_rate = float(bjontegaard.bd_rate(*points, **options))
            if overlaps_percent(np.log10(anchor.rate), np.log10(test.rate)) >= MIN_OVERLAP_PERCENT:
                gain = sign * float(bjontegaard.bd_psnr(*points, **options)) + 0.0
        except Warning:
            raise BDError("the points lie too close together for a cubic fit") from None
    return Delta(bd_rate, gain, method, overlap, note=note)


def compare_over_images(
    anchor: Mapping[str, Curve],
    test: Mapping[str, Curve],
    method: str = "pchip",
    *,
    higher_is_better: bool = True,
    resamples: int = 400,
    seed: int = 2001,
) -> Delta:
    """Return the delta of the mean curves over the common images, with its interval and spread.

    A mean curve has one point per setting: mean rate and mean quality over the images. The interval
    is the 2.5 to 97.5 percentile of the BD-rate of the mean curves over bootstrap resamples of the
    images, the same ones for both codecs. It and ``per_image`` are made for pchip alone.

    Parameters
    ----------
    anchor, test
        Image -> curve. The k-th point of every curve of a codec is of its k-th setting.
        Images that only one of them has, or that lack a point, are left out.
    method, higher_is_better
        As of ``compare``.
    resamples
        How many; 0: no interval.
    seed
        Of the resamples: the same input gives the same interval.

    Returns
    -------
    Delta
        As of ``compare``, about the mean curves. A setting that is lossless on any image is left
        out for all.

    Raises
    ------
    UsageError
        If there is no such method.
    """
    _check_method(method)
    images, notes = _common(anchor, test)
    if not images:
        return Delta(
            None, None, method, note=_joined("not computable: no image has both curves", *notes)
        )
    stacks = [
        _stack([curves[image] for image in images], label, notes)
        for label, curves in (("anchor", anchor), ("test", test))
    ]
    means = [
        Curve(tuple(stack.rate.mean(axis=0)), tuple(stack.quality.mean(axis=0))) for stack in stacks
    ]
    delta = compare(means[0], means[1], method, higher_is_better=higher_is_better)
    if method == "pchip":
        sign = 1 if higher_is_better else -1
        delta = replace(delta, per_image=_each_image(images, stacks, sign))
        if delta.bd_rate_percent is not None and resamples:
            signed = [Stack(stack.rate, sign * stack.quality) for stack in stacks]
            sampled = resampled_rates(signed[0], signed[1], resamples, seed)
            delta = _with_interval(delta, sampled, len(images), notes)
    return replace(delta, note=_joined(delta.note, *notes), images=len(images))


def _common(anchor: Mapping[str, Curve], test: Mapping[str, Curve]) -> tuple[list[str], list[str]]:
    """Return the images on which both curves are whole, and notes on the others."""
    both = sorted(set(anchor) & set(test))
    alone = sorted(set(anchor) ^ set(test))
    broken = sorted({*_broken(anchor, both), *_broken(test, both)})
    notes = [
        f"{len(names)} image(s) left out, {reason}: {', '.join(names[:3])}"
        + (", ..." if len(names) > 3 else "")
        for names, reason in ((alone, "of one codec only"), (broken, "points missing"))
        if names
    ]
    return [name for name in both if name not in broken], notes


def _broken(curves: Mapping[str, Curve], names: Sequence[str]) -> list[str]:
    """Return the images whose curve lacks points, going by the most usual number of points."""
    counts = Counter(len(curves[name].rate) for name in names)
    usual = max(counts, key=lambda points: (counts[points], points), default=0)
    return [
        name
        for name in names
        if len(curves[name].rate) != usual
        or any(map(math.isnan, (*curves[name].rate, *curves[name].quality)))
    ]


def _stack(curves: Sequence[Curve], label: str, notes: list[str]) -> Stack:
    """Return curves of equal length as arrays, without settings that are lossless anywhere."""
    rate = np.array([curve.rate for curve in curves], dtype=np.float64)
    quality = np.array([curve.quality for curve in curves], dtype=np.float64)
    lossless = np.isposinf(quality).any(axis=0)
    if lossless.any():
        notes.append(f"{lossless.sum()} lossless setting(s) of {label} left out")
    return Stack(rate[:, ~lossless], quality[:, ~lossless])


def _each_image(images: Sequence[str], stacks: Sequence[Stack], sign: int) -> dict[str, Delta]:
    """Return each image's own delta by pchip, computed for all of them at once."""
    found: dict[str, Delta] = {}
    anchors: dict[str, Stack] = {}
    tests: dict[str, Stack] = {}
    for k, image in enumerate(images):
        curves = [Curve(tuple(stack.rate[k]), tuple(stack.quality[k])) for stack in stacks]
        try:
            test = _checked(curves[1], "test", "pchip", sign, [])
            anchors[image] = _checked(curves[0], "anchor", "pchip", sign, [])
            tests[image] = test
        except BDError as error:
            found[image] = _refused("pchip", error)
    if tests:
        columns = deltas(Stack.join(anchors.values()), Stack.join(tests.values()))
        for image, rate, gain, overlap in zip(tests, *(c.tolist() for c in columns), strict=True):
            no_rate = math.isnan(rate)
            found[image] = Delta(
                None if no_rate else rate,
                None if no_rate or math.isnan(gain) else sign * gain + 0.0,
                "pchip",
                overlap,
                note=_overlap_note(overlap),
            )
    return {image: replace(found[image], images=1) for image in images}


def _with_interval(delta: Delta, sampled: Floats, images: int, notes: list[str]) -> Delta:
    """Return ``delta`` with its interval, or add the reason why there is none to ``notes``."""
    lost = int(np.isnan(sampled).sum())
    if images < MIN_IMAGES:
        notes.append(f"no interval: {images} image(s), {MIN_IMAGES} needed")
        return delta
    if lost > _MAX_LOST * len(sampled):
        notes.append(f"no interval: {lost} of {len(sampled)} resamples not computable")
        return delta
    low, high = np.nanpercentile(sampled, (2.5, 97.5))
    return replace(delta, ci_low=float(low), ci_high=float(high))

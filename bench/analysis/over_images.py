"""Bjontegaard deltas over images: of mean curves, with an interval and every image's own."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from bench.analysis._bjontegaard_batch import Floats, Stack, deltas, resampled_rates
from bench.analysis.bjontegaard import (
    Cause,
    Curve,
    Delta,
    Refusal,
    check_method,
    checked_stack,
    compare,
    delta_of,
    joined,
    refused,
)

MIN_IMAGES = 5
"""A bootstrap over fewer images has too few distinct resamples for an interval."""

# An interval that silently left out more of the resamples than this would be too narrow.
_MAX_LOST = 0.1


def compare_over_images(
    anchor: Mapping[str, Curve],
    test: Mapping[str, Curve],
    method: str = "pchip",
    *,
    higher_is_better: bool = True,
    decibels: Callable[[Floats], Floats] | None = None,
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
        Images that only one of them has, or on which a value is missing or infinite, are left out;
        a setting whose quality is ``inf`` on every image is lossless and is left out alone.
    method, higher_is_better
        As of ``compare``.
    decibels
        What makes decibels of mean qualities, and of the single ones for ``per_image``; None: the
        curves are compared in the unit that they come in.
    resamples
        How many; 0: no interval.
    seed
        Of the resamples: the same input gives the same interval.

    Returns
    -------
    Delta
        As of ``compare``, about the mean curves.

    Raises
    ------
    UsageError
        If there is no such method.
    """
    check_method(method)
    images, stacks, notes = _common(anchor, test)
    if not images:
        note = joined("not computable: no image has both curves", *notes)
        return Delta(None, None, method, note=note, cause=Cause.NO_IMAGE)
    sign = 1 if higher_is_better else -1

    def form(values: Floats) -> Floats:
        return values if decibels is None else decibels(values)

    means = []
    for stack in stacks:
        lossless = np.isposinf(stack.quality).all(axis=0)
        quality = np.full(stack.quality.shape[1], math.inf)
        quality[~lossless] = form(stack.quality[:, ~lossless].mean(axis=0))
        means.append(Curve(tuple(stack.rate.mean(axis=0)), tuple(quality)))
    delta = compare(means[0], means[1], method, higher_is_better=higher_is_better)
    if method == "pchip":
        lossy = [_lossy(stack) for stack in stacks]
        formed = [Stack(stack.rate, form(stack.quality)) for stack in lossy]
        delta = replace(delta, per_image=_each_image(images, formed, sign))
        if delta.bd_rate_percent is not None and resamples:
            sampled = resampled_rates(
                lossy[0], lossy[1], resamples, seed, lambda values: sign * form(values)
            )
            delta = _with_interval(delta, sampled, len(images), notes)
    return replace(delta, note=joined(delta.note, *notes), images=len(images))


def _lossy(stack: Stack) -> Stack:
    """Return the stack without the settings that are lossless on every image."""
    kept = ~np.isposinf(stack.quality).all(axis=0)
    return Stack(stack.rate[:, kept], stack.quality[:, kept])


def _common(
    anchor: Mapping[str, Curve], test: Mapping[str, Curve]
) -> tuple[list[str], list[Stack], list[str]]:
    """Return the images on which both curves are complete, the curves, notes on the others."""
    both = sorted(set(anchor) & set(test))
    alone = sorted(set(anchor) ^ set(test))
    names = [n for n in both if n not in {*_uneven(anchor, both), *_uneven(test, both)}]
    stacks = [
        Stack(
            np.array([curves[name].rate for name in names], dtype=np.float64),
            np.array([curves[name].quality for name in names], dtype=np.float64),
        )
        for curves in (anchor, test)
    ]
    whole = np.ones(len(names), dtype=bool)
    for stack in stacks if names else []:
        lossless = np.isposinf(stack.quality).all(axis=0)
        whole &= (np.isfinite(stack.quality) | lossless).all(axis=1)
        whole &= ~np.isnan(stack.rate).any(axis=1)
    kept = [name for name, fits in zip(names, whole, strict=True) if fits]
    broken = [name for name in both if name not in kept]
    notes = [
        f"{len(lost)} image(s) left out, {reason}: {', '.join(lost[:3])}"
        + (", ..." if len(lost) > 3 else "")
        for lost, reason in ((alone, "of one codec only"), (broken, "a value missing or infinite"))
        if lost
    ]
    return kept, [Stack(stack.rate[whole], stack.quality[whole]) for stack in stacks], notes


def _uneven(curves: Mapping[str, Curve], names: Sequence[str]) -> list[str]:
    """Return the images whose curve lacks points, going by the most usual number of points."""
    counts = Counter(len(curves[name].rate) for name in names)
    usual = max(counts, key=lambda points: (counts[points], points), default=0)
    return [name for name in names if len(curves[name].rate) != usual]


def _each_image(images: Sequence[str], stacks: Sequence[Stack], sign: int) -> dict[str, Delta]:
    """Return each image's own delta by pchip, computed for all of them at once."""
    found: dict[str, Delta] = {}
    anchors: dict[str, Stack] = {}
    tests: dict[str, Stack] = {}
    for k, image in enumerate(images):
        curves = [Curve(tuple(stack.rate[k]), tuple(stack.quality[k])) for stack in stacks]
        try:
            test = checked_stack(curves[1], "test", "pchip", sign, [])
            anchors[image] = checked_stack(curves[0], "anchor", "pchip", sign, [])
            tests[image] = test
        except Refusal as error:
            found[image] = refused("pchip", error)
    if tests:
        columns = deltas(Stack.join(anchors.values()), Stack.join(tests.values()))
        for image, rate, gain, overlap in zip(tests, *(c.tolist() for c in columns), strict=True):
            found[image] = delta_of(rate, gain, overlap, "pchip", sign)
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

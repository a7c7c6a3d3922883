"""The kinds of figures: what a set's ``kind`` may say."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bench.errors import UsageError
from bench.figures import (
    asymmetry,
    cost,
    crops,
    gain_vectors,
    hyper_gain,
    importance,
    pairs,
    rate_distortion,
    rates,
    residuals,
    speed,
)
from bench.figures.figure import Product
from bench.figures.results import Context
from bench.figures.spec import Entry, FigureSet, options_of
from bench.registry import suggest


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind: the dataclass of its options, and what makes it."""

    options: type
    make: Callable[[Context, Entry, Any], Product]


KINDS = {
    "importance": Kind(importance.Options, importance.make),
    "discrete": Kind(rates.DiscreteOptions, rates.make_discrete),
    "continuous": Kind(rates.ContinuousOptions, rates.make_continuous),
    "hyper-gain": Kind(hyper_gain.Options, hyper_gain.make),
    "rd": Kind(rate_distortion.Options, rate_distortion.make),
    "crops": Kind(crops.Options, crops.make),
    "pairs": Kind(pairs.Options, pairs.make),
    "reported-pairs": Kind(pairs.ReportedOptions, pairs.make_reported),
    "asymmetry": Kind(asymmetry.Options, asymmetry.make),
    "cost": Kind(cost.Options, cost.make),
    "gain-vectors": Kind(gain_vectors.Options, gain_vectors.make),
    "residuals": Kind(residuals.Options, residuals.make),
    "speed": Kind(speed.Options, speed.make),
}


def check(figure_set: FigureSet) -> None:
    """Raise UsageError unless every entry has a known kind and legal options."""
    for entry in figure_set.entries:
        if entry.kind not in KINDS:
            raise UsageError(
                f"figure {entry.id} has the unknown kind {entry.kind!r}",
                suggest(entry.kind, sorted(KINDS)),
            )
        options_of(KINDS[entry.kind].options, entry)


def make(context: Context, entry: Entry) -> Product:
    """Return one figure of a set.

    Raises
    ------
    Skipped
        If something that it needs is not here.
    """
    kind = KINDS[entry.kind]
    return kind.make(context, entry, options_of(kind.options, entry))

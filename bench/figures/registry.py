"""The kinds of figures: what a set's ``kind`` may say."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bench.codecs.agvae.paper import (
    channel_importance,
    complexity,
    gain_vectors,
    hyper_gain,
    rate_control,
    residual_densities,
    two_scales,
    variant_pairs,
)
from bench.errors import UsageError, suggest
from bench.figures import crops, rate_distortion, speed
from bench.figures.figure import Product
from bench.figures.results import Context
from bench.figures.spec import Entry, FigureSet, options_of


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind: the dataclass of its options, and what makes it."""

    options: type
    make: Callable[[Context, Entry, Any], Product]


KINDS = {
    "importance": Kind(channel_importance.Options, channel_importance.make),
    "discrete": Kind(rate_control.DiscreteOptions, rate_control.make_discrete),
    "continuous": Kind(rate_control.ContinuousOptions, rate_control.make_continuous),
    "hyper-gain": Kind(hyper_gain.Options, hyper_gain.make),
    "rd": Kind(rate_distortion.Options, rate_distortion.make),
    "crops": Kind(crops.Options, crops.make),
    "pairs": Kind(variant_pairs.Options, variant_pairs.make),
    "reported-pairs": Kind(variant_pairs.ReportedOptions, variant_pairs.make_reported),
    "asymmetry": Kind(two_scales.Options, two_scales.make),
    "cost": Kind(complexity.Options, complexity.make),
    "gain-vectors": Kind(gain_vectors.Options, gain_vectors.make),
    "residuals": Kind(residual_densities.Options, residual_densities.make),
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

"""Metrics: one file each, a pure function of two uint8 RGB images of equal shape (H, W, 3).

A metric has two steps, so that the reference side is computed once per image and reused for every
codec and setting: ``state = metric.prepare(reference)``, then ``metric.score(state, decoded)``.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bench.errors import BenchError, UsageError
from bench.image import Image


class Undefined(BenchError):  # noqa: N818 - a verdict, not a fault
    """The metric is not defined for this image (too small, say)."""


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric: where its values stand, what they mean, how to compute them.

    Attributes
    ----------
    name
        CLI word.
    column
        Column of ``rows.csv``; carries the unit or the net where there is one.
    title
        For axes and table heads, with the unit.
    higher_is_better
        The direction.
    version
        Changes whenever values may change; part of the key of stored scores.
    definition
        One sentence that says which flavour this is; printed under tables.
    prepare
        Reference image -> state. May raise ``Undefined``.
    score
        State, decoded image -> value. May raise ``Undefined``.
    """

    name: str
    column: str
    title: str
    higher_is_better: bool
    version: str
    definition: str
    prepare: Callable[[Image], Any]
    score: Callable[[Any, Image], float]

    def __call__(self, reference: Image, decoded: Image) -> float:
        """Return the value for one pair of images."""
        return self.score(self.prepare(reference), decoded)


# CLI word -> module that has ``create(word) -> Metric``, which raises MetricError where it cannot.
_MODULES = {
    "psnr": "bench.metrics.psnr",
    "ms_ssim": "bench.metrics.ms_ssim",
    "lpips_alex": "bench.metrics.lpips",
    "lpips_squeeze": "bench.metrics.lpips",
}
NAMES = ("psnr", "ms_ssim", "lpips", "lpips_alex", "lpips_squeeze")
"""What ``--metric`` takes; ``lpips`` means alex where its weights are at hand, else squeeze."""


def create(name: str) -> Metric:
    """Return the metric called ``name``.

    Raises
    ------
    UsageError
        If no metric has that name.
    MetricError
        If it cannot be computed here, with the reason and the remedy.
    """
    name = name.replace("-", "_")
    if name == "lpips":
        from bench.metrics.lpips import pick_net

        name = pick_net()
    if name not in _MODULES:
        raise UsageError(f"unknown metric {name!r}", f"Known: {', '.join(NAMES)}.")
    metric: Metric = importlib.import_module(_MODULES[name]).create(name)
    return metric

"""What a search shall hit: a rate, or a value of any metric."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from bench import metrics as metrics_of
from bench.errors import UsageError
from bench.metrics import from_file

RATE_TOLERANCE = 0.01


@dataclass(frozen=True, slots=True)
class Target:
    """What a search shall hit.

    Attributes
    ----------
    metric
        ``bpp``, or the name of a metric.
    value
        Of it.
    name
        What rows call it; empty: ``metric=value``.
    """

    metric: str
    value: float
    name: str = ""

    @classmethod
    def typed(cls, text: str) -> Target:
        """Read ``psnr=38``, ``bpp=0.5``, or a metric's file or command with ``=VALUE`` behind it.

        Raises
        ------
        BenchError
            If there is no such metric here, or the value is no number that it can have.
        """
        word, equals, number = text.rpartition("=")
        try:
            value = float(number) if equals else math.nan
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise UsageError(f"{text!r} is no target", "Write METRIC=NUMBER, such as psnr=38.")
        if word == "bpp":
            if value <= 0:
                raise UsageError(f"bpp must be positive, found {value:g}")
            return cls(word, value)
        metric = metrics_of.create(from_file.name_of(word))
        low, high = metric.limits
        if not low <= value <= high:
            raise UsageError(f"{metric.name} lies in {low:g} to {high:g}, found {value:g}")
        return cls(metric.name, value)

    def __str__(self) -> str:
        return self.name or f"{self.metric}={self.value:.10g}"

    def of(self, dataset: str, image: str) -> Target | None:  # noqa: ARG002 - see PerImage
        """Return the target of one image: the same for all."""
        return self

    @property
    def version(self) -> str:
        """The version of the metric: with another one, another file may be the nearest."""
        return "" if self.metric == "bpp" else metrics_of.create(self.metric).version

    def scale(self) -> tuple[Callable[[float], float], float]:
        """Return how far a value lies beyond the target, rising with rate; how near is enough.

        Of a rate that is its logarithm and 1 %, of a metric ten units of the last digit shown.
        """
        if self.metric == "bpp":
            return lambda value: math.log(value / self.value), math.log1p(RATE_TOLERANCE)
        metric = metrics_of.members(self.metric)[0].cls or metrics_of.Metric
        sign = 1.0 if metric.higher_is_better else -1.0
        return lambda value: sign * (value - self.value), 10.0 ** (1 - metric.digits)


@dataclass(frozen=True, slots=True)
class PerImage:
    """A target with a value of its own for each image: what another codec has there.

    Attributes
    ----------
    metric
        As of ``Target``.
    name
        What rows call it, such as ``ssimulacra2 of jpeg:quality=80``.
    values
        (dataset, image) -> value; other images are not measured.
    """

    metric: str
    name: str
    values: Mapping[tuple[str, str], float]

    def __str__(self) -> str:
        return self.name

    def of(self, dataset: str, image: str) -> Target | None:
        """Return the target of one image, or None."""
        value = self.values.get((dataset, image))
        return None if value is None else Target(self.metric, value, self.name)


def targets(text: str) -> list[Target]:
    """Read ``ssimulacra2=70,80,90``, several values of one metric."""
    word, _, numbers = text.rpartition("=")
    return [Target.typed(f"{word}={number}") for number in numbers.split(",")]

"""How often to repeat: warm-up until times stop falling, then median and interquartile range."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median, quantiles

from bench.throughput.runner import Pass

RunPass = Callable[[int], Pass]
"""Number of loops -> the pass that was timed."""


@dataclass(frozen=True, slots=True)
class Policy:
    """When to stop.

    Attributes
    ----------
    repeats
        Passes that count; None: between ``least`` and ``most``, for ``budget_s``.
    budget_s, least, most
        See there.
    warm_up_most, warm_up_s
        Warm-up ends after so many passes or seconds even if times still fall.
    falling
        A pass that takes less than this share of the best before it is still warming up.
    stretch_s
        Shorter passes are repeated at a stretch until they take so long.
    """

    repeats: int | None = None
    budget_s: float = 10.0
    least: int = 5
    most: int = 50
    warm_up_most: int = 10
    warm_up_s: float = 60.0
    falling: float = 0.95
    stretch_s: float = 0.1


@dataclass(frozen=True, slots=True)
class WarmUp:
    """How a warm-up went: its passes, whether times had stopped falling, loops from now on."""

    passes: int
    stable: bool
    loops: int


@dataclass(frozen=True, slots=True)
class Spread:
    """Median and interquartile range, in seconds; the range of one value is NaN."""

    median_s: float
    iqr_s: float


def spread(values_s: Sequence[float]) -> Spread:
    """Return median and interquartile range (linear interpolation, the ends included)."""
    if len(values_s) < 2:
        return Spread(median(values_s), math.nan)
    low, _, high = quantiles(values_s, n=4, method="inclusive")
    return Spread(median(values_s), high - low)


def warm_up(run: RunPass, policy: Policy) -> WarmUp:
    """Run passes until one is no longer clearly faster than the best before it, or a cap is met."""
    best_s, spent_s, passes = math.inf, 0.0, 0
    while passes < policy.warm_up_most and spent_s < policy.warm_up_s:
        time_s = run(1).time_s
        passes, spent_s = passes + 1, spent_s + time_s
        if time_s >= policy.falling * best_s:
            return WarmUp(passes, True, _loops(min(best_s, time_s), policy))
        best_s = min(best_s, time_s)
    return WarmUp(passes, False, _loops(best_s, policy))


def _loops(time_s: float, policy: Policy) -> int:
    return max(1, math.ceil(policy.stretch_s / max(time_s, 1e-6)))


def sample(run: RunPass, loops: int, policy: Policy) -> list[Pass]:
    """Return the passes that count."""
    found: list[Pass] = []
    spent_s = 0.0
    while _wants_more(len(found), spent_s, policy):
        found.append(run(loops))
        spent_s += found[-1].time_s * found[-1].loops
    return found


def _wants_more(passes: int, spent_s: float, policy: Policy) -> bool:
    if policy.repeats is not None:
        return passes < policy.repeats
    return passes < policy.least or (passes < policy.most and spent_s < policy.budget_s)


def by_phase(passes: Sequence[Pass]) -> dict[str, Spread]:
    """Return the spread of every phase, in the order of first use."""
    names = dict.fromkeys(name for one in passes for name in one.phases)
    return {name: spread([one.phases.get(name, 0.0) for one in passes]) for name in names}

"""Warm-up, repeats and statistics, on a clock that tells what the test wants."""

from __future__ import annotations

import math
from collections.abc import Iterable

import pytest

from bench.throughput import sampling
from bench.throughput.runner import Pass
from bench.throughput.sampling import Policy, Spread


class Clock:
    """Passes of given times; the last one repeats for ever."""

    def __init__(self, times_s: Iterable[float]) -> None:
        self.times_s = list(times_s)
        self.loops: list[int] = []

    def __call__(self, loops: int) -> Pass:
        self.loops.append(loops)
        time_s = self.times_s.pop(0) if len(self.times_s) > 1 else self.times_s[0]
        return Pass(time_s, {"analysis": time_s / 4, "other": 3 * time_s / 4}, loops)


@pytest.mark.parametrize(
    ("times_s", "median_s", "iqr_s"),
    [([5, 1, 3], 3, 2), ([4, 1, 3, 2], 2.5, 1.5), ([1, 2, 3, 4, 100], 3, 2), ([7, 7], 7, 0)],
)
def test_median_and_interquartile_range(times_s, median_s, iqr_s):
    """An outlier moves neither."""
    assert Spread(median_s, iqr_s) == sampling.spread(times_s)


def test_one_value_has_no_spread():
    """It is not zero either."""
    found = sampling.spread([2.0])

    assert 2.0 == found.median_s
    assert math.isnan(found.iqr_s)


@pytest.mark.parametrize(
    ("times_s", "passes", "stable"),
    [
        ([1, 1], 2, True),
        ([9, 2, 1, 0.97], 4, True),  # compiled twice, then steady
        ([1, 1.4], 2, True),  # slower is not warming up
        ([2.0**-k for k in range(20)], 10, False),
        ([70, 1], 1, False),  # one pass spent all the time there is
    ],
)
def test_warm_up_ends_when_times_stop_falling(times_s, passes, stable):
    """Or at a cap, which is told."""
    clock = Clock(times_s)
    found = sampling.warm_up(clock, Policy())

    assert (passes, stable) == (found.passes, found.stable)
    assert passes == len(clock.loops)


def test_short_passes_are_repeated_at_a_stretch():
    """Until a stretch takes the time that a clock can tell well; long ones are not."""
    assert 25 == sampling.warm_up(Clock([0.004]), Policy(stretch_s=0.1)).loops
    assert 1 == sampling.warm_up(Clock([3.0]), Policy(stretch_s=0.1)).loops


@pytest.mark.parametrize(
    ("policy", "time_s", "passes"),
    [
        (Policy(repeats=3), 100.0, 3),
        (Policy(), 100.0, 5),  # the least, whatever it costs
        (Policy(), 1.0, 10),  # the budget
        (Policy(), 0.001, 50),  # the most
    ],
)
def test_repeats(policy, time_s, passes):
    """As many as asked for, else what the budget allows within bounds."""
    assert passes == len(sampling.sample(Clock([time_s]), 1, policy))


def test_phases_have_medians_of_their_own():
    """A phase that a pass does not have counts as nothing there."""
    passes = [Pass(1, {"a": 0.25}), Pass(1, {"a": 0.75, "b": 1.0}), Pass(1, {"a": 0.5})]
    found = sampling.by_phase(passes)

    assert ["a", "b"] == list(found)
    assert Spread(0.5, 0.25) == found["a"]
    assert 0 == found["b"].median_s

"""Whether the machine is ours alone: processor time that others use, and the GPU's load."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass

import psutil

from bench.errors import UsageError
from bench.throughput import nvml

QUIET_CORES = 0.1
"""More than this, in cores, is a busy machine: a desktop at rest stays below."""

RUNNING_CORES = 0.25
"""The same while a measurement runs, when the system also works for the measurement."""

_WINDOW_S, _TRIES = 1.0, 3
_NOT_BUSY = ("idle", "iowait", "guest", "guest_nice")
"""Rest, and what user time holds already."""


@dataclass(frozen=True, slots=True)
class Reading:
    """The processor time used so far by the whole machine and by this process, and when.

    Attributes
    ----------
    all_s
        CPU seconds of every process since the machine started; None where that is unknown.
    own_s
        CPU seconds of this process.
    at_s
        Clock.
    """

    all_s: float | None
    own_s: float
    at_s: float


def read() -> Reading:
    """Return the counters of now."""
    used = os.times()
    return Reading(_busy_s(), used.user + used.system, time.monotonic())


def _busy_s() -> float | None:
    """Return user, system, interrupt and stolen time, in seconds over all cores."""
    try:
        times = psutil.cpu_times()._asdict()
    except (OSError, psutil.Error, RuntimeError):  # a sandbox may hide it
        return None
    return sum(value for name, value in times.items() if name not in _NOT_BUSY) or None


def others_cores(before: Reading, after: Reading, ours_s: float = 0.0) -> float:
    """Return how many cores others kept busy between two readings; 0 where that is unknown.

    ``ours_s`` are CPU seconds of our worker processes between them.
    """
    span_s = after.at_s - before.at_s
    if before.all_s is None or after.all_s is None or span_s <= 0:
        return 0.0
    used_s = after.all_s - before.all_s - (after.own_s - before.own_s) - ours_s
    return max(0.0, used_s / span_s)


def was_busy(before: Reading, after: Reading, ours_s: float) -> bool:
    """Return whether others worked beside a measurement; two ticks a core are the clock's own."""
    blur_s = 2 * (os.cpu_count() or 1) / os.sysconf("SC_CLK_TCK")
    span_s = max(after.at_s - before.at_s, 1e-9)
    return others_cores(before, after, ours_s) > RUNNING_CORES + blur_s / span_s


def load(
    device: str,
    *,
    pause: Callable[[float], object] = time.sleep,
    reading: Callable[[], Reading] = read,
) -> str:
    """Return who else is at work in a few words; empty where the machine is ours.

    A burst (the shell that started us, say) gets two more windows to end.
    """
    cores = 0.0
    for _ in range(_TRIES):
        before = reading()
        pause(_WINDOW_S)
        cores = others_cores(before, reading())
        if cores <= QUIET_CORES:
            break
    words = []
    if cores > QUIET_CORES:
        words.append(f"other processes use {cores:.2f} of {os.cpu_count()} cores")
    if device == "cuda" and (percent := nvml.load_percent()):
        words.append(f"the GPU is {percent} % busy")
    return " and ".join(words)


def claim(device: str, *, allow_busy: bool) -> str:
    """Return who else is at work, or refuse to measure beside them.

    Raises
    ------
    UsageError
        If the machine is busy and that was not allowed.
    """
    found = load(device)
    if found and not allow_busy:
        raise UsageError(
            f"the machine is busy: {found}; speed is measured alone",
            "Stop them, or pass --allow-busy to flag every number.",
        )
    return found

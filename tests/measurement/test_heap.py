"""The C library's heap: memory that is used again and again is not mapped anew each time."""

from __future__ import annotations

import ctypes
import resource

import numpy as np
import psutil
import pytest

from bench.measurement.heap import large_arrays_kept

pytestmark = pytest.mark.skipif(
    not hasattr(ctypes.CDLL(None), "mallopt"), reason="the C library is not glibc"
)
MIB = 2**20


def faults(size_mib: int, times: int) -> int:
    """Return how many pages the system had to give for arrays made one after the other."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(times):
        np.ones(size_mib * MIB, np.uint8)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def test_large_arrays_take_the_memory_of_earlier_ones(monkeypatch: pytest.MonkeyPatch):
    """Within, pages are given once; before and afterwards for each array."""
    for name in ("MALLOC_MMAP_MAX_", "MALLOC_TRIM_THRESHOLD_"):
        monkeypatch.delenv(name, raising=False)
    plain = faults(48, 4)
    with large_arrays_kept():
        faults(48, 1)
        kept = faults(48, 4)
    after = faults(48, 4)

    assert kept < 0.2 * plain
    assert after > 0.7 * plain


def test_what_was_kept_goes_back():
    """Afterwards the process holds what it held before, also after an error."""

    @large_arrays_kept()
    def fails() -> None:
        np.ones(100 * MIB, np.uint8)
        raise ZeroDivisionError

    held = psutil.Process().memory_info().rss
    with pytest.raises(ZeroDivisionError):
        fails()

    assert psutil.Process().memory_info().rss < held + 50 * MIB


def test_what_the_environment_says_of_the_heap_stays(monkeypatch: pytest.MonkeyPatch):
    """Who chose how memory is kept has it so."""
    monkeypatch.setenv("MALLOC_MMAP_THRESHOLD_", "1000000")
    plain = faults(48, 4)
    with large_arrays_kept():
        inside = faults(48, 4)

    assert inside > 0.7 * plain

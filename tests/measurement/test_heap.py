"""The C library's heap: memory that is used again and again is not mapped anew each time."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys

import numpy as np
import psutil
import pytest

from bench.measurement.heap import large_arrays_kept

pytestmark = pytest.mark.skipif(
    not hasattr(ctypes.CDLL(None), "mallopt"), reason="the C library is not glibc"
)
MIB = 2**20


FAULTS = """
import resource
import numpy as np
from bench.measurement.heap import large_arrays_kept

def faults(times):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(times):
        np.ones(48 << 20, np.uint8)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

plain = faults(4)
with large_arrays_kept():
    faults(1)
    kept = faults(4)
print(plain, kept, faults(4))
"""
"""Prints how many pages the system gives for four arrays before, within and afterwards."""


def faults(**variables: str) -> list[int]:
    """Return what ``FAULTS`` prints: in a new process, whose heap no other test has set."""
    known = {name: text for name, text in os.environ.items() if not name.startswith("MALLOC_")}
    done = subprocess.run(
        [sys.executable, "-c", FAULTS],
        env=known | variables,
        capture_output=True,
        text=True,
        check=True,
    )
    return [int(word) for word in done.stdout.split()]


def test_large_arrays_take_the_memory_of_earlier_ones():
    """Within, pages are given once; before and afterwards for each array."""
    plain, kept, after = faults()

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


def test_what_the_environment_says_of_the_heap_stays():
    """Who chose how memory is kept has it so."""
    plain, inside, _ = faults(MALLOC_MMAP_THRESHOLD_="1000000")

    assert inside > 0.7 * plain


GIVEN_BACK = """
import numpy as np
import psutil
from bench.measurement.heap import give_back_memory_of, keep_freed_memory

def held():
    return psutil.Process().memory_info().rss >> 20

keep_freed_memory()
blocks = [np.ones(16 << 20, np.uint8) for _ in range(10)]
behind = np.ones(1 << 20, np.uint8)
full = held()
del blocks
kept = held()
give_back_memory_of(1 << 20)
small = held()
give_back_memory_of(100 << 20)
print(full, kept, small, held())
"""
"""Prints MiB with ten arrays, after they are freed, after a small picture, after a large one."""


def test_memory_of_a_large_picture_goes_back():
    """Also what lies before something that is still used; of small pictures it is kept."""
    known = {name: text for name, text in os.environ.items() if not name.startswith("MALLOC_")}
    words = [sys.executable, "-c", GIVEN_BACK]
    done = subprocess.run(words, env=known, capture_output=True, text=True, check=True)
    full, kept, small, left = map(int, done.stdout.split())

    assert kept > full - 20
    assert small > full - 20
    assert left < full - 140

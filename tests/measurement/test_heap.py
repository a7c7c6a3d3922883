"""What a worker frees is kept for its next picture."""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path

import pytest

from bench.measurement import heap
from bench.measurement.child import Child

FAULTS = """
import resource
import numpy as np

def faults(size_bytes):
    for _ in range(2):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        for _ in range(10):
            [np.ones(size_bytes, np.uint8) for _ in range(3)]
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
"""
"""Pages that the kernel gives a process for arrays of which three live at a time."""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's heap")
def test_a_worker_keeps_what_it_frees_but_for_large_arrays(tmp_path: Path, monkeypatch):
    """Arrays of a some megabytes stand on pages that it has; 40 MiB go back to the system."""
    for name in [name for name in os.environ if name.startswith("MALLOC_")]:
        monkeypatch.delenv(name)
    (tmp_path / "page_faults.py").write_text(FAULTS)
    monkeypatch.syspath_prepend(tmp_path)
    faults = importlib.import_module("page_faults").faults
    child = Child(str(tmp_path), leader=True)
    try:
        few, many = (child.call(faults, size << 20) for size in (12, 40))
    finally:
        child.kill()

    assert few < 100
    assert many > 10 * 3 * 15  # of 2 MiB each at most


def test_what_the_environment_says_stays(monkeypatch):
    """A user's own choice of the heap is not overruled."""
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "0")
    monkeypatch.setattr(heap.ctypes, "CDLL", None)
    heap.keep_freed_memory()

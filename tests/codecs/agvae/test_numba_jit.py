"""Compiled loops: never those of an older source, and compiled where nothing can be cached."""

from __future__ import annotations

from pathlib import Path

import numba
import numpy as np
import pytest
from numba.core import caching

from bench.codecs.agvae import numba_jit
from bench.codecs.agvae.bitstream import rans_kernels


def test_machine_code_of_an_older_source_is_never_run(tmp_path: Path, monkeypatch):
    """Killed between writing the cache's index and its code, the old code is not left in force."""
    path = tmp_path / "loops.py"

    def answer(value: int) -> int:
        path.write_text(f"def answer():\n    return {value}\n")
        space: dict = {"__name__": "loops"}
        exec(compile(path.read_text(), path, "exec"), space)
        return numba_jit.compiled(space["answer"])()

    with monkeypatch.context() as patch:
        assert 1 == answer(1)
        patch.setattr(caching.IndexDataCacheFile, "_save_data", lambda *_: None)
        assert 22 == answer(22)  # of another length: a source is known by size and time

    assert 22 == answer(22)


def test_kernels_compile_where_nothing_can_be_cached(monkeypatch: pytest.MonkeyPatch):
    """A read-only installation without a home folder still gets compiled loops."""
    real = numba.njit

    def njit(**options: bool):
        if options.get("cache"):
            raise RuntimeError("cannot cache function: no locator available")
        return real(**options)

    monkeypatch.setattr(numba, "njit", njit)
    out = np.empty(2, np.int64)
    numba_jit.compiled(rans_kernels.apportion.py_func)(np.array([3, 1]), 8, out)

    assert [6, 2] == out.tolist()

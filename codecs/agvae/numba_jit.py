"""Loops compiled by numba: one decorator for all of them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

F = TypeVar("F", bound=Callable[..., Any])


def compiled(function: F) -> F:
    """Return ``function`` compiled by numba, without the GIL, cached on disk where that can be."""
    try:
        loop = numba.njit(cache=True, nogil=True)(function)
    except RuntimeError:  # neither the package's folder nor the user's cache can be written
        return cast("F", numba.njit(nogil=True)(function))
    _name_files_by_source(loop)
    return cast("F", loop)


def _name_files_by_source(loop: Any) -> None:  # noqa: ANN401 - numba is untyped
    """Let cached machine code of another source or another numba never be loaded.

    numba writes the index of its cache before the machine code that the index names, under names
    that repeat after every change of source or version. Between the two writes (for ever, if the
    process is killed there) the new index names the old code, and another process runs it.
    """
    files = getattr(getattr(loop, "_cache", None), "_cache_file", None)
    if files is not None:  # else numba does not compile at all: NUMBA_DISABLE_JIT
        stamp = repr((numba.__version__, files._source_stamp)).encode()  # noqa: SLF001
        tag = hashlib.sha256(stamp).hexdigest()[:12]
        stem = files._data_name_pattern.removesuffix(".{number:d}.nbc")  # noqa: SLF001
        files._data_name_pattern = f"{stem}.{tag}.{{number:d}}.nbc"  # noqa: SLF001

"""The C library's heap: what one picture freed is kept for the next."""

from __future__ import annotations

import contextlib
import ctypes
import os

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h
_KEPT_BYTES = 128 << 20
_LARGE_BYTES = 32 << 20  # older versions of glibc take no larger one


def keep_freed_memory() -> None:
    """Let this process keep up to 128 MiB that it freed, where the C library is glibc.

    Else arrays of some megabytes are mapped anew each time, and the kernel clears their pages: a
    quarter of the time of LPIPS. Arrays over 32 MiB still go back to the system. What the
    environment says about the heap stays.
    """
    if any(name.startswith("MALLOC_") for name in os.environ):
        return
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)
        libc.mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)

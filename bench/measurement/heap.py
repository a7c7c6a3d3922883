"""The C library's heap: what one picture freed is kept for the next."""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Iterator

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_MMAP_MAX = -1, -3, -4  # of glibc's malloc.h
_MMAP_MAX, _MOST = 65536, 2**31 - 1  # glibc's own, and no limit
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


def give_back_memory_of(size_bytes: int) -> None:
    """Give freed memory back to the system after work on a large picture, of so many bytes.

    The heap gives back what lies at its end alone: a file of some megabytes that lies behind the
    memory of its encoder would keep all of that.
    """
    if size_bytes > _LARGE_BYTES and not any(name.startswith("MALLOC_") for name in os.environ):
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).malloc_trim(0)


@contextlib.contextmanager
def large_arrays_kept() -> Iterator[None]:
    """Let this process keep all that it frees meanwhile, where the C library is glibc.

    For work that allocates arrays of one size again and again. Afterwards the memory goes back to
    the system, and as much is kept as ``keep_freed_memory`` says. What the environment says about
    the heap stays.
    """
    libc = None
    if not any(name.startswith("MALLOC_") for name in os.environ):
        with contextlib.suppress(OSError, AttributeError):
            libc = ctypes.CDLL(None)
            libc.mallopt(_M_MMAP_MAX, 0)
            libc.mallopt(_M_TRIM_THRESHOLD, _MOST)
    try:
        yield
    finally:
        if libc is not None:
            with contextlib.suppress(AttributeError):
                libc.mallopt(_M_MMAP_MAX, _MMAP_MAX)
                libc.mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)
                libc.malloc_trim(0)

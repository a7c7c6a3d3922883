"""Peak memory of this process and of its GPU, from a mark on.

Linux keeps the largest resident size of a process image and lets it forget the past; elsewhere
``ru_maxrss`` is all there is: since the process started. (On Linux ``ru_maxrss`` would also count
the parent, whose memory a child shares for a moment before it becomes another program.)
"""

from __future__ import annotations

import contextlib
import re
from pathlib import Path

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def mark(device: str) -> None:
    """Forget the peaks so far; what is resident now stays the least that a peak can be."""
    with contextlib.suppress(OSError):
        _CLEAR.write_text("5", encoding="ascii")
    if device == "cuda":
        import torch

        torch.cuda.reset_peak_memory_stats()


def peak_host_bytes() -> int:
    """Return the largest resident size since the mark, libraries and images included."""
    with contextlib.suppress(OSError):
        found = re.search(r"VmHWM:\s*(\d+) kB", _STATUS.read_text(encoding="ascii"))
        if found:
            return int(found[1]) * 1024
    from bench.measurement.worker import peak_memory_bytes

    return peak_memory_bytes()


def peak_device_bytes(device: str) -> int | None:
    """Return the most that torch's tensors held on the GPU since the mark; None without one."""
    if device != "cuda":
        return None
    import torch

    return int(torch.cuda.max_memory_allocated())

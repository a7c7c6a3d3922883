"""Where the time goes: a stopwatch per phase of encoding and decoding."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Phases:
    """Adds up wall-clock time by phase.

    Phases are ``analysis``, ``entropy model``, ``entropy coding``, ``synthesis``.

    Attributes
    ----------
    time_s
        Seconds by phase, in the order of first use.
    """

    def __init__(self) -> None:
        self.time_s: dict[str, float] = {}

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Count what happens inside as ``name``."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.time_s[name] = self.time_s.get(name, 0.0) + time.perf_counter() - start

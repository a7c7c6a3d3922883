"""Where the time goes: a stopwatch per phase of encoding and decoding."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Phases:
    """Adds up wall-clock time by phase.

    Phases are ``analysis``, ``refinement``, ``entropy model``, ``entropy coding``, ``synthesis``.

    Parameters
    ----------
    synchronise
        Called before the clock is read at both ends of a phase: waits for a device that works
        on after a call has returned, such as ``torch.cuda.synchronize``.

    Attributes
    ----------
    time_s
        Seconds by phase, in the order of first use.
    """

    def __init__(self, synchronise: Callable[[], object] | None = None) -> None:
        self._synchronise = synchronise or (lambda: None)
        self.time_s: dict[str, float] = {}

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Count what happens inside as ``name``."""
        self._synchronise()
        start = time.perf_counter()
        try:
            yield
        finally:
            self._synchronise()
            self.time_s[name] = self.time_s.get(name, 0.0) + time.perf_counter() - start

"""A worker process that starts before anybody knows what it will measure.

It and its decoder take half a second to import what every cell needs. Meanwhile the main process
imports what it needs itself, and plans.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
from concurrent.futures import Executor

from bench.measurement.pool import DEFAULT_TIMEOUT_S, THREAD_VARIABLES, LocalPool, one_thread_each


class HeadStart:
    """A pool whose first process is started now.

    Parameters
    ----------
    jobs, timeout_s
        As of ``LocalPool``.
    """

    def __init__(self, jobs: int, timeout_s: float = DEFAULT_TIMEOUT_S) -> None:
        self._found = _surroundings()
        with one_thread_each():
            self._pool = LocalPool(jobs, timeout_s, first=warm_up)

    def make_executor(self, jobs: int, /, timeout_s: float = DEFAULT_TIMEOUT_S) -> Executor:
        """Return the pool; a new one where a process that starts now would find other surroundings.

        Codecs and metrics in files of the user's are named in the environment, for instance.
        """
        if self._found == _surroundings():
            return self._pool
        self.stop()
        return LocalPool(jobs, timeout_s)

    def stop(self) -> None:
        """End the pool, if it has not ended."""
        self._pool.shutdown(cancel_futures=True)


def _surroundings() -> tuple[dict[str, str], list[str], str]:
    """Return what a child process takes over from this one, but for its numbers of threads."""
    variables = {k: v for k, v in os.environ.items() if k not in THREAD_VARIABLES}
    folder = ""
    with contextlib.suppress(OSError):  # it was removed
        folder = os.getcwd()  # noqa: PTH109 - as a child gets it
    return variables, [*sys.path], folder


def warm_up() -> None:
    """Import in a worker and its decoder what every cell needs."""
    from bench.measurement import decoder

    other = decoder.process()
    importlib.import_module("bench.measurement.worker")
    importlib.import_module("cv2")
    if other is not None:
        other.call(_warm_up_decoder)


def _warm_up_decoder() -> None:
    importlib.import_module("bench.measurement.decoder")

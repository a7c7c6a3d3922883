"""CUDA graphs of work that is enqueued again and again on the same tensors."""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable
from typing import Any

import torch

log = logging.getLogger(__name__)


class Recorder:
    """Runs functions that only enqueue work on fixed tensors; replays them from their third call.

    The first call of a key runs the function, the second records it, so that a shape that comes
    once costs nothing. Where recording fails, a warning is logged and functions simply run, as
    they do where it is not enabled.
    """

    def __init__(self, *, enabled: bool) -> None:
        self.enabled = enabled
        self._seen: set[Hashable] = set()
        self._graphs: dict[Hashable, torch.cuda.CUDAGraph] = {}
        self._pool: Any = None  # torch's type of it has no public name

    def __call__(self, key: Hashable, function: Callable[[], object]) -> None:
        """Enqueue ``function``, which always does the same under the same key."""
        if not self.enabled:
            function()
            return
        if key not in self._graphs:
            if key not in self._seen:
                self._seen.add(key)
                function()
                return
            if not self._record(key, function):
                function()
                return
        self._graphs[key].replay()

    def _record(self, key: Hashable, function: Callable[[], object]) -> bool:
        graph = torch.cuda.CUDAGraph()
        if self._pool is None:
            self._pool = torch.cuda.graph_pool_handle()
        try:
            # What one key leaves in the pool another may overwrite: results lie outside of it.
            with torch.cuda.graph(graph, pool=self._pool, capture_error_mode="thread_local"):
                function()
        except RuntimeError as error:
            log.warning("no CUDA graph of %s (%s); it runs without", key, error)
            self.enabled = False
            return False
        self._graphs[key] = graph
        return True

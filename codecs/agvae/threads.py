"""Work for several cores that share nothing: bands of rows, or images.

PyTorch's own threads split one operator after the other, and between operators one core does the
Python. Here each thread goes through all operators of its own band, without waiting for others.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any, TypeVar

import torch

T = TypeVar("T")

_MOST = 8
"""Threads at most: they take turns at Python's lock for about a tenth of their time."""


def count() -> int:
    """Return how many threads ``at_once`` uses: those that PyTorch may use here."""
    return min(torch.get_num_threads(), _MOST)


def at_once(
    function: Callable[..., T], *arguments: Iterable[Any], most: int | None = None
) -> list[T]:
    """Return what ``map`` gives; several calls run at the same time, with gradients as here.

    PyTorch's operators use one core inside, so a call must not wait for another one. Calls that
    hold Python's lock for little of their time may name another number of threads at ``most``.
    """
    calls = list(zip(*arguments, strict=True))
    threads = count() if most is None else min(torch.get_num_threads(), most)
    if min(len(calls), threads) < 2:
        return [function(*call) for call in calls]
    pool = _pool(os.getpid(), threads)
    inference, gradients = torch.is_inference_mode_enabled(), torch.is_grad_enabled()

    def call_one(call: tuple[Any, ...]) -> T:
        with torch.inference_mode(inference), torch.set_grad_enabled(gradients):
            return function(*call)

    return list(pool.map(call_one, calls))


@lru_cache(maxsize=2)
def _pool(process: int, threads: int) -> ThreadPoolExecutor:  # noqa: ARG001 - a fork has none
    """Return threads in each of which PyTorch uses one core; made once per process and number."""
    before = torch.get_num_threads()
    ready = threading.Barrier(threads + 1)

    def prepare() -> None:
        torch.set_num_threads(1)
        torch.get_num_threads()  # the first call makes the number stick to the thread
        ready.wait()

    pool = ThreadPoolExecutor(threads, "agvae", initializer=prepare)
    for _ in range(threads):
        pool.submit(int)
    ready.wait()
    torch.set_num_threads(before)  # the number that new threads elsewhere begin with
    return pool

"""Measure what is missing: any ``concurrent.futures`` executor works, every result is stored.

A cell is stored the moment it is done. Whatever a codec does to its process costs its own cell.
"""

from __future__ import annotations

import contextlib
import gc
import itertools
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, wait
from dataclasses import dataclass, replace
from queue import Empty, SimpleQueue
from typing import Any, Protocol, TypeVar

from bench import registry
from bench.errors import OutputError, failure
from bench.measurement import worker
from bench.measurement.encoding import Encoding
from bench.measurement.pool import DEFAULT_TIMEOUT_S, LocalPool, PoolError, one_thread_each
from bench.measurement.store import Store
from bench.measurement.worker import Task

_IN_FLIGHT_PER_WORKER = 3  # keeps workers busy
_SMALL_IN_FLIGHT_PER_WORKER = 256  # of which a message holds several
_HELD_BYTES = 16 << 20  # of files that are only scored
_GRACE_S = 2.0  # what Ctrl-C leaves to the cells that are being measured

R = TypeVar("R")
Progress = Callable[[Encoding], None]


class MakeExecutor(Protocol):
    """Number of workers and time limit of a call in seconds -> executor."""

    def __call__(self, jobs: int, /, timeout_s: float = DEFAULT_TIMEOUT_S) -> Executor:
        """Return the executor."""


@dataclass(slots=True)
class Outcome:
    """How many cells were measured, and how many of them failed."""

    measured: int = 0
    failed: int = 0


def local_pool(jobs: int, /, timeout_s: float = DEFAULT_TIMEOUT_S) -> Executor:
    """Return a pool of ``jobs`` processes that ends a call after ``timeout_s`` seconds."""
    return LocalPool(jobs, timeout_s)


def apart(name: str, function: Callable[..., R], *args: Any) -> R:  # noqa: ANN401
    """Return ``function(*args)``; in a process of its own if the codec ``name`` is a stranger's.

    Raises
    ------
    CodecFailed
        If that process dies, or takes too long or too much memory.
    """
    found = registry.find(name)
    if found is None or not found.package:
        return function(*args)
    with LocalPool(1) as pool:
        result: R = pool.submit(function, *args).result()
        return result


def measure(
    tasks: list[Task],
    store: Store,
    *,
    jobs: int,
    progress: Progress,
    make_executor: MakeExecutor = local_pool,
    timeout_s: float = DEFAULT_TIMEOUT_S,
) -> Outcome:
    """Run ``tasks`` and store each result as it comes.

    Parameters
    ----------
    tasks
        What is left to do, in order; each stranger's codec is measured in processes of its own.
    store
        Open for writing.
    jobs
        Processes of the local pool; an executor may have ``workers`` of its own.
    progress
        Called after each stored cell.
    make_executor
        Number of workers, time limit -> executor.
    timeout_s
        What one cell may take, in seconds.

    Raises
    ------
    KeyboardInterrupt
        After Ctrl-C, when the cells that are done within moments are stored.
    OutputError
        If a row cannot be stored; what was stored before is intact.
    PoolError
        If what the cells are measured on is gone; those that were not stored are not failures.
    """
    outcome = Outcome()

    def finish(done: list[tuple[Encoding, Task]]) -> None:
        with store.together():
            rows = [_stored(row, task, store) for row, task in done]
        for row in rows:
            outcome.measured += 1
            outcome.failed += bool(row.error)
            progress(row)

    waiting = _ordered(tasks, jobs)[::-1]  # popped from the end
    running: dict[Future[Encoding], Task] = {}
    done: SimpleQueue[Future[Encoding]] = SimpleQueue()
    held = 0
    if not tasks:
        return outcome
    with one_thread_each(), _plan_kept_from_collector():
        executor = make_executor(min(jobs, len(tasks)), timeout_s)
        try:
            while waiting or running:
                workers = max(1, getattr(executor, "workers", jobs))
                while waiting and done.empty() and _room(len(running), held, workers):
                    task = _with_bytes(waiting.pop(), store)
                    held += len(task.data or b"")
                    future = executor.submit(worker.run, task)
                    running[future] = task
                    future.add_done_callback(done.put)
                getattr(executor, "flush", _nothing)()
                futures = [done.get()]
                with contextlib.suppress(Empty):
                    while True:
                        futures.append(done.get_nowait())
                pairs = [(future, running.pop(future)) for future in futures]
                held -= sum(len(task.data or b"") for _, task in pairs)
                lost = [error for future in futures if (error := _lost(future))]
                finish([(_row(*pair), pair[1]) for pair in pairs if not _lost(pair[0])])
                if lost:
                    raise lost[0]
        except KeyboardInterrupt:
            _drain(running, finish)
            raise
        finally:
            executor.shutdown(wait=True, cancel_futures=True)
    return outcome


@contextlib.contextmanager
def _plan_kept_from_collector() -> Iterator[None]:
    """Let the garbage collector not look through all that there is after every few cells.

    Afterwards it does again: a process may go on, with garbage that was there before. One that
    froze what it imported keeps it so.
    """
    before = gc.get_freeze_count()
    gc.freeze()
    try:
        yield
    finally:
        if not before:
            gc.unfreeze()


def _nothing() -> None:
    """Stand in for what most executors do not need."""


def _room(calls: int, held_bytes: int, workers: int) -> bool:
    """Whether another task may be sent: many, but few of those that travel with their bytes."""
    if calls < _IN_FLIGHT_PER_WORKER * workers:
        return True
    return calls < _SMALL_IN_FLIGHT_PER_WORKER * workers and held_bytes < _HELD_BYTES


def _stored(row: Encoding, task: Task, store: Store) -> Encoding:
    """Store what came of a task and return it, with the error of its scores as its own."""
    if not task.stored:
        store.put(row)
    elif row.error:
        store.fail_cells(row)
    else:
        store.put_scores(row)
    if row.score_error and not row.error:
        row = replace(row, error=row.score_error)
        store.fail_cells(row)
    return row


def _ordered(tasks: list[Task], jobs: int) -> list[Task]:
    """Return tasks by whose code they run, and of as many images in turn as there are workers.

    So each worker has an image of its own, whose reference side it works out once.
    """
    groups: dict[str, dict[str, list[Task]]] = {}
    for task in tasks:
        groups.setdefault(task.group, {}).setdefault(task.near, []).append(task)
    found: list[Task] = []
    for _, images in sorted(groups.items()):
        lists = list(images.values())
        for start in range(0, len(lists), jobs):
            turns = itertools.zip_longest(*lists[start : start + jobs])
            found += [task for turn in turns for task in turn if task is not None]
    return found


def _with_bytes(task: Task, store: Store) -> Task:
    """Return ``task`` with the stored bytes where only scores are wanted.

    Where these are damaged the image is encoded again.
    """
    if not task.stored:
        return task
    try:
        return replace(task, data=store.bitstream(task.row.key))
    except OutputError:
        return replace(task, stored=False)


def _row(future: Future[Encoding], task: Task) -> Encoding:
    """Return the result; what the worker could not even report becomes the row's error."""
    try:
        return future.result()
    except Exception as error:  # noqa: BLE001 - it died, took too long, KilledWorker: one cell
        return replace(task.row, error=failure(error))


def _lost(future: Future[Encoding]) -> PoolError | None:
    """Return the error of a call whose pool is gone, which is no error of its codec."""
    error = None if future.cancelled() else future.exception()
    return error if isinstance(error, PoolError) else None


def _drain(
    running: dict[Future[Encoding], Task], finish: Callable[[list[tuple[Encoding, Task]]], None]
) -> None:
    """Store what is done soon after an interrupt; drop what is not."""
    begun = {future: task for future, task in running.items() if not future.cancel()}
    with contextlib.suppress(Exception):  # a second failure must not hide the first
        ended = [future for future in wait(begun, timeout=_GRACE_S).done if not _lost(future)]
        finish([(_row(future, begun[future]), begun[future]) for future in ended])

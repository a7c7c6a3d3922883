"""Measure what is missing: any ``concurrent.futures`` executor works, every result is stored.

A cell is stored the moment it is done. Whatever a codec does to its process costs its own cell.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor, Future, wait
from dataclasses import dataclass, replace
from queue import Empty, SimpleQueue
from typing import Any, Protocol, TypeVar

from bench import registry
from bench.errors import OutputError, UsageError, failure
from bench.measurement import worker
from bench.measurement.encoding import Encoding
from bench.measurement.pool import DEFAULT_TIMEOUT_S, LocalPool
from bench.measurement.store import Store
from bench.measurement.worker import Task

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "NUMBA_NUM_THREADS",
)
"""What numeric libraries ask for the number of their threads."""

_IN_FLIGHT_PER_WORKER = 3  # keeps workers busy
_SMALL_IN_FLIGHT_PER_WORKER = 48  # of which a message holds several
_HELD_BYTES = 16 << 20  # of files that are only scored
_CONNECT_TIMEOUT = "10s"  # how long Dask looks for a scheduler
_COUNT_S = 10.0  # how long the size of a cluster is taken as known
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


@contextlib.contextmanager
def one_thread_each() -> Iterator[None]:
    """Let child processes started meanwhile use one thread in every numeric library."""
    before = {name: os.environ.get(name) for name in THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def local_pool(jobs: int, /, timeout_s: float = DEFAULT_TIMEOUT_S) -> Executor:
    """Return a pool of ``jobs`` processes that ends a call after ``timeout_s`` seconds."""
    return LocalPool(jobs, timeout_s)


def dask_pool(address: str, _jobs: int = 1, /, timeout_s: float = DEFAULT_TIMEOUT_S) -> Executor:
    """Return the executor of the Dask cluster whose scheduler listens at ``address``.

    A cluster's worker measures in child processes of its own, with the same limits as here.

    Raises
    ------
    UsageError
        If Dask is not installed or no scheduler answers.
    """
    try:
        from distributed import Client
    except ImportError as error:
        raise UsageError(
            "--scheduler needs Dask", "Install it: pip install 'agvae-bench[distributed]'"
        ) from error
    try:
        client = Client(address, timeout=_CONNECT_TIMEOUT, set_as_default=False)  # type: ignore[no-untyped-call]
    except (OSError, ValueError, TypeError) as error:
        raise UsageError(
            f"no Dask scheduler answers at {address} ({type(error).__name__})",
            "Start one with `dask scheduler`, workers with `dask worker ADDRESS --nthreads 1`.",
        ) from error
    return _DaskExecutor(client, timeout_s)


class _DaskExecutor(Executor):
    """A cluster's executor that closes its client when it is shut down.

    Dask itself repeats the cells of a worker that died; after several deaths in one cell its
    ``KilledWorker`` becomes that cell's error.
    """

    def __init__(self, client: Any, timeout_s: float) -> None:  # noqa: ANN401 - distributed has no types
        self._client, self._timeout_s = client, timeout_s
        self._counted, self._threads = -math.inf, 0
        self._executor = client.get_executor(pure=False, retries=3)

    @property
    def workers(self) -> int:
        """How many calls the cluster can work on now; it may grow and shrink."""
        if time.monotonic() > self._counted + _COUNT_S:
            self._threads = sum(self._client.nthreads().values())
            self._counted = time.monotonic()
        return self._threads

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:  # noqa: ANN401
        """Send a call to the cluster."""
        call = (_in_child, self._timeout_s, fn)
        future: Future[Any] = self._executor.submit(*call, *args, **kwargs)
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Forget pending calls and close the connection."""
        self._executor.shutdown(wait=wait and not cancel_futures)
        self._client.close()


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


_of_thread = threading.local()


def _in_child(timeout_s: float, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
    """Run a call within a cluster's worker, in a child process that its thread keeps."""
    if not hasattr(_of_thread, "pool"):
        with one_thread_each():
            _of_thread.pool = LocalPool(1, timeout_s)
    _of_thread.pool.timeout_s = timeout_s
    return _of_thread.pool.submit(fn, *args, **kwargs).result()


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
    if not tasks:
        return outcome
    with one_thread_each():
        executor = make_executor(min(jobs, len(tasks)), timeout_s)
        try:
            while waiting or running:
                workers = max(1, getattr(executor, "workers", jobs))
                while waiting and done.empty() and _room(running, workers):
                    task = _with_bytes(waiting.pop(), store)
                    future = executor.submit(worker.run, task)
                    running[future] = task
                    future.add_done_callback(done.put)
                futures = [done.get()]
                with contextlib.suppress(Empty):
                    while True:
                        futures.append(done.get_nowait())
                pairs = [(future, running.pop(future)) for future in futures]
                finish([(_row(future, task), task) for future, task in pairs])
        except KeyboardInterrupt:
            _drain(running, finish)
            raise
        finally:
            executor.shutdown(wait=True, cancel_futures=True)
    return outcome


def _room(running: Mapping[Future[Encoding], Task], workers: int) -> bool:
    """Whether another task may be sent: many, but few of those that travel with their bytes."""
    if len(running) < _IN_FLIGHT_PER_WORKER * workers:
        return True
    held = sum(len(task.data or b"") for task in running.values())
    return len(running) < _SMALL_IN_FLIGHT_PER_WORKER * workers and held < _HELD_BYTES


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


def _drain(
    running: dict[Future[Encoding], Task], finish: Callable[[list[tuple[Encoding, Task]]], None]
) -> None:
    """Store what is done soon after an interrupt; drop what is not."""
    begun = {future: task for future, task in running.items() if not future.cancel()}
    with contextlib.suppress(Exception):  # a second failure must not hide the first
        ended = wait(begun, timeout=_GRACE_S).done
        finish([(_row(future, begun[future]), begun[future]) for future in ended])

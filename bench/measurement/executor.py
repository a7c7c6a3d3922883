"""Measure what a plan lacks: any ``concurrent.futures`` executor works, every result is stored.

A cell is stored the moment it is done. A codec that kills its process costs its own cell: the pool
is made anew and the cells that were in flight run again, one at a time.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, wait
from concurrent.futures.process import ProcessPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

from bench.errors import UsageError
from bench.measurement import worker
from bench.measurement.store import Encoding, Store
from bench.measurement.worker import Task

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "NUMBA_NUM_THREADS",
)
"""What numeric libraries ask for the number of their threads."""

_IN_FLIGHT_PER_WORKER = 3  # keeps workers busy, and bounds what a dead pool must repeat

Progress = Callable[[Encoding], None]
MakeExecutor = Callable[[int], Executor]


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


def local_pool(jobs: int) -> Executor:
    """Return a pool of ``jobs`` spawned processes, each with one library thread."""
    return ProcessPoolExecutor(
        jobs, mp_context=multiprocessing.get_context("spawn"), initializer=worker.initialise
    )


def dask_pool(address: str) -> Executor:
    """Return the executor of the Dask cluster whose scheduler listens at ``address``.

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
        client = Client(address, timeout="10s", set_as_default=False)  # type: ignore[no-untyped-call]
    except (OSError, ValueError, TypeError) as error:
        raise UsageError(
            f"no Dask scheduler answers at {address} ({type(error).__name__})",
            "Start one with `dask scheduler`, workers with `dask worker ADDRESS --nthreads 1`.",
        ) from error
    return _DaskExecutor(client)


class _DaskExecutor(Executor):
    """A cluster's executor that closes its client when it is shut down.

    Dask itself repeats the cells of a worker that died; after several deaths in one cell its
    ``KilledWorker`` becomes that cell's error.
    """

    def __init__(self, client: Any) -> None:  # noqa: ANN401 - distributed has no types
        self._client = client
        self._executor = client.get_executor(pure=False, retries=3)

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:  # noqa: ANN401
        """Send a call to the cluster."""
        future: Future[Any] = self._executor.submit(fn, *args, **kwargs)
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Forget pending calls and close the connection."""
        self._executor.shutdown(wait=wait and not cancel_futures)
        self._client.close()


def measure(
    tasks: list[Task],
    store: Store,
    *,
    jobs: int,
    progress: Progress,
    make_executor: MakeExecutor = local_pool,
) -> Outcome:
    """Run ``tasks`` and store each result as it comes.

    Parameters
    ----------
    tasks
        What is left to do, in order.
    store
        Open for writing.
    jobs
        Processes of the local pool; also bounds what is in flight elsewhere.
    progress
        Called after each stored cell.
    make_executor
        Number of workers -> executor; called again after a pool broke.

    Raises
    ------
    KeyboardInterrupt
        After Ctrl-C, when the cells in flight are stored.
    OutputError
        If a row cannot be stored; what was stored before is intact.
    """
    outcome = Outcome()

    def finish(row: Encoding, task: Task) -> None:
        if task.stored and not row.error:
            store.put_scores(row)
        else:
            store.put(row)
        outcome.measured += 1
        outcome.failed += bool(row.error)
        progress(row)

    with one_thread_each():
        run = _Run(store, finish, make_executor)
        suspects = run.all(tasks, jobs)
        while suspects:
            suspects = run.all(run.isolate(suspects), jobs)
    return outcome


def _row(future: Future[Encoding], task: Task) -> Encoding:
    """Return the result; what the worker could not even report becomes the row's error."""
    try:
        return future.result()
    except BrokenExecutor:
        raise
    except Exception as error:  # noqa: BLE001 - pickling, KilledWorker: it costs one cell
        text = " ".join(str(error).split())
        return replace(task.row, error=f"unexpected {type(error).__name__}: {text}")


class _Run:
    """One run's store, callback and way to make executors."""

    def __init__(
        self, store: Store, finish: Callable[[Encoding, Task], None], make_executor: MakeExecutor
    ) -> None:
        self.store, self.finish, self.make_executor = store, finish, make_executor

    def submit(self, executor: Executor, task: Task) -> Future[Encoding]:
        """Send a task, with the stored bytes where only scores are wanted."""
        data = self.store.bitstream(task.row.key) if task.stored else None
        return executor.submit(worker.run, replace(task, data=data))

    def all(self, tasks: list[Task], jobs: int) -> list[Task]:
        """Run ``tasks``; return those left over when the pool broke, else an empty list."""
        if not tasks:
            return []
        waiting = list(reversed(tasks))
        running: dict[Future[Encoding], Task] = {}
        executor = self.make_executor(min(jobs, len(tasks)))
        try:
            while waiting or running:
                while waiting and len(running) < jobs * _IN_FLIGHT_PER_WORKER:
                    running[self.submit(executor, waiting[-1])] = waiting[-1]
                    waiting.pop()
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    self.finish(_row(future, running[future]), running[future])
                    del running[future]
        except BrokenExecutor:
            return [*running.values(), *reversed(waiting)]
        except BaseException:
            self.drain(running)
            raise
        finally:
            executor.shutdown(wait=True, cancel_futures=True)
        return []

    def drain(self, running: dict[Future[Encoding], Task]) -> None:
        """Store what is in flight when the run is interrupted; drop what has not begun."""
        begun = {future: task for future, task in running.items() if not future.cancel()}
        with contextlib.suppress(Exception):  # a second failure must not hide the first
            for future, task in begun.items():
                self.finish(_row(future, task), task)

    def isolate(self, suspects: list[Task]) -> list[Task]:
        """Run the cells that may have killed a worker, each in a process of its own.

        Returns the tasks behind the culprit, which are innocent.
        """
        for position, task in enumerate(suspects):
            executor = self.make_executor(1)
            try:
                self.finish(_row(self.submit(executor, task), task), task)
            except BrokenExecutor:
                died = "WorkerDied: the process died in this cell (crash or out of memory)"
                self.finish(replace(task.row, error=died), task)
                return suspects[position + 1 :]
            finally:
                executor.shutdown(wait=True, cancel_futures=True)
        return []

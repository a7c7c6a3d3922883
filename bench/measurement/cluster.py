"""A Dask cluster as an executor: small cells travel several at a time, and each is its own."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import CancelledError, Executor, Future
from dataclasses import dataclass
from typing import Any

from bench.errors import BenchError, UsageError
from bench.measurement.pool import DEFAULT_TIMEOUT_S, LocalPool, Times, one_thread_each

_CONNECT_TIMEOUT = "10s"  # how long Dask looks for a scheduler
_COUNT_S = 10.0  # how long the size of a cluster is taken as known
_MOMENT_S = 1.0  # what the calls that travel together take

_AHEAD = 2  # messages on their way for each thread of the cluster

_Answer = tuple[object, BenchError | None, float]


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
    return Cluster(client, timeout_s)


class Cluster(Executor):
    """A cluster's executor that closes its client when it is shut down.

    Calls wait for ``flush`` while each thread of the cluster has work, so that those of a ``kind``
    that took moments travel several at a time. Dask itself repeats the cells of a worker that died;
    after several deaths calls that travelled together are sent one by one, and ``KilledWorker``
    becomes the error of the one that it is due to.

    Parameters
    ----------
    client
        Of the cluster.
    timeout_s
        What one call may take.
    """

    def __init__(self, client: Any, timeout_s: float) -> None:  # noqa: ANN401 - distributed has no types
        self._client, self._timeout_s = client, timeout_s
        self._counted, self._threads = -math.inf, 0
        self._executor = client.get_executor(pure=False, retries=3)
        self._seconds = Times()
        self._waiting: deque[_Call] = deque()
        self._sent = 0
        self._lock = threading.RLock()

    @property
    def workers(self) -> int:
        """How many calls the cluster can work on now; it may grow and shrink."""
        if time.monotonic() > self._counted + _COUNT_S:
            self._threads = sum(self._client.nthreads().values())
            self._counted = time.monotonic()
        return self._threads

    def submit(self, fn: Callable[..., Any], /, *args: Any, **_: Any) -> Future[Any]:  # noqa: ANN401
        """Send a call to the cluster, now or with others that take moments."""
        call = _Call(Future(), fn, args)
        with self._lock:
            self._waiting.append(call)
            if not self._sent:
                self.flush()
        return call.future

    def flush(self) -> None:
        """Send of what waits as much as the threads of the cluster need, to each its share."""
        with self._lock:
            while self._waiting and (room := _AHEAD * max(1, self.workers) - self._sent) > 0:
                most = 1 + len(self._waiting) // room
                calls = [self._waiting.popleft()]
                seconds = self._time_s(calls[0])
                while self._waiting and len(calls) < most:
                    seconds += self._time_s(self._waiting[0])
                    if seconds > _MOMENT_S:
                        break
                    calls.append(self._waiting.popleft())
                self._send(calls)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Forget pending calls and close the connection."""
        self._waiting.clear()
        self._executor.shutdown(wait=wait and not cancel_futures)
        self._client.close()

    def _time_s(self, call: _Call) -> float:
        """Return what a call is likely to take; infinite where nobody knows, or a stranger's."""
        strange = any(getattr(argument, "group", "") for argument in call.args)
        return math.inf if strange else self._seconds[call.kind]

    def _send(self, calls: list[_Call]) -> None:
        """Send calls as one of Dask's."""
        self._sent += 1
        jobs = [(call.function, call.args) for call in calls]
        sent = self._executor.submit(_in_child, self._timeout_s, jobs)
        sent.add_done_callback(lambda done: self._finish(calls, done))

    def _finish(self, calls: list[_Call], done: Future[list[_Answer]]) -> None:
        """Take the answers; where there are none, send several calls again, one by one."""
        with self._lock:
            error = CancelledError() if done.cancelled() else done.exception()
            if error is None:
                for call, answer in zip(calls, done.result(), strict=True):
                    self._take(call, *answer)
            elif len(calls) > 1 and not done.cancelled():
                for call in calls:
                    self._send([call])
            elif calls[0].future.set_running_or_notify_cancel():
                calls[0].future.set_exception(error)
            self._sent -= 1
            if not self._sent:
                self.flush()

    def _take(self, call: _Call, value: object, error: BenchError | None, seconds: float) -> None:
        self._seconds.learn(call.kind, seconds)
        if call.future.set_running_or_notify_cancel():
            if error is None:
                call.future.set_result(value)
            else:
                call.future.set_exception(error)


@dataclass(slots=True, eq=False)
class _Call:
    """A call and what becomes of it."""

    future: Future[Any]
    function: Callable[..., Any]
    args: tuple[Any, ...]

    @property
    def kind(self) -> object:
        """What takes about as long as an earlier call."""
        return next((k for a in self.args if (k := getattr(a, "kind", None)) is not None), None)


_of_thread = threading.local()


def _in_child(
    timeout_s: float, jobs: list[tuple[Callable[..., Any], tuple[Any, ...]]]
) -> list[_Answer]:
    """Make calls within a cluster's worker, in a child process that its thread keeps.

    Returns
    -------
    list
        Of each call its value or the error, and the seconds it took.
    """
    if not hasattr(_of_thread, "pool"):
        with one_thread_each():
            _of_thread.pool = LocalPool(1, timeout_s)
    _of_thread.pool.timeout_s = timeout_s
    started = time.monotonic()
    futures = [_of_thread.pool.submit(function, *args) for function, args in jobs]
    found: list[tuple[object, BenchError | None]] = []
    for future in futures:
        try:
            found.append((future.result(), None))
        except BenchError as error:
            found.append((None, error))
    seconds = (time.monotonic() - started) / len(jobs)
    return [(*one, seconds) for one in found]

"""A Dask cluster as an executor: small cells travel several at a time, and each is its own."""

from __future__ import annotations

import contextlib
import logging
import math
import pickle
import threading
import time
from collections.abc import Callable
from concurrent.futures import CancelledError, Executor, Future
from typing import Any, cast

from bench.errors import BenchError, CodecFailed, UsageError
from bench.measurement.messages import head_of, value_of
from bench.measurement.pool import (
    DEFAULT_TIMEOUT_S,
    LocalPool,
    PoolError,
    Times,
    one_thread_each,
    runs,
)
from bench.measurement.slot import Call
from bench.measurement.waiting import Waiting, place_of

_CONNECT_TIMEOUT = "10s"  # how long Dask looks for a scheduler
_COUNT_S = 10.0  # how long the size of a cluster is taken as known
_MOMENT_S = 1.0  # what the calls that travel together take

_AHEAD = 2  # messages on their way for each thread of the cluster

_Job = tuple[bytes, str, str, object]  # a call as ``Call`` takes it
_Answer = bytes | BenchError  # as a child process sent it, or why there is none


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
    for name in ("distributed", "distributed.client"):  # errors end in one line of ours
        logging.getLogger(name).setLevel(logging.CRITICAL)
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
        self._waiting = Waiting()
        self._sent = 0
        self._lock = threading.RLock()

    @property
    def workers(self) -> int:
        """How many calls the cluster can work on now; it may grow and shrink."""
        if time.monotonic() > self._counted + _COUNT_S:
            try:
                self._threads = sum(self._client.nthreads().values())
            except Exception as error:
                raise _lost() from error
            self._counted = time.monotonic()
        return self._threads

    def submit(self, fn: Callable[..., Any], /, *args: Any, **_: Any) -> Future[Any]:  # noqa: ANN401
        """Send a call to the cluster, now or with others that take moments."""
        call = Call.of(fn, args)
        with self._lock:
            self._waiting.add([call])
            if not self._sent:
                self.flush()
        return call.future

    def flush(self) -> None:
        """Send of what waits as much as the threads of the cluster need, to each its share."""
        with self._lock:
            while self._waiting and (room := _AHEAD * max(1, self.workers) - self._sent) > 0:
                most = 1 + len(self._waiting) // room
                calls: list[Call] = []
                seconds = 0.0
                while self._waiting and len(calls) < most:
                    call = self._waiting.next(place_of(calls[-1]) if calls else ("", ""))
                    seconds += self._time_s(call)
                    if calls and seconds > _MOMENT_S:
                        break
                    self._waiting.remove(call)
                    calls.append(call)
                self._send(calls)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Forget pending calls and close the connection."""
        self._waiting.clear()
        with contextlib.suppress(Exception):  # the scheduler may be gone
            self._executor.shutdown(wait=wait and not cancel_futures)
            self._client.close()

    def _time_s(self, call: Call) -> float:
        """Return what a call is likely to take; infinite where nobody knows, or a stranger's."""
        return math.inf if call.group else self._seconds[call.kind]

    def _send(self, calls: list[Call]) -> None:
        """Send calls as one of Dask's, in bytes that Dask has no reason to look into."""
        calls = [call for call in calls if runs(call.future)]
        if not calls:
            return
        jobs: list[_Job] = [(call.payload, call.group, call.near, call.kind) for call in calls]
        message = pickle.dumps(jobs, protocol=5)
        try:
            sent = self._executor.submit(_in_child, self._timeout_s, message)
        except Exception:  # noqa: BLE001 - the client is closed
            for call in calls:
                call.future.set_exception(_lost())
            return
        self._sent += 1
        sent.add_done_callback(lambda done: self._finish(calls, done))

    def _finish(self, calls: list[Call], done: Future[bytes]) -> None:
        """Take the answers; where there are none, send several calls again, one by one."""
        with self._lock:
            try:
                answers: list[_Answer] = pickle.loads(done.result())  # noqa: S301 - our workers
            except CancelledError:  # not by us: Dask's client gave up
                for call in calls:
                    call.future.set_exception(_lost())
            except Exception as error:  # noqa: BLE001 - KilledWorker, say
                if len(calls) == 1:
                    calls[0].future.set_exception(error)
                else:
                    for call in calls:
                        self._send([call])
            else:
                for call, answer in zip(calls, answers, strict=True):
                    self._take(call, answer)
            self._sent -= 1
            if not self._sent:
                self.flush()

    def _take(self, call: Call, answer: _Answer) -> None:
        """Let an answer be the result of its call, or the error that it ended with."""
        word, value = "failed", cast("Any", answer)
        if isinstance(answer, bytes):
            try:
                (word, seconds), value = head_of(answer), value_of(answer)
                self._seconds.learn(call.kind, seconds)
            except Exception:  # noqa: BLE001 - garbage that a codec wrote
                word, value = "failed", CodecFailed("died: its answer cannot be read")
        (call.future.set_result if word == "done" else call.future.set_exception)(value)


def _lost() -> PoolError:
    return PoolError(
        "the connection to the Dask scheduler is lost",
        "What was measured is stored: start the cluster, run again, and the rest is measured.",
    )


_of_thread = threading.local()


def _in_child(timeout_s: float, message: bytes) -> bytes:
    """Make calls within a cluster's worker, in a child process that its thread keeps.

    They cross this process as they are: bytes from the client and for the client.

    Returns
    -------
    bytes
        Of each call its answer, or the error where it has none.
    """
    if not hasattr(_of_thread, "pool") or _of_thread.pool.broken:
        with one_thread_each():
            _of_thread.pool = LocalPool(1, timeout_s)
    _of_thread.pool.timeout_s = timeout_s
    jobs: list[_Job] = pickle.loads(message)  # noqa: S301 - from our client
    calls = [Call(Future(), *job, packed=True) for job in jobs]
    _of_thread.pool.put(calls)
    found: list[_Answer] = []
    for call in calls:
        try:
            found.append(call.future.result())
        except BenchError as error:
            found.append(error)
    return pickle.dumps(found, protocol=5)

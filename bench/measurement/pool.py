"""A pool of child processes that survives what codecs do to their process.

Unlike ``concurrent.futures.ProcessPoolExecutor`` it knows which call a process works on, so that a
crash, a hang or a hunger for memory costs that call alone: its process is killed with all that it
started, a new one takes its place, and the other calls go on.
"""

from __future__ import annotations

import contextlib
import math
import os
import select
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future
from pathlib import Path
from types import TracebackType
from typing import Any

import psutil

from bench.errors import BenchError, CodecFailed, UsageError, one_line
from bench.measurement import serving
from bench.measurement.slot import Call, Slot, started_by_children
from bench.measurement.waiting import Waiting, place_of

DEFAULT_TIMEOUT_S = 1800.0
"""How long one cell may take; the slowest cell of the suite takes a few minutes."""

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "NUMBA_NUM_THREADS",
)
"""What numeric libraries ask for the number of their threads."""

_TICK_S = 0.1
_MOMENT_S = 0.25  # what the calls of one message take together
_ALONE_CPU_S = 1.0  # what the first process and its decoder take before others are started
_ALONE_S = 10.0  # and how long they have for that


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


class LocalPool(Executor):
    """Runs calls in ``jobs`` child processes, each with a time limit.

    Attributes
    ----------
    broken
        Why no call is made any more, where the machine lets no process be started, say.

    Parameters
    ----------
    jobs
        How many calls run at a time.
    timeout_s
        What one call may take, in seconds, from its start in a process that is ready.
    memory_bytes
        What all processes may hold together. Default: three quarters of the machine's memory,
        or ``$BENCH_MEMORY_GIB``. Beyond it the largest is killed.
    first
        What a process begins with that is started at once, whether or not there will be calls.
    """

    def __init__(
        self,
        jobs: int,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        memory_bytes: int | None = None,
        first: Callable[[], None] | None = None,
    ) -> None:
        self.timeout_s = timeout_s
        self._memory = memory_bytes or memory_limit_bytes()
        self._folder = tempfile.TemporaryDirectory(
            prefix="bench-workers-", ignore_cleanup_errors=True
        )
        self._slots = [Slot(self._folder.name) for _ in range(max(1, jobs))]
        self._waiting = Waiting()
        self._seconds = Times()
        self._ending, self._killing, self._woken = False, False, False
        self.broken: PoolError | None = None
        self._lock = threading.Lock()
        self._wake_read, self._wake_write = os.pipe()
        if first is not None:
            self._begun = time.monotonic()
            self._slots[0].take([Call.of(first, ())])
        self._manager = threading.Thread(target=self._manage, daemon=True)
        self._manager.start()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:  # noqa: ANN401
        """Queue a call.

        ``group`` of an argument keeps its code in processes of its own; calls with the same
        ``near`` go to the same process as long as no other one would have nothing to do. Where
        calls of the same ``kind`` took moments, several are sent to a process at a time.
        """
        call = Call.of(fn, args, kwargs)
        self.put([call])
        return call.future

    def put(self, calls: Sequence[Call]) -> None:
        """Queue calls that are packed already.

        Raises
        ------
        PoolError
            If the pool has broken: see ``broken``.
        """
        with self._lock:
            if self.broken is not None:
                raise self.broken
            if self._ending:
                raise RuntimeError("the pool is shut down")
            self._waiting.add(calls)
        self._wake()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the processes when their calls are done, or at once if they are cancelled."""
        with self._lock:
            self._ending, self._killing = True, self._killing or cancel_futures
        self._wake()
        if wait or cancel_futures:
            self._manager.join()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Shut down; at once after an error such as Ctrl-C."""
        self.shutdown(cancel_futures=kind is not None)

    def _wake(self) -> None:
        if not self._woken:
            self._woken = True
            with contextlib.suppress(OSError):
                os.write(self._wake_write, b"1")

    def _manage(self) -> None:
        """Run until there is nothing left to do and nobody who could ask for more."""
        broken: PoolError | None = None
        try:
            while not self._killing:
                self._dispatch()
                busy = any(slot.call for slot in self._slots)
                if self._ending and not busy and not self._waiting:
                    break
                self._listen()
                self._watch()
        except Exception as error:  # noqa: BLE001 - the machine may start no more processes
            serving.debug(error)
            broken = PoolError(
                f"processes to measure in cannot be started or watched ({one_line(error)})",
                "What was measured is stored. Free memory, processes or open files, run again.",
            )
        finally:
            self._end(broken)

    def _end(self, broken: PoolError | None) -> None:
        """Kill the processes; what is left has an error, or is cancelled."""
        for slot in self._slots:
            slot.retire()
        left = [call for s in self._slots for call in (*s.calls[s.answered :], *s.left)]
        with self._lock:
            self.broken = broken
            left += self._waiting
        for call in left:
            if call.future.done() or (not broken and call.future.cancel()):
                continue
            if runs(call.future):
                call.future.set_exception(broken or CodecFailed("died: the run was interrupted"))
        self._woken = True  # nobody reads it any more
        os.close(self._wake_read)
        os.close(self._wake_write)
        self._folder.cleanup()

    def _dispatch(self) -> None:
        for slot in self._slots:
            with self._lock:
                self._waiting.add_again(slot.left)
            slot.left = []
        for slot in self._slots:
            while slot.call is None and self._waiting:
                if slot.child is None and not self._worth_another():
                    break
                with self._lock:
                    calls = self._several(slot)
                running = [call for call in calls if runs(call.future)]
                if running:
                    slot.take(running)

    def _several(self, slot: Slot) -> list[Call]:
        """Take the next calls for a process: one, or as many as are likely done in moments.

        A stranger's code gets one at a time, so that a message holds nothing of another call.
        """
        most = 1 + len(self._waiting) // len(self._slots)
        taken = {c.near for o in self._slots if o is not slot for c in o.calls[o.answered :]} - {""}
        own = slot.near, slot.group
        calls: list[Call] = []
        seconds = 0.0
        while self._waiting and len(calls) < most:
            call = self._waiting.next(own, taken)
            seconds += self._seconds[call.kind]
            if calls and (seconds > _MOMENT_S or call.group or call.alone):
                break
            self._waiting.remove(call)
            calls.append(call)
            own = place_of(call)
            if call.group or call.alone or seconds > _MOMENT_S:
                break
        return calls

    def _worth_another(self) -> bool:
        """Return whether to start a process, which costs more than many small cells do.

        The first starts at once, the others when it has worked for longer than its start takes and
        calls still wait.
        """
        first = self._slots[0].child
        if not self._begun:
            self._begun = time.monotonic()
            return True
        if first is None or time.monotonic() > self._begun + _ALONE_S:
            return True
        with contextlib.suppress(psutil.Error, OSError):
            process = psutil.Process(first.pid)
            times = [one.cpu_times() for one in (process, *process.children())]
            return bool(sum(t.user + t.system for t in times) > _ALONE_CPU_S)
        return True

    _begun = 0.0

    def _listen(self) -> None:
        """Wait for a word of a process, a new call, or the next tick."""
        slots = {s.child.conn.fileno(): s for s in self._slots if s.child is not None}
        poll = select.poll()
        for file in (self._wake_read, *slots):
            poll.register(file, select.POLLIN)
        for file, _ in poll.poll(1000 * _TICK_S):
            if file in slots:
                for call, seconds in slots[file].answer():
                    self._seconds.learn(call.kind, seconds)
            else:
                os.read(self._wake_read, 4096)
                self._woken = False

    def _watch(self) -> None:
        """Find processes that died in silence, hang, or take too much memory."""
        if self._last_look + _TICK_S > time.monotonic():
            return
        self._last_look = time.monotonic()
        self._looks += 1
        for slot in self._slots:
            child = slot.child
            if child is not None and child.process.poll() is not None and not child.conn.poll(0):
                slot.lose(None)
            slot.overdue(self.timeout_s)
        started = None if self._looks % 10 else started_by_children()
        held = [(slot.memory_bytes(started), slot) for slot in self._slots]
        total = sum(size for size, _ in held)
        if total > self._memory or (total > self._memory // 4 and _scarce()):
            size, slot = max(held, key=lambda pair: pair[0])
            assert slot.child is not None
            _, pid, turn = slot.phase()
            place = slot.child.ask_place(pid)
            slot.lose(
                f"out of memory: the process held {size / 2**30:.1f} GiB; all together may hold "
                f"{self._memory / 2**30:.1f} GiB{place}",
                turn,
            )

    _last_look, _looks = 0.0, 0


class PoolError(BenchError):
    """What calls ran on is gone: none of them is to blame. Not among the errors of codecs."""


class Times(dict[object, float]):
    """What calls of a kind take, in seconds: infinite where none has ended yet."""

    def __missing__(self, kind: object) -> float:
        """Return what nobody knows."""
        return math.inf

    def learn(self, kind: object, seconds: float) -> None:
        """Take in what a call took; the last ones count most. None is no kind."""
        if kind is not None:
            self[kind] = (self.get(kind, seconds) + seconds) / 2


def runs(future: Future[Any]) -> bool:
    """Whether a call begins now, or begins again: not cancelled."""
    return future.running() or future.set_running_or_notify_cancel()


def _scarce() -> bool:
    """Whether the machine has hardly any memory left."""
    memory = psutil.virtual_memory()
    return bool(memory.available < memory.total // 20)


def memory_limit_bytes() -> int:
    """Return what worker processes may hold together: three quarters of what there is.

    Raises
    ------
    UsageError
        If ``$BENCH_MEMORY_GIB`` is there, and is no number above 0.
    """
    if wanted := os.environ.get("BENCH_MEMORY_GIB", ""):
        try:
            most = int(float(wanted) * 2**30)
        except (ValueError, OverflowError):
            most = 0
        if most < 1:
            raise UsageError(
                f"BENCH_MEMORY_GIB is {wanted!r}, wanted a number above 0",
                "Without it the bound is three quarters of the machine's memory.",
            )
        return most
    total = psutil.virtual_memory().total
    with contextlib.suppress(OSError, ValueError):  # a container's own bound
        total = min(total, int(Path("/sys/fs/cgroup/memory.max").read_text()))
    return int(total) * 3 // 4

"""A pool of child processes that survives what codecs do to their process.

Unlike ``concurrent.futures.ProcessPoolExecutor`` it knows which call a process works on, so that a
crash, a hang or a hunger for memory costs that call alone: its process is killed with all that it
started, a new one takes its place, and the other calls go on.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import pickle
import select
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from types import TracebackType
from typing import Any

import psutil

from bench.errors import CodecFailed
from bench.measurement.child import Child, pack

DEFAULT_TIMEOUT_S = 1800.0
"""How long one cell may take; the slowest cell of the suite takes a few minutes."""

_TICK_S = 0.1
_LOADING_S = 60.0  # what a codec's libraries may take besides
_TRIES = 3  # to start a process
_ALONE_CPU_S = 1.0  # what the first process and its decoder take before others are started
_ALONE_S = 10.0  # and how long they have for that


@dataclass(slots=True, eq=False)
class _Call:
    """A call that waits or runs.

    ``group`` names the stranger's codec whose code it runs; ``near`` what a process keeps from one
    call to the next: the picture.
    """

    future: Future[Any]
    payload: bytes
    group: str
    near: str


class _Slot:
    """One worker: its process, and what that works on."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self.child: Child | None = None
        self.group = ""
        self.call: _Call | None = None
        self.sent = False
        self.started, self.begun = 0.0, False
        self.near = ""
        self.failed_starts = 0

    def take(self, call: _Call) -> None:
        """Begin a call: at once where the process is there, else as soon as it is ready."""
        if self.child is not None and (
            call.group != self.group or self.child.process.poll() is not None
        ):
            self.retire()
        self.call, self.sent, self.group, self.near = call, False, call.group, call.near
        if self.child is None:
            self.child, self.ready = Child(self._folder, leader=True), False
        else:
            self.send()

    def send(self) -> None:
        """Send the call to the process, which waits for it; the clock starts."""
        assert self.child is not None
        assert self.call is not None
        self.sent, self.started, self.begun = True, time.monotonic(), False
        self.child.phase.set("")
        with contextlib.suppress(OSError):  # it died meanwhile, which is found in a moment
            self.child.send(self.call.payload)

    def retire(self) -> None:
        """Kill the process."""
        if self.child is not None:
            self.child.kill()
        self.child = None

    def answer(self) -> None:
        """Read what the process says."""
        assert self.child is not None
        try:
            word, value = pickle.loads(self.child.conn.recv_bytes())  # noqa: S301 - our process
        except Exception:  # noqa: BLE001 - closed, or garbage that a codec wrote into it
            self.lose(None)
            return
        if word == "ready":
            self.ready, self.failed_starts = True, 0
            if self.call is not None and not self.sent:
                self.send()
        elif self.call is not None and self.sent:
            call, self.call = self.call, None
            (call.future.set_result if word == "done" else call.future.set_exception)(value)

    def lose(self, why: str | None) -> None:
        """Kill the process; its call fails with ``why``, or with what the process died of."""
        child, call = self.child, self.call
        assert child is not None
        if call is not None and not self.sent and self.failed_starts < _TRIES:
            self.failed_starts += 1
            self.retire()
            self.take(call)
            return
        phase, _ = self.phase()
        text = why or child.obituary(f" in {phase}" if phase else "")
        self.retire()
        self.call = None
        if call is not None:
            call.future.set_exception(CodecFailed(text))

    def overdue(self, timeout_s: float) -> None:
        """End a call that takes too long."""
        name, pid = self.phase()
        if name and not self.begun:  # the codec is loaded, the cell begins
            self.started, self.begun = time.monotonic(), True
        limit = timeout_s if name else timeout_s + _LOADING_S
        if self.sent and self.call and time.monotonic() - self.started > limit:
            assert self.child is not None
            doing = f" in {name or 'loading'}"
            place = self.child.ask_place(pid)
            self.lose(f"timed out: after {limit:g} s{doing}{place}")

    def phase(self) -> tuple[str, int]:
        """Return what the call is at, and which other process works on it; empty before it is."""
        return self.child.phase.get() if self.child is not None and self.sent else ("", 0)

    def memory_bytes(self, *, all_of_them: bool) -> int:
        """Return what the process and its decoder hold, and all that they started if wanted."""
        if self.child is None or self.call is None:
            return 0
        found = 0
        with contextlib.suppress(psutil.Error, OSError):
            processes = [psutil.Process(self.child.pid)]
            if all_of_them:
                processes += processes[0].children(recursive=True)
            elif other := self.phase()[1]:
                processes.append(psutil.Process(other))
            for process in processes:
                held = process.memory_info()
                found += held.rss - getattr(held, "shared", 0)
        return found


class LocalPool(Executor):
    """Runs calls in ``jobs`` child processes, each with a time limit.

    Parameters
    ----------
    jobs
        How many calls run at a time.
    timeout_s
        What one call may take, in seconds, from its start in a process that is ready.
    memory_bytes
        What all processes may hold together. Default: three quarters of the machine's memory,
        or ``$BENCH_MEMORY_GIB``. Beyond it the largest is killed.
    """

    def __init__(
        self, jobs: int, timeout_s: float = DEFAULT_TIMEOUT_S, memory_bytes: int | None = None
    ) -> None:
        self.timeout_s = timeout_s
        self._memory = memory_bytes or memory_limit_bytes()
        self._folder = tempfile.TemporaryDirectory(
            prefix="bench-workers-", ignore_cleanup_errors=True
        )
        self._slots = [_Slot(self._folder.name) for _ in range(max(1, jobs))]
        self._waiting: deque[_Call] = deque()
        self._ending, self._killing = False, False
        self._lock = threading.Lock()
        self._wake_read, self._wake_write = Pipe(duplex=False)
        self._manager = threading.Thread(target=self._manage, daemon=True)
        self._manager.start()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:  # noqa: ANN401
        """Queue a call.

        ``group`` of an argument keeps its code in processes of its own; calls with the same
        ``near`` go to the same process as long as no other one would have nothing to do.
        """
        future: Future[Any] = Future()
        group, near = (
            next((str(getattr(a, word)) for a in args if hasattr(a, word)), "")
            for word in ("group", "near")
        )
        with self._lock:
            if self._ending:
                raise RuntimeError("the pool is shut down")
            self._waiting.append(_Call(future, pack(fn, args, kwargs), group, near))
        self._wake()
        return future

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
        with contextlib.suppress(OSError):
            self._wake_write.send_bytes(b"")

    def _manage(self) -> None:
        """Run until there is nothing left to do and nobody who could ask for more."""
        tick = 0
        try:
            while not self._killing:
                self._dispatch()
                busy = any(slot.call for slot in self._slots)
                if self._ending and not busy and not self._waiting:
                    break
                self._listen()
                tick += 1
                self._watch(tick)
        finally:
            for slot in self._slots:
                slot.retire()
            left = [slot.call for slot in self._slots if slot.call] + list(self._waiting)
            for call in left:
                if not call.future.cancel() and not call.future.done():
                    call.future.set_exception(CodecFailed("died: the run was interrupted"))
            self._folder.cleanup()

    def _dispatch(self) -> None:
        for slot in self._slots:
            while slot.call is None and self._waiting:
                if slot.child is None and not self._worth_another():
                    break
                call = self._next(slot)
                if call.future.set_running_or_notify_cancel():
                    slot.take(call)

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

    def _next(self, slot: _Slot) -> _Call:
        """Take the next call for a process: of its own picture, else of one that nobody has."""
        seen = list(itertools.islice(self._waiting, 4 * len(self._slots)))
        others = {other.near for other in self._slots if other is not slot and other.call}
        own = (call for call in seen if (call.near, call.group) == (slot.near, slot.group))
        free = (call for call in seen if call.near not in others)
        chosen = next(own, None) or next(free, seen[0])
        self._waiting.remove(chosen)
        return chosen

    def _listen(self) -> None:
        """Wait for a word of a process, a new call, or the next tick."""
        slots = {s.child.conn.fileno(): s for s in self._slots if s.child is not None}
        poll = select.poll()
        for file in (self._wake_read.fileno(), *slots):
            poll.register(file, select.POLLIN)
        for file, _ in poll.poll(1000 * _TICK_S):
            if file in slots:
                slots[file].answer()
            else:
                _drain(self._wake_read)

    def _watch(self, tick: int) -> None:
        """Find processes that died in silence, hang, or take too much memory."""
        for slot in self._slots:
            child = slot.child
            if child is not None and child.process.poll() is not None and not child.conn.poll(0):
                slot.lose(None)
            slot.overdue(self.timeout_s)
        if self._last_look + _TICK_S > time.monotonic():
            return
        self._last_look = time.monotonic()
        held = [(slot.memory_bytes(all_of_them=tick % 10 == 0), slot) for slot in self._slots]
        total = sum(size for size, _ in held)
        scarce = psutil.virtual_memory().available < psutil.virtual_memory().total // 20
        if total > self._memory or (scarce and total > self._memory // 4):
            size, slot = max(held, key=lambda pair: pair[0])
            assert slot.child is not None
            place = slot.child.ask_place(slot.phase()[1])
            slot.lose(
                f"out of memory: the process held {size / 2**30:.1f} GiB; all together may hold "
                f"{self._memory / 2**30:.1f} GiB{place}"
            )

    _last_look = 0.0


def _drain(conn: Connection) -> None:
    while conn.poll(0):
        conn.recv_bytes()


def memory_limit_bytes() -> int:
    """Return what worker processes may hold together: three quarters of what there is."""
    wanted = os.environ.get("BENCH_MEMORY_GIB", "")
    with contextlib.suppress(ValueError):
        return int(float(wanted) * 2**30)
    total = psutil.virtual_memory().total
    with contextlib.suppress(OSError, ValueError):  # a container's own bound
        total = min(total, int(Path("/sys/fs/cgroup/memory.max").read_text()))
    return int(total) * 3 // 4

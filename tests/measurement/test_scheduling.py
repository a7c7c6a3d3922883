"""What one cell changes ends with it, and processes are started where there is work for them."""

from __future__ import annotations

import contextlib
import math
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from types import SimpleNamespace
from typing import cast

import psutil
import pytest

from bench.errors import UsageError
from bench.measurement import child, messages, pool, serving, slot
from bench.measurement.slot import Call, Slot

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Linux's scheduler")


class _Connection:
    """Asks for a few calls in this process, as a parent would."""

    def __init__(self, *calls: Callable[[], object]) -> None:
        self._calls = [messages.pack(call, (), {}) for call in calls]
        self.answers: list[object] = []

    def recv_bytes(self) -> bytes:
        if not self._calls:
            raise EOFError
        return self._calls.pop(0)

    def send_bytes(self, data: bytes) -> None:
        self.answers.append(messages.value_of(data))


def _grab() -> int:
    """Change the policy, as SVT-AV1 does; to one that needs no privilege."""
    os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    return os.sched_getscheduler(0)


def _policy() -> int:
    return os.sched_getscheduler(0)


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(serving, "_scheduling", [])
    before = os.sched_getscheduler(0), os.sched_getparam(0)
    yield
    os.sched_setscheduler(0, *before)


def test_the_next_cell_is_scheduled_as_before(fresh: None):
    """What one call did to the process is undone before the next one."""
    usual, parent = _policy(), _Connection(_policy, _grab, _policy)
    serving._answer_calls(parent)

    assert [usual, os.SCHED_BATCH, usual] == parent.answers[1:]


def test_threads_are_put_back_too(fresh: None):
    """Also a thread that the encoder left behind."""
    serving.keep_scheduling()
    usual, found, go, end = _policy(), [0], threading.Event(), threading.Event()

    def linger() -> None:
        found[0] = _grab()
        go.set()
        end.wait(20)
        found.append(_policy())

    thread = threading.Thread(target=linger)
    thread.start()
    go.wait(20)
    serving.keep_scheduling()
    end.set()
    thread.join()

    assert [os.SCHED_BATCH, usual] == found


@pytest.mark.parametrize(
    ("cpu_s", "alone_s", "wanted"),
    [(math.inf, math.inf, False), (0, math.inf, True), (math.inf, -1, True)],
    ids=["small cells", "long cells", "a cell that waits"],
)
def test_a_second_process_is_started_for_work(
    monkeypatch: pytest.MonkeyPatch, cpu_s: float, alone_s: float, wanted: bool
):
    """The first starts at once; others when it has worked, or waited, for longer than a start."""
    monkeypatch.setattr(pool, "_ALONE_CPU_S", cpu_s)
    monkeypatch.setattr(pool, "_ALONE_S", alone_s)
    two = object.__new__(pool.LocalPool)  # without its processes and the thread that sees to them
    two._slots = [Slot(""), Slot("")]

    assert two._worth_another()
    two._slots[0].child = cast("child.Child", SimpleNamespace(pid=os.getpid()))
    assert wanted == two._worth_another()


def test_a_dead_first_process_holds_nobody_up():
    """Where it has ended and its number is nobody's, others start."""
    two = object.__new__(pool.LocalPool)
    two._slots = [Slot(""), Slot("")]
    two._worth_another()
    two._slots[0].child = cast("child.Child", SimpleNamespace(pid=2**22 + 1))

    assert two._worth_another()


@pytest.mark.parametrize("text", ["8 GB", "inf", "nan", "0", "-1", "1e-12"])
def test_a_bound_of_memory_that_means_nothing_is_refused(
    text: str, monkeypatch: pytest.MonkeyPatch
):
    """It was passed over, ended each worker at once, or was a fault of ours."""
    monkeypatch.setenv("BENCH_MEMORY_GIB", text)
    with pytest.raises(UsageError, match=f"BENCH_MEMORY_GIB is '{text}', wanted a number above 0"):
        pool.LocalPool(1)


def test_memory_counts_what_children_of_children_hold():
    """Of each child all that it started, and nothing of its brother."""
    words = ["sh", "-c", "sleep 60 & echo started; wait"]
    with contextlib.ExitStack() as stack:
        two = [stack.enter_context(subprocess.Popen(words, stdout=subprocess.PIPE)) for _ in "ab"]
        for one in two:
            assert one.stdout is not None
            assert one.stdout.readline() == b"started\n"
        found = slot.started_by_children()
        for one in two:
            own = {child.pid for child in psutil.Process(one.pid).children()}
            stack.callback(lambda own=own: [psutil.Process(pid).kill() for pid in own])
            assert len(own) == 1
            assert {one.pid, *own} == found[one.pid]


def test_a_child_that_is_gone_holds_nothing():
    """Its number may be known to the list of processes for a moment longer."""
    busy = Slot("")
    busy.child = cast("child.Child", SimpleNamespace(pid=os.getpid()))
    busy.calls = [Call(Future(), b"")]
    alone = busy.memory_bytes({})

    assert alone > 0
    assert abs(busy.memory_bytes({os.getpid(): {os.getpid(), 2**22 + 1}}) - alone) < 2**20


def test_no_call_is_to_blame_where_no_process_starts(monkeypatch: pytest.MonkeyPatch):
    """Those that wait say so, whoever asks later is not left waiting, and cancelled ones stay."""

    def refuse(*_: object, **__: object) -> child.Child:
        assert started.wait(5)
        raise BlockingIOError(11, "Resource temporarily unavailable")

    started = threading.Event()
    monkeypatch.setattr(slot, "Child", refuse)
    with pool.LocalPool(1) as broken:
        futures = [broken.submit(int, n) for n in range(3)]
        cancelled = futures[2].cancel()
        started.set()
        errors = [str(future.exception(5)) for future in futures[:2]]
        broken._manager.join(5)
        with pytest.raises(pool.PoolError, match="run again"):
            broken.submit(int, 4)

    assert cancelled
    assert futures[2].cancelled()
    assert 1 == len(set(errors))
    assert "cannot be started or watched ([Errno 11] Resource temporarily" in errors[0]

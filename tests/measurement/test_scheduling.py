"""An encoder that changes how its process is scheduled does so for its own cell alone."""

from __future__ import annotations

import os
import pickle
import sys
import threading
from collections.abc import Callable, Iterator

import pytest

from bench.measurement import child

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Linux's scheduler")


class _Connection:
    """Asks for a few calls in this process, as a parent would."""

    def __init__(self, *calls: Callable[[], object]) -> None:
        self._calls = [child.pack(call, (), {}) for call in calls]
        self.answers: list[object] = []

    def recv_bytes(self) -> bytes:
        if not self._calls:
            raise EOFError
        return self._calls.pop(0)

    def send_bytes(self, data: bytes) -> None:
        self.answers.append(pickle.loads(data)[1])


def _grab() -> int:
    """Change the policy, as SVT-AV1 does; to one that needs no privilege."""
    os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    return os.sched_getscheduler(0)


def _policy() -> int:
    return os.sched_getscheduler(0)


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(child, "_scheduling", [])
    monkeypatch.setattr(child, "_answer", [])
    before = os.sched_getscheduler(0), os.sched_getparam(0)
    yield
    os.sched_setscheduler(0, *before)


def test_the_next_cell_is_scheduled_as_before(fresh: None):
    """What one call did to the process is undone before the next one."""
    usual, parent = _policy(), _Connection(_policy, _grab, _policy)
    child._answer_calls(parent)

    assert [usual, os.SCHED_BATCH, usual] == parent.answers[1:]


def test_threads_are_put_back_too(fresh: None):
    """Also a thread that the encoder left behind."""
    child.keep_scheduling()
    usual, found, go, end = _policy(), [0], threading.Event(), threading.Event()

    def linger() -> None:
        found[0] = _grab()
        go.set()
        end.wait(20)
        found.append(_policy())

    thread = threading.Thread(target=linger)
    thread.start()
    go.wait(20)
    child.keep_scheduling()
    end.set()
    thread.join()

    assert [os.SCHED_BATCH, usual] == found

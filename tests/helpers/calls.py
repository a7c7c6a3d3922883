"""Calls of moments for a pool, what became of them, and a worker whose clock a test sets."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from types import SimpleNamespace
from typing import Any, cast

import pytest

from bench.measurement import slot
from bench.measurement.child import Child

PHASE = "from bench.measurement.serving import report_phase; report_phase('encode'); "


def small(function: Callable[..., Any], *args: object, kind: str = "small") -> partial[Any]:
    """Return a call that the pool takes for one of moments."""
    call = partial(function, *args)
    call.kind = kind  # type: ignore[attr-defined]
    return call


def outcome(future: Future[Any]) -> object:
    """Return a value, or what the call ended with."""
    error = future.exception(60)
    return str(error) if error else future.result()


class Watched:
    """A worker that was sent calls; a test says what its process is at, and when.

    Attributes
    ----------
    slot
        The worker.
    calls
        What it was sent.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, calls: int, phase: str) -> None:
        self._time_s, self._phase, self._turn = 0.0, phase, 0
        monkeypatch.setattr(slot.time, "monotonic", lambda: self._time_s)
        self.slot = slot.Slot("")
        self.slot.calls, self.slot.sent = [slot.Call(Future(), b"") for _ in range(calls)], True
        at = SimpleNamespace(get=lambda: (self._phase, 0, self._turn))
        process = SimpleNamespace(phase=at, kill=lambda: None, ask_place=lambda _: "")
        self.slot.child = cast("Child", process)
        self.calls = list(self.slot.calls)

    def look(self, time_s: float, turn: int | None = None, phase: str | None = None) -> None:
        """Look at a time, and at what is new, whether a call takes more than 10 s."""
        self._time_s = time_s
        self._turn = self._turn if turn is None else turn
        self._phase = self._phase if phase is None else phase
        self.slot.overdue(10.0)

"""One worker of a pool: its process, what that works on, and what becomes of it when it dies."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import psutil

from bench.errors import CodecFailed
from bench.measurement.child import Child
from bench.measurement.messages import bundle, head_of, pack, unbundle, value_of

_LOADING_S = 60.0  # what a codec's libraries may take besides
_TRIES = 3  # to start a process


@dataclass(slots=True, eq=False)
class Call:
    """A call that waits or runs.

    ``group`` names the stranger's codec whose code it runs; ``near`` what a process keeps from one
    call to the next: the picture. Calls of the same ``kind`` take about as long. ``alone``: it was
    in a message whose process died, and shares no other one. ``packed``: its result is the answer
    as it came, for who hands it on.
    """

    future: Future[Any]
    payload: bytes
    group: str = ""
    near: str = ""
    kind: object = None
    alone: bool = False
    packed: bool = False

    @classmethod
    def of(cls, function: Callable[..., Any], args: Sequence[Any], options: Any = None) -> Call:  # noqa: ANN401
        """Return a call that knows what its arguments say of it."""
        call = cls(Future(), pack(function, args, options or {}))
        for argument in args:
            call.group = call.group or getattr(argument, "group", "")
            call.near = call.near or getattr(argument, "near", "")
            call.kind = call.kind or getattr(argument, "kind", None)
        return call


class Slot:
    """One worker: its process, and the calls that this works on, one after the other.

    Attributes
    ----------
    calls, answered
        What the process was sent, and how many of that it has answered.
    left
        Calls of a process that was lost which had no part in that; they begin again.
    """

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self.child: Child | None = None
        self.group = ""
        self.calls: list[Call] = []
        self.answered = 0
        self.left: list[Call] = []
        self.sent = False
        self.started, self.at = 0.0, (0, False)
        self.spent: dict[tuple[int, bool], float] = {}  # call, is at work or loads -> seconds
        self.near = ""
        self.failed_starts = 0

    @property
    def call(self) -> Call | None:
        """The first call without an answer."""
        return self.calls[self.answered] if self.answered < len(self.calls) else None

    def take(self, calls: list[Call]) -> None:
        """Begin calls of one group: at once where the process is there, else as it is ready."""
        group = calls[0].group
        if self.child is not None and (
            group != self.group or self.child.process.poll() is not None
        ):
            self.retire()
        self.calls, self.answered, self.sent = calls, 0, False
        self.group, self.near = group, calls[-1].near
        if self.child is None:
            self.child, self.ready = Child(self._folder, leader=True), False
        else:
            self.send()

    def send(self) -> None:
        """Send the calls to the process, which waits for them; the clock starts."""
        assert self.child is not None
        self.sent, self.started, self.at, self.spent = True, time.monotonic(), (0, False), {}
        self.child.phase.set("")
        with contextlib.suppress(OSError):  # it died meanwhile, which is found in a moment
            self.child.send(bundle([call.payload for call in self.calls]))

    def retire(self) -> None:
        """Kill the process."""
        if self.child is not None:
            self.child.kill()
        self.child = None

    def answer(self) -> Iterator[tuple[Call, float]]:
        """Read what the process says; yield the calls it has answered and what each took."""
        assert self.child is not None
        packed = bool(self.calls) and self.calls[0].packed
        try:
            parts = unbundle(self.child.conn.recv_bytes())
            values: list[Any] = [part if packed else value_of(part) for part in parts]
            heads = [head_of(part) for part in parts]
        except Exception:  # noqa: BLE001 - closed, or garbage that a codec wrote into it
            self.lose(None)
            return
        for (word, seconds), value in zip(heads, values, strict=True):
            if word == "ready":
                self.ready, self.failed_starts = True, 0
                if self.call is not None and not self.sent:
                    self.send()
            elif (call := self.call) is not None and self.sent:
                self.answered += 1
                good = packed or word == "done"
                (call.future.set_result if good else call.future.set_exception)(value)
                yield call, seconds

    def lose(self, why: str | None, turn: int | None = None) -> None:
        """Kill the process; its call fails with ``why``, or with what the process died of.

        Where that died of itself with several calls, who is guilty is found with each alone: a
        codec may have closed its connection, or killed it from the decoder, some calls before.
        ``turn``: the call it was at when ``why`` was found. Being asked where it is may wake it.
        """
        child = self.child
        assert child is not None
        if self.call is not None and not self.sent and self.failed_starts < _TRIES:
            self.failed_starts += 1
            self.retire()
            self.take(self.calls)
            return
        phase, _, now_at = self.phase()
        turn = now_at if turn is None else turn
        text = why or child.obituary(f" in {phase}" if phase else "")
        self.retire()
        self.left = self.calls[self.answered :]
        if why is None and len(self.left) > 1:
            for call in self.left:
                call.alone = True
        elif self.left:
            guilty = max(0, min(turn - self.answered, len(self.left) - 1))
            self.left.pop(guilty).future.set_exception(CodecFailed(text))
        self.calls, self.answered = [], 0

    def overdue(self, timeout_s: float) -> None:
        """End a call that takes too long: its parts count together, what is loaded apart."""
        name, pid, turn = self.phase()
        at = (turn, bool(name))
        if at != self.at and 0 <= turn < len(self.calls):
            self.spent[self.at] = time.monotonic() - self.started
            self.at, self.started = at, time.monotonic() - self.spent.get(at, 0.0)
        limit = timeout_s if name else timeout_s + _LOADING_S
        if self.sent and self.call and time.monotonic() - self.started > limit:
            assert self.child is not None
            doing = f" in {name or 'loading'}"
            place = self.child.ask_place(pid)
            self.lose(f"timed out: after {limit:g} s{doing}{place}", turn)

    def phase(self) -> tuple[str, int, int]:
        """Return what a call is at, which other process works on it, and which call it is."""
        return self.child.phase.get() if self.child is not None and self.sent else ("", 0, 0)

    def memory_bytes(self, started: Mapping[int, Collection[int]] | None) -> int:
        """Return what the process and its decoder hold, and all else that it started if known.

        Parameters
        ----------
        started
            Of ``started_by_children``; None: not looked up.
        """
        if self.child is None or self.call is None:
            return 0
        found, pid, other = 0, self.child.pid, self.phase()[1]
        for each in {pid, other} - {0} if started is None else {pid, *started.get(pid, ())}:
            with contextlib.suppress(psutil.Error, OSError):
                held = _process(each).memory_info()
                found += held.rss - getattr(held, "shared", 0)
        return found


@lru_cache(maxsize=256)
def _process(pid: int) -> psutil.Process:
    return psutil.Process(pid)


def started_by_children() -> dict[int, set[int]]:
    """Return the processes that each child of this process started, and those that these started.

    Other processes of the machine are listed once for all children.
    """
    found: dict[int, set[int]] = {}
    child_of: dict[int, int] = {}
    with contextlib.suppress(psutil.Error, OSError):
        for process in psutil.Process().children(recursive=True):  # parents come first
            with contextlib.suppress(psutil.Error, OSError):
                child = child_of.setdefault(process.pid, child_of.get(process.ppid(), process.pid))
                found.setdefault(child, set()).add(process.pid)
    return found

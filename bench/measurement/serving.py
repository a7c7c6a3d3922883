"""The side of a child process: it answers its parent's calls, and dies with it."""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import os
import pickle
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from bench import errors
from bench.errors import BenchError, CodecFailed, failure
from bench.measurement.heap import keep_freed_memory
from bench.measurement.messages import Phase, Shelf, answer, bundle, unbundle

DUMP = signal.SIGUSR1
"""Asks a process where it is."""

CUT_OFF = 120
"""Exit code of a process whose connection was closed by a codec."""

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_QUIET_S = 0.05  # how long the answers to small calls are collected
_LARGE_BYTES = 1 << 20  # of answers that are sent at once: waking costs less than copying
_THREADS_S = 0.1  # how long the scheduling of other threads than the main one is not looked at

_scheduling: list[tuple[int, Any]] = []
_pid: list[int] = []
_place: list[str] = []
_phase: list[Phase] = []
_shelf: list[Shelf] = []


def is_child() -> bool:
    """Return whether this process answers calls."""
    return bool(_pid)


def folder() -> str:
    """Return the folder in which the children of this run leave word."""
    return _place[0]


def shelf() -> Shelf:
    """Return the file in memory that this process shares with its parent."""
    return _shelf[0]


def leave_if_forked() -> None:
    """End a copy of this process that a codec made by ``os.fork``: it must not answer as well."""
    if _pid and os.getpid() != _pid[0]:
        os._exit(0)


def turn() -> int:
    """Return which call of its message this process is at."""
    return _phase[0].turn if _phase else 0


def report_phase(name: str, pid: int = 0, turn: int | None = None) -> None:
    """Tell the parent what this process does now, or which process does it for it.

    ``turn``: for which call of its message, where that is another one than before.
    """
    leave_if_forked()
    if _phase:
        _phase[0].turn = _phase[0].turn if turn is None else turn
        _phase[0].set(name, pid)


def keep_scheduling(*, threads: bool = True) -> None:
    """Give this thread, and every other of this process, the scheduling that the first call found.

    SVT-AV1, as other encoders may, gives its process real-time priority where it is allowed to
    (as root); the cells after it would starve everything else on the machine.
    """
    if sys.platform != "linux":
        return
    if not _scheduling:
        _scheduling.append((os.sched_getscheduler(0), os.sched_getparam(0)))
    found = os.listdir("/proc/self/task") if threads else ("0",)  # noqa: PTH208 - for each call
    for thread in map(int, found):
        with contextlib.suppress(OSError):  # it has ended
            if os.sched_getscheduler(thread) != _scheduling[0][0]:
                os.sched_setscheduler(thread, *_scheduling[0])


def serve(conn: Connection, lifeline: int, place: str, phase: int, shelf: int) -> None:
    """Answer calls until the parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _pid.append(os.getpid())
    _place.append(place)
    _phase.append(Phase(phase))
    _shelf.append(Shelf(shelf))
    _prepare(lifeline)
    with contextlib.suppress(OSError), Path(place, str(os.getpid())).open("w") as dump:
        faulthandler.enable(dump)
        faulthandler.register(DUMP, dump)
        _answer_calls(conn)
        os._exit(0)  # whatever threads a codec left
    os._exit(CUT_OFF)


def _prepare(lifeline: int) -> None:
    """See to it that this process dies with its parent, and keeps the memory that it frees."""
    keep_freed_memory()

    def watch() -> None:
        os.read(lifeline, 1)
        if os.getpid() == os.getpgrp():
            os.killpg(0, signal.SIGKILL)
        os._exit(1)

    if sys.platform == "linux":  # also while the codec holds the interpreter's lock
        libc = ctypes.CDLL(None)
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        libc.prctl(_PR_SET_CHILD_SUBREAPER, 1)
    threading.Thread(target=watch, daemon=True).start()


def _answer_calls(conn: Connection) -> None:
    keep_scheduling()
    conn.send_bytes(_answer("ready", None, 0.0))
    looked = time.monotonic()
    while True:
        try:
            message = conn.recv_bytes()
        except EOFError:
            return
        answers: list[bytes] = []
        sent = time.monotonic()
        for word, value, seconds in _each(unbundle(message)):
            leave_if_forked()
            answers.append(_answer(word, value, seconds))
            now = time.monotonic()
            keep_scheduling(threads=now > looked + _THREADS_S)
            looked = now if now > looked + _THREADS_S else looked
            if now > sent + _QUIET_S or sum(map(len, answers)) > _LARGE_BYTES:
                conn.send_bytes(bundle(answers))
                answers, sent = [], now
        if answers:
            conn.send_bytes(bundle(answers))


def _each(payloads: list[bytes]) -> Iterator[tuple[str, object, float]]:
    """Make the calls of a message, together where that is possible."""
    done = 0
    try:
        if len(payloads) > 1:
            calls = [pickle.loads(payload) for payload in payloads]  # noqa: S301 - from our parent
            for value, seconds in _TOGETHER[calls[0][0]]([args[0] for _, args, _ in calls]):
                yield "done", value, seconds
                done += 1
            return
    except Exception:  # noqa: BLE001, S110 - then one by one, which says what is wrong
        pass
    for turn, payload in enumerate(payloads[done:], done):
        report_phase("", turn=turn)
        started = time.monotonic()
        word, value = _call(payload)
        yield word, value, time.monotonic() - started


_TOGETHER: dict[
    Callable[[Any], Any], Callable[[Sequence[Any]], Iterator[tuple[object, float]]]
] = {}


def together(
    function: Callable[[Any], Any], several: Callable[[Sequence[Any]], Iterator[tuple[Any, float]]]
) -> None:
    """Let the calls of ``function`` in one message be made by ``several``.

    Parameters
    ----------
    function
        Of one argument.
    several
        Takes the arguments of several calls; yields what each returns, and the seconds it took.
    """
    _TOGETHER[function] = several


def _answer(word: str, value: object, seconds: float) -> bytes:
    try:
        return answer(word, value, seconds)
    except (pickle.PicklingError, TypeError, AttributeError, ValueError) as error:
        failed = CodecFailed(f"crashed: the result cannot be sent: {error}")
        return answer("failed", failed, seconds)


def _call(payload: bytes) -> tuple[str, object]:
    try:
        function, args, options = pickle.loads(payload)  # noqa: S301 - from our parent
        return "done", function(*args, **options)
    except BaseException as error:  # noqa: BLE001 - a codec may raise anything
        return "failed", _failed(error)


def debug(error: BaseException) -> None:
    """Print where an error came from, if that is wanted."""
    if os.environ.get("BENCH_DEBUG"):
        traceback.print_exception(error)


def _failed(error: BaseException) -> BenchError:
    """Return an error that can be sent."""
    debug(error)
    if isinstance(error, BenchError) and type(error).__module__ == errors.__name__:
        return error
    return CodecFailed(failure(error))

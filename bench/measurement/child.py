"""A child process that answers calls, one at a time: what a stranger's code may break is there.

The parent holds a ``Child``; ``serve`` runs in the process. Whatever happens to the process, the
parent keeps a connection, a way to kill it with everything it started, and the reason it died.
"""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import os
import pickle
import re
import select
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from typing import Any

import psutil

from bench import errors
from bench.errors import BenchError, CodecFailed, failure

_START = (
    "import sys; from multiprocessing.connection import Connection; "
    "c = Connection(int(sys.argv[1])); sys.path[:] = c.recv(); "
    "from bench.measurement.child import serve; "
    "serve(c, int(sys.argv[2]), sys.argv[3], int(sys.argv[4]))"
)
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_DUMP = signal.SIGUSR1
_CUT_OFF = 120  # exit code of a process whose connection was closed by a codec


class Phase:
    """What a process is at, in a file that it shares with its parent: no word has to be sent.

    Parameters
    ----------
    file
        Descriptor of the file; None makes one.
    """

    _FORM = struct.Struct("=24sq")

    def __init__(self, file: int | None = None) -> None:
        self._made = None
        if file is None:
            self._made = tempfile.TemporaryFile()  # noqa: SIM115 - closed by ``close``
            file = self._made.fileno()
            os.lseek(file, 4096, os.SEEK_SET)  # what a codec writes into every file lands there
        self.fileno = file

    def get(self) -> tuple[str, int]:
        """Return the phase, empty before the first one, and the process that works on it."""
        with contextlib.suppress(OSError, struct.error, UnicodeDecodeError):
            text, pid = self._FORM.unpack(os.pread(self.fileno, self._FORM.size, 0))
            name = text.rstrip(b"\0").decode("ascii")
            if name.isidentifier():
                return name, pid
        return "", 0

    def set(self, name: str, pid: int = 0) -> None:
        """Say what happens now, and which other process does it."""
        with contextlib.suppress(OSError):  # a codec may have closed it
            os.pwrite(self.fileno, self._FORM.pack(name.encode(), pid), 0)

    def close(self) -> None:
        """Remove the file."""
        if self._made is not None:
            self._made.close()


class Child:
    """A process that answers calls.

    Parameters
    ----------
    folder
        Where the process may leave word of where it was when it died.
    leader
        Whether it leads a session of its own, so that it and all that it starts die together.
    """

    def __init__(self, folder: str, *, leader: bool) -> None:
        self.conn, theirs = Pipe()
        self._poll = select.poll()
        self._poll.register(self.conn.fileno(), select.POLLIN)
        self.phase = Phase()
        lifeline, self._lifeline = os.pipe()
        debug = bool(os.environ.get("BENCH_DEBUG"))
        self._folder, self._leader, self._owner = Path(folder), leader, os.getpid()
        with contextlib.suppress(OSError):  # a codec may have removed it
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        words = (theirs.fileno(), lifeline, folder, self.phase.fileno)
        self.process = subprocess.Popen(  # noqa: S603 - our own interpreter
            [sys.executable, "-c", _START, *map(str, words)],
            pass_fds=(theirs.fileno(), lifeline, self.phase.fileno),
            stdin=subprocess.DEVNULL,
            stdout=2 if debug else subprocess.DEVNULL,
            stderr=None if debug else subprocess.DEVNULL,
            start_new_session=leader,
        )
        self.pid = self.process.pid
        theirs.close()
        os.close(lifeline)
        with contextlib.suppress(OSError):  # a process that died at once is found dead later
            self.conn.send(sys.path)

    def send(self, payload: bytes) -> None:
        """Send a call that ``pack`` made."""
        self.conn.send_bytes(payload)

    def call(self, function: Callable[..., Any], *args: Any) -> Any:  # noqa: ANN401
        """Return what ``function`` returns in the process.

        Raises
        ------
        CodecFailed
            If the process dies of it.
        BenchError
            What the function raised.
        """
        try:
            self.send(pack(function, args, {}))
            while True:
                while not self._poll.poll(50):
                    if self.process.poll() is not None and not self._poll.poll(0):
                        raise EOFError  # noqa: TRY301 - as if the connection had said it
                word, value = pickle.loads(self.conn.recv_bytes())  # noqa: S301 - our own process
                if word == "done":
                    return value
                if word == "failed":
                    raise value
        except (OSError, EOFError, pickle.UnpicklingError) as error:
            leave_if_forked()
            raise CodecFailed(self.obituary(f" in {function.__name__}")) from error

    def obituary(self, doing: str) -> str:
        """Return how the process died, which is what it does now if it has not yet.

        Parameters
        ----------
        doing
            What it was at, such as `` in decode``.
        """
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(1)
        code = self.process.poll()
        place = self.place()
        self.kill()
        if code in (None, _CUT_OFF):
            return f"died: the process closed its connection{doing}{place}"
        if code >= 0:
            return f"died: exit code {code}{doing}{place}"
        try:
            name = signal.Signals(-code).name
        except ValueError:
            name = f"signal {-code}"
        return f"died: {name}{doing}{place}"

    def place(self, pid: int = 0) -> str:
        """Return `` (file.py:12)``, where the process was when it crashed or was asked."""
        with contextlib.suppress(OSError):
            return _innermost((self._folder / str(pid or self.pid)).read_text(errors="replace"))
        return ""

    def ask_place(self, pid: int = 0) -> str:
        """Return where the process is now; it need not hold the interpreter's lock to answer."""
        with contextlib.suppress(OSError):
            os.kill(pid or self.pid, _DUMP)
            for _ in range(20):
                time.sleep(0.02)
                found = self.place(pid)
                if found:
                    return found
        return ""

    def kill(self) -> None:
        """End the process and all that it started."""
        if os.getpid() != self._owner:
            return
        victims: list[psutil.Process] = []
        with contextlib.suppress(OSError, psutil.Error):
            if self.process.poll() is None:
                os.kill(self.pid, signal.SIGSTOP)  # it starts no more
                victims = psutil.Process(self.pid).children(recursive=True)
        if self._leader:
            with contextlib.suppress(OSError):
                os.killpg(self.pid, signal.SIGKILL)
        for victim in victims:
            with contextlib.suppress(OSError, psutil.Error):
                victim.kill()
        self.process.kill()
        self.process.wait()
        self.conn.close()
        self.phase.close()
        with contextlib.suppress(OSError):
            os.close(self._lifeline)
        self._lifeline = -1


def pack(function: Callable[..., Any], args: Any, options: Any) -> bytes:  # noqa: ANN401
    """Return a call as bytes."""
    return pickle.dumps((function, args, options), protocol=5)


def _innermost(dump: str) -> str:
    """Return `` (file.py:12)`` of the innermost frame in the codec's file, from a dump.

    The codec's own method is the frame just inside ``bench.registry.guard.call``.
    """
    found = re.findall(r'File "(.*)", line (\d+) in (.*)', dump)
    calls = [
        index
        for index, (path, _, function) in enumerate(found)
        if function == "call" and path.endswith("registry/guard.py")
    ]
    if not calls or not calls[0]:
        return ""
    own = Path(found[calls[0] - 1][0])
    parts = own.parts
    shown = "/".join(parts[parts.index("codecs") :]) if "codecs" in parts else own.name
    line = next(line for path, line, _ in found if path == str(own))
    return " " + errors.one_line(f"({shown}:{line})", 200)


_scheduling: list[tuple[int, Any]] = []
_answer: list[Callable[[str, object], None]] = []
_pid: list[int] = []
_place: list[str] = []
_phase: list[Phase] = []


def is_child() -> bool:
    """Return whether this process answers calls."""
    return bool(_pid)


def folder() -> str:
    """Return the folder in which the children of this run leave word."""
    return _place[0]


def leave_if_forked() -> None:
    """End a copy of this process that a codec made by ``os.fork``: it must not answer as well."""
    if _pid and os.getpid() != _pid[0]:
        os._exit(0)


def report_phase(name: str, pid: int = 0) -> None:
    """Tell the parent what this process does now, or which process does it for it."""
    leave_if_forked()
    if _phase:
        _phase[0].set(name, pid)


def keep_scheduling() -> None:
    """Give every thread of this process the scheduling that the first call of this found.

    SVT-AV1, as other encoders may, gives its process real-time priority where it is allowed to
    (as root); the cells after it would starve everything else on the machine.
    """
    if sys.platform != "linux":
        return
    if not _scheduling:
        _scheduling.append((os.sched_getscheduler(0), os.sched_getparam(0)))
    for thread in (int(path.name) for path in Path("/proc/self/task").iterdir()):
        with contextlib.suppress(OSError):  # it has ended
            if os.sched_getscheduler(thread) != _scheduling[0][0]:
                os.sched_setscheduler(thread, *_scheduling[0])


def serve(conn: Connection, lifeline: int, place: str, phase: int) -> None:
    """Answer calls until the parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _pid.append(os.getpid())
    _place.append(place)
    _phase.append(Phase(phase))
    _prepare(lifeline)
    with contextlib.suppress(OSError), Path(place, str(os.getpid())).open("w") as dump:
        faulthandler.enable(dump)
        faulthandler.register(_DUMP, dump)
        _answer_calls(conn)
        os._exit(0)  # whatever threads a codec left
    os._exit(_CUT_OFF)


def _prepare(lifeline: int) -> None:
    """See to it that this process dies with its parent."""

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
    def answer(word: str, value: object) -> None:
        conn.send_bytes(pickle.dumps((word, value), protocol=5))

    _answer[:] = [answer]
    keep_scheduling()
    answer("ready", None)
    while True:
        try:
            payload = conn.recv_bytes()
        except EOFError:
            return
        word, value = _call(payload)
        leave_if_forked()
        keep_scheduling()
        try:
            answer(word, value)
        except (pickle.PicklingError, TypeError, AttributeError, ValueError) as error:
            answer("failed", CodecFailed(f"crashed: the result cannot be sent: {error}"))


def _call(payload: bytes) -> tuple[str, object]:
    try:
        function, args, options = pickle.loads(payload)  # noqa: S301 - from our parent
        return "done", function(*args, **options)
    except BaseException as error:  # noqa: BLE001 - a codec may raise anything
        if os.environ.get("BENCH_DEBUG"):
            traceback.print_exception(error)
        if isinstance(error, BenchError) and type(error).__module__ == errors.__name__:
            return "failed", error
        return "failed", CodecFailed(failure(error))

"""A child process that answers calls, one at a time: what a stranger's code may break is there.

The parent holds a ``Child``; ``serving.serve`` runs in the process. Whatever happens to that, the
parent keeps a connection, a way to kill it with everything it started, and the reason it died.
"""

from __future__ import annotations

import contextlib
import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Pipe
from pathlib import Path
from typing import Any

import psutil

from bench import errors
from bench.errors import CodecFailed
from bench.measurement.messages import Phase, Shelf, bundle, head_of, pack, unbundle, value_of
from bench.measurement.serving import CUT_OFF, DUMP, leave_if_forked

_START = (
    "import sys; from multiprocessing.connection import Connection; "
    "c = Connection(int(sys.argv[1])); sys.path[:] = c.recv(); "
    "from bench.measurement.serving import serve; "
    "serve(c, int(sys.argv[2]), sys.argv[3], int(sys.argv[4]), int(sys.argv[5]))"
)


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
        self.phase, self.shelf = Phase(), Shelf()
        lifeline, self._lifeline = os.pipe()
        debug = bool(os.environ.get("BENCH_DEBUG"))
        self._folder, self._leader, self._owner = Path(folder), leader, os.getpid()
        with contextlib.suppress(OSError):  # a codec may have removed it
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        words = (theirs.fileno(), lifeline, folder, self.phase.fileno, self.shelf.fileno)
        self.process = subprocess.Popen(  # noqa: S603 - our own interpreter
            [sys.executable, "-c", _START, *map(str, words)],
            pass_fds=(theirs.fileno(), lifeline, self.phase.fileno, self.shelf.fileno),
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
        _, word, value, _ = next(self.answers(function, [args]))
        if word == "failed":
            assert isinstance(value, BaseException)
            raise value
        return value

    def answers(
        self,
        function: Callable[..., Any],
        calls: Sequence[tuple[Any, ...]],
        at: Callable[[int], None] = lambda _: None,
    ) -> Iterator[tuple[int, str, Any, float]]:
        """Send several calls in one message; yield which, ``done`` or ``failed``, value, seconds.

        Where the process dies, the last one is the call that it died of, and others may be left.

        Parameters
        ----------
        function, calls
            What to call, each time with these arguments.
        at
            Told which call the process is at where none is answered for a while.
        """
        done = 0
        self.phase.set("")  # of an earlier message
        try:
            self.send(bundle([pack(function, args, {}) for args in calls]))
            while done < len(calls):
                while not self._poll.poll(50):
                    if self.process.poll() is not None and not self._poll.poll(0):
                        raise EOFError  # noqa: TRY301 - as if the connection had said it
                    at(self._turn(done, len(calls)))
                for part in unbundle(self.conn.recv_bytes()):
                    word, seconds = head_of(part)
                    if word != "ready":
                        value = value_of(part)
                        done += 1
                        yield done - 1, word, value, seconds
        except Exception:  # noqa: BLE001 - closed, or garbage that a codec wrote into it
            leave_if_forked()
            turn = self._turn(done, len(calls))
            yield turn, "failed", CodecFailed(self.obituary(f" in {function.__name__}")), 0.0
        finally:
            if done < len(calls):  # nobody may take what it still answers for another's
                self.kill()

    def _turn(self, done: int, calls: int) -> int:
        return max(done, min(self.phase.get()[2], calls - 1))

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
        if code in (None, CUT_OFF):
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
            os.kill(pid or self.pid, DUMP)
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
        self.shelf.close()
        with contextlib.suppress(OSError):
            os.close(self._lifeline)
        self._lifeline = -1


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

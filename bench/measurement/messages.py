"""What the processes of a run say to each other: calls, answers, and what a process is at."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import mmap
import os
import pickle
import struct
import sys
import tempfile
from collections.abc import Callable
from typing import Any

_WRITE = mmap.PROT_READ | mmap.PROT_WRITE
_BUNDLE = b"bundle"  # no pickle and no answer begins like it
_HEAD = struct.Struct("=6sd")  # of an answer: its word, and the seconds that it took
_WORDS = {word.encode().ljust(6, b"\0"): word for word in ("ready", "done", "failed")}


class Phase:
    """What a process is at, in a file that it shares with its parent: no word has to be sent.

    Parameters
    ----------
    file
        Descriptor of the file; None makes one.
    """

    _FORM = struct.Struct("=24sqq")

    def __init__(self, file: int | None = None) -> None:
        self._made, self.turn = None, 0
        if file is None:
            self._made = tempfile.TemporaryFile()  # noqa: SIM115 - closed by ``close``
            file = self._made.fileno()
            os.lseek(file, 4096, os.SEEK_SET)  # what a codec writes into every file lands there
        self.fileno, self._identity = file, _identity(os.fstat(file))

    def get(self) -> tuple[str, int, int]:
        """Return the phase, the process that works on it, and which call of a message it is at.

        The phase is empty before the first one of a call.
        """
        with contextlib.suppress(OSError, struct.error, UnicodeDecodeError):
            text, pid, turn = self._FORM.unpack(os.pread(self.fileno, self._FORM.size, 0))
            name = text.rstrip(b"\0").decode("ascii")
            return (name, pid, turn) if name.isidentifier() else ("", 0, turn)
        return "", 0, 0

    def set(self, name: str, pid: int = 0) -> None:
        """Say what happens now, and which other process does it."""
        with contextlib.suppress(OSError):  # a codec may have closed it, and have its number
            if _identity(os.fstat(self.fileno)) == self._identity:
                os.pwrite(self.fileno, self._FORM.pack(name.encode(), pid, self.turn), 0)

    def close(self) -> None:
        """Remove the file."""
        if self._made is not None:
            self._made.close()


class Shelf:
    """A file in memory that two processes hold: a picture crosses in it with one copy.

    Parameters
    ----------
    file
        Descriptor of the file; None makes one.
    """

    _KEPT_BYTES = 48 << 20  # of a larger file the memory is given back

    def __init__(self, file: int | None = None) -> None:
        self._made = file is None
        if file is None:
            if sys.platform == "linux":
                file = os.memfd_create("bench-pictures", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
                # Nobody may make it shorter: to read what is gone would kill the reader.
                fcntl.fcntl(file, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)
            else:
                with tempfile.TemporaryFile() as made:
                    file = os.dup(made.fileno())
        self.fileno, self._identity = file, _identity(os.fstat(file))
        self._memory: dict[int, mmap.mmap] = {}

    def put(self, place: int, data: memoryview) -> None:
        """Write bytes at a place.

        Raises
        ------
        OSError
            If that fails; a codec may have closed the file, and opened another of its number.
        """
        if place + len(data) <= self._size():
            self._mapped(_WRITE, place + len(data))[place : place + len(data)] = data
            return
        done = 0  # written, the file grows, or there is an error where memory is short
        while done < len(data):
            done += os.pwrite(self.fileno, data[done:], place + done)

    def get(self, place: int, size: int) -> mmap.mmap:
        """Return the file as memory, read-only, if it has so many bytes at a place.

        They stay what they are until the other process is asked for more.

        Raises
        ------
        ValueError
            If it has not.
        OSError
            If it cannot be read.
        """
        if not 0 <= place < place + size <= self._size():
            raise ValueError(f"no {size} bytes at {place}")
        return self._mapped(mmap.PROT_READ, place + size)

    def _size(self) -> int:
        found = os.fstat(self.fileno)
        if _identity(found) != self._identity:
            raise OSError(errno.EBADF, "another file has its number")
        return found.st_size

    def _mapped(self, how: int, size: int) -> mmap.mmap:
        if how not in self._memory or len(self._memory[how]) < size:
            self._memory[how] = mmap.mmap(self.fileno, 0, prot=how)
        return self._memory[how]

    def clear(self) -> None:
        """Give back the memory of large pictures: what ``get`` returned is gone."""
        with contextlib.suppress(OSError, ValueError):
            size = self._size()
            if size > self._KEPT_BYTES and sys.platform == "linux":
                self._mapped(_WRITE, size).madvise(mmap.MADV_REMOVE)
            elif size > self._KEPT_BYTES:
                self._memory = {}
                os.ftruncate(self.fileno, 0)

    def close(self) -> None:
        """Remove the file; what ``get`` returned stays."""
        self._memory = {}
        if self._made:
            self._made, file, self.fileno = False, self.fileno, -1  # another file gets the number
            with contextlib.suppress(OSError):
                os.close(file)


def _identity(file: os.stat_result) -> tuple[int, int]:
    return file.st_dev, file.st_ino


def pack(function: Callable[..., Any], args: Any, options: Any) -> bytes:  # noqa: ANN401
    """Return a call as bytes."""
    return pickle.dumps((function, args, options), protocol=5)


def answer(word: str, value: object, seconds: float) -> bytes:
    """Return an answer as bytes, which can be handed on without a look at its value.

    Parameters
    ----------
    word
        ``ready``, ``done`` or ``failed``.
    value
        What a call returned or raised.
    seconds
        What it took.
    """
    return _HEAD.pack(word.encode(), seconds) + pickle.dumps(value, protocol=5)


def head_of(part: bytes) -> tuple[str, float]:
    """Return the word and the seconds of an answer.

    Raises
    ------
    KeyError, struct.error
        If it is none.
    """
    word, seconds = _HEAD.unpack_from(part)
    return _WORDS[word], seconds


def value_of(part: bytes) -> Any:  # noqa: ANN401 - whatever a call returns
    """Return the value of an answer, which came from a process that a codec may have spoilt."""
    return pickle.loads(memoryview(part)[_HEAD.size :])  # noqa: S301 - our own process


def bundle(parts: list[bytes]) -> bytes:
    """Return calls or answers as one message: each message wakes a process."""
    return parts[0] if len(parts) == 1 else _BUNDLE + pickle.dumps(parts, protocol=5)


def unbundle(message: bytes) -> list[bytes]:
    """Return the calls or answers of a message."""
    if not message.startswith(_BUNDLE):
        return [message]
    parts: list[bytes] = pickle.loads(memoryview(message)[len(_BUNDLE) :])  # noqa: S301 - our own
    return parts

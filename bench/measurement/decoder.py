"""The process beside a worker that decodes: it is given files alone, never a picture."""

from __future__ import annotations

import contextlib
import importlib
import math
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from bench import registry
from bench.codec import Codec
from bench.codec.imports import Meanwhile
from bench.errors import BenchError, CodecFailed, Unavailable, failure, is_ctrl_c
from bench.image import Image
from bench.measurement import serving
from bench.measurement.child import Child
from bench.measurement.heap import give_back_memory_of
from bench.measurement.messages import Shelf

_SMALL_BYTES = 1 << 16  # a smaller picture is part of the answer
_processes: list[Child] = []
_ready: set[tuple[str, str]] = set()  # codecs that it has loaded


@cache
def codec(name: str, device: str, role: str) -> Codec:  # noqa: ARG001 - one object a role
    """Return a codec that this process keeps for a role, ``encoder`` or ``decoder``."""
    return registry.create(name, device)


def require_version(found: Codec, planned: str) -> None:
    """Refuse to measure with another version than the one that rows are stored under.

    Raises
    ------
    Unavailable
        If this machine has another one than the one that planned.
    """
    if found.version() != planned:
        raise Unavailable(
            f"{found.name} is {found.version()} on this worker, planned was {planned}; it was not "
            "measured",
            "Install the same versions on all machines of the cluster, then use --retry-failed.",
        )


def process() -> Child | None:
    """Return the process that decodes for this one; None where this is no child process."""
    if not serving.is_child():
        return None
    if not _processes or _processes[0].process.poll() is not None:
        _ready.clear()
        for dead in _processes:  # its files, among them the memory of pictures, are given back
            dead.kill()
        _processes[:] = [Child(serving.folder(), leader=False)]
    return _processes[0]


def load(name: str, device: str) -> None:
    """Load the codec that ``decode`` will need, and begin to import what its network will."""
    if codec(name, device, "decoder").learned and "torch" not in sys.modules:
        Meanwhile(lambda: importlib.import_module("torch")).start()  # who needs it waits for it


def prepare(name: str, device: str) -> None:
    """Let the process load a codec that it has not loaded yet.

    Raises
    ------
    CodecError
        If that fails.
    """
    other = process()
    if other and (name, device) not in _ready:
        other.call(load, name, device)
        _ready.add((name, device))


def _decode(name: str, device: str, data: bytes) -> Image:
    made = None
    try:
        made = codec(name, device, "decoder")
        return made.decode(data)
    except BaseException as error:
        if is_ctrl_c(error):
            raise
        serving.debug(error)
        raise CodecFailed(failure(error, type(made) if made else None)) from None


def ledger(name: str, device: str, data: bytes) -> dict[str, int]:
    """Return what the bytes of a file are for; the process may know it from decoding the file.

    Raises
    ------
    BenchError
        If the codec, or the process, fails at it.
    """
    other = process()
    if other is None:
        return _ledger(name, device, data)
    serving.report_phase("ledger", other.pid)
    found: dict[str, int] = other.call(_ledger, name, device, data)
    return found


def _ledger(name: str, device: str, data: bytes) -> dict[str, int]:
    return codec(name, device, "decoder").ledger(data)


@dataclass(frozen=True, slots=True)
class Placed:
    """A picture that lies on the shelf: where, and its shape."""

    place: int
    shape: tuple[int, ...]


def decode(name: str, device: str, data: bytes, place: int, room: int) -> Image | Placed:
    """Return the image of ``data``; runs where the picture it was made from never was.

    It is put at a place of the shelf where it is large and needs no more than that room.

    Raises
    ------
    CodecFailed
        Whatever the codec raised, with its place.
    """
    image = _decode(name, device, data)
    if _SMALL_BYTES < image.nbytes <= room:
        with contextlib.suppress(OSError):
            serving.shelf().put(place, image.data.cast("B"))
            give_back_memory_of(image.nbytes)
            return Placed(place, image.shape)
    return image


def _taken(found: Image | Placed, shelf: Shelf) -> Image | CodecFailed:
    """Return a decoded picture; from the shelf it stays until ``clear``, or the next message."""
    if not isinstance(found, Placed):
        return found
    with contextlib.suppress(OSError, ValueError, OverflowError, TypeError):
        memory = shelf.get(found.place, math.prod(found.shape))
        return np.ndarray(found.shape, np.uint8, memory, found.place)
    return CodecFailed("died: the decoded picture was lost on its way")


def decode_each(
    files: Sequence[tuple[str, str, bytes]], turns: Sequence[int], room: int = 0
) -> Iterator[tuple[int, Image | BenchError, float]]:
    """Decode files, in one message to the process; yield which, its picture or error, seconds.

    A file that the process dies of costs itself; the others are sent to a new process. Pictures
    stay until ``clear``, or the next call.

    Parameters
    ----------
    files
        Codec, device and bytes of each.
    turns
        For which call of this process's own message each is decoded.
    room
        The bytes of the largest picture that is wanted; a larger one takes longer.
    """
    left = list(range(len(files)))
    while left:
        serving.report_phase("", turn=turns[left[0]])  # where it is a new process it loads
        other, sent = process(), list(left)
        if other is None:
            serving.report_phase("decode")
            yield _here(left.pop(0), files)
            continue
        for name, device, _ in (files[index] for index in left):
            with contextlib.suppress(BenchError):  # then decoding says why
                prepare(name, device)
        serving.report_phase("decode", other.pid)

        def at(place: int, pid: int = other.pid, sent: list[int] = sent) -> None:
            serving.report_phase("decode", pid, turns[sent[place]])

        calls = [(*files[index], n * room, room) for n, index in enumerate(sent)]
        for place, word, value, seconds in other.answers(decode, calls, at):
            left.remove(sent[place])
            if word == "done":
                yield sent[place], _taken(value, other.shelf), seconds
            else:
                known = isinstance(value, BenchError)
                yield sent[place], value if known else CodecFailed(failure(value)), seconds


def clear() -> None:
    """Give back the memory of the pictures that were decoded last: no metric looks at them."""
    for other in _processes:
        other.shelf.clear()


def _here(
    index: int, files: Sequence[tuple[str, str, bytes]]
) -> tuple[int, Image | BenchError, float]:
    started = time.perf_counter()
    found: Image | BenchError
    try:
        found = _decode(*files[index])
    except CodecFailed as error:
        found = error
    return index, found, time.perf_counter() - started

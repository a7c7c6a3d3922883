"""Decoded pictures of rows, checked against what was measured, and the threads that make them."""

from __future__ import annotations

import contextlib
import math
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from io import BytesIO
from queue import Empty, SimpleQueue
from typing import Any, Self, TypeVar

import numpy as np
from PIL import Image as PILImage

from bench.errors import DecodeError
from bench.image import Image, at_most
from bench.measurement.provenance import cpu_count
from bench.metrics import create as metric
from bench.report.results import Bitstreams

T = TypeVar("T")

_TOLERANCE_DB = 0.01


def to_webp(pixels: Image) -> bytes:
    """Return ``pixels`` as lossless WebP; method 2 takes a third longer for 1.6 % less."""
    buffer = BytesIO()
    how = {"lossless": True, "exact": True, "method": 1, "quality": 10}
    PILImage.fromarray(pixels).save(buffer, "WEBP", **how)
    return buffer.getvalue()


def decode_checked(streams: Bitstreams, row: Mapping[str, Any], original: Image) -> Image:
    """Return what a row's file decodes to, if it is still the picture that was measured.

    A file that claims far more pixels than its picture has is a stranger's, and refused.

    Raises
    ------
    BenchError
        If the file cannot be had or decoded, or its PSNR is not the one of the row.
    """
    decoded = streams.decoded.pop(str(row.get("bitstream_sha256")), None)
    if decoded is None:
        with at_most(4 * original.shape[0] * original.shape[1] + 1_000_000):  # decoders pad
            decoded = streams.codec(row).decode(streams.get(row))
    if decoded.shape != original.shape:
        raise DecodeError(f"decoded to {decoded.shape}, wanted {original.shape}")
    measured = float(row.get("psnr_db", math.nan))
    found = metric("psnr")(original, decoded)
    if math.isnan(measured) or found == measured or abs(found - measured) <= _TOLERANCE_DB:
        return decoded
    raise DecodeError(
        f"decodes to another picture than was measured: PSNR {found:.2f} dB here, {measured:.2f} "
        "dB then"
    )


def cut(pixels: Image, window: tuple[int, int, int, int]) -> Image:
    """Return the part at x, y, width, height."""
    x, y, w, h = window
    return np.ascontiguousarray(pixels[y : y + h, x : x + w])


def done(value: T) -> Future[T]:
    """Return a future that has its value."""
    future: Future[T] = Future()
    future.set_result(value)
    return future


class _Thread:
    """A thread that makes calls one after the other, for which no process waits when it ends."""

    def __init__(self, name: str) -> None:
        self._calls: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)

    def submit(self, function: Callable[..., T], *args: Any) -> Future[T]:  # noqa: ANN401
        """Return what a call will give."""
        future: Future[T] = Future()

        def call() -> None:
            try:
                future.set_result(function(*args))
            except BaseException as error:  # noqa: BLE001 - it is raised where the result is asked
                future.set_exception(error)

        if self._thread.ident is None:
            self._thread.start()
        self._calls.put(call)
        return future

    def end(self, *, wait: bool) -> None:
        """Begin no further call; ``wait`` for the one that was begun."""
        with contextlib.suppress(Empty):
            while True:
                self._calls.get_nowait()
        self._calls.put(None)
        if wait and self._thread.ident is not None:
            self._thread.join()

    def _work(self) -> None:
        while call := self._calls.get():
            call()


class Lanes:
    """Threads that make pictures, while the thread that asks for them goes on; a context manager.

    What the suite's networks do is done in one thread, one after the other: they use several cores
    themselves, and keep what they know of the last file. Other codecs work in the thread that asks:
    they take milliseconds, and limits that Pillow has hold for the whole process. WebP lets go of
    Python's lock, and is encoded in as many threads as there are cores.
    """

    def __init__(self) -> None:
        self._networks = _Thread("networks")
        self._encoders = ThreadPoolExecutor(cpu_count(), "webp")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Begin nothing more. After Ctrl-C nobody waits for a network."""
        self._networks.end(wait=kind is not KeyboardInterrupt)
        self._encoders.shutdown(cancel_futures=True)

    def run(self, function: Callable[..., T], *args: Any, network: bool) -> Future[T]:  # noqa: ANN401
        """Return what a function will give: of a ``network`` in its thread, else by now."""
        return self._networks.submit(function, *args) if network else done(function(*args))

    def webp(self, pixels: Image) -> Future[bytes]:
        """Return what ``to_webp`` will give."""
        return self._encoders.submit(to_webp, pixels)

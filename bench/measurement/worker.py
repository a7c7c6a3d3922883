"""What runs in a worker process: one image, one codec, one setting -> one encoding with scores.

A worker keeps its codecs, the last images and the reference side of each metric, so that a task
costs an encode, a decode and the scoring of the decoded side.
"""

from __future__ import annotations

import math
import os
import signal
import sys
import threading
import time
from dataclasses import dataclass
from functools import cache
from typing import Any, SupportsFloat

import numpy as np

from bench import metrics as metrics_of
from bench import registry
from bench.codec import Codec, Setting
from bench.dataset.open import Item, load_item
from bench.errors import (
    CodecFailed,
    DatasetError,
    DecodeError,
    MetricError,
    failure,
    is_ctrl_c,
    one_line,
)
from bench.image import Image, pixels_sha256
from bench.measurement.store import Encoding


@dataclass(frozen=True, slots=True)
class Task:
    """One cell to measure; travels to a worker.

    Attributes
    ----------
    item
        The image file.
    codec, device, setting
        Who encodes it, where, and how.
    metrics
        Names to score; an earlier run may have scored others.
    ceiling
        Whether to measure the colour conversion alone as well.
    row
        The identity of the encoding, to be filled with results.
    stored
        Whether the store has the bytes already, so that only scores are wanted.
    data
        Those bytes; filled in when the task is sent.
    """

    item: Item
    codec: str
    device: str
    setting: Setting
    metrics: tuple[str, ...]
    ceiling: bool
    row: Encoding
    stored: bool = False
    data: bytes | None = None


@dataclass(slots=True)
class _Loaded:
    """An image with the reference side of every metric asked for so far."""

    image: Image
    states: dict[str, Any]


_images: dict[str, _Loaded] = {}


def initialise() -> None:
    """Prepare a worker process: quiet on Ctrl-C, one thread a library, gone with its parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_die_with_parent, daemon=True).start()
    import cv2

    cv2.setNumThreads(1)


def _die_with_parent() -> None:
    """End this process when the parent is killed; a pool's workers would wait for ever."""
    from multiprocessing import connection, parent_process

    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)


@cache
def _codec(name: str, device: str) -> Codec:
    return registry.create(name, device)


@cache
def _metric(name: str) -> metrics_of.Metric:
    return metrics_of.create(name)


def _loaded(item: Item, pixels: str) -> _Loaded:
    """Return the image of ``item``, kept from the last task where it is the same.

    Its memory cannot be written by way of numpy, whatever flag a codec changes.

    Raises
    ------
    DatasetError
        If the file no longer holds the pixels that were planned.
    """
    if pixels not in _images:
        image = load_item(item)
        found = pixels_sha256(image)
        if found != pixels:
            raise DatasetError(
                f"{item.path} changed during the run: planned were pixels of sha256 "
                f"{pixels[:12]}, found {found[:12]}; it was not measured",
                "Run again: it will be planned as it is now.",
            )
        frozen = np.frombuffer(image.tobytes(), np.uint8).reshape(image.shape)
        _images.clear()  # tasks come image by image
        _images[pixels] = _Loaded(frozen, {})
    return _images[pixels]


def run(task: Task) -> Encoding:
    """Return the finished row of ``task``; a failure of the codec is a row with its error."""
    fields = {name: getattr(task.row, name) for name in task.row.__slots__}
    fields["scores"] = {}
    owner: type | None = None
    try:
        codec = _codec(task.codec, task.device)
        owner = type(codec)
        _measure(task, codec, fields)
    except BaseException as error:
        if is_ctrl_c(error):
            raise
        fields.update(data=None, scores={}, encode_s=None, decode_s=None)
        fields["error"] = failure(error, owner)
    return Encoding(**fields)


def _measure(task: Task, codec: Codec, fields: dict[str, Any]) -> None:
    """Encode (or take the stored bytes), decode and score; fill ``fields``."""
    loaded = _loaded(task.item, task.row.pixels)
    image = loaded.image
    data = task.data
    if data is None:
        started = time.perf_counter()
        data = codec.encode(image, task.setting)
        fields["encode_s"] = time.perf_counter() - started
        _check_untouched(codec, task.row.pixels)
    started = time.perf_counter()
    decoded = codec.decode(data)
    fields["decode_s"] = time.perf_counter() - started
    fields["data"] = data
    if decoded.shape != image.shape:
        raise DecodeError(
            f"decoded to {decoded.dtype} of {decoded.shape}, wanted {image.dtype} of {image.shape}"
        )
    for name in task.metrics:
        fields["scores"][name] = _score(name, loaded, decoded)
    if task.ceiling:
        psnr = _metric("psnr")
        fields["ceiling_db"] = psnr(image, codec.ceiling(image, task.setting))
        _check_untouched(codec, task.row.pixels)


def _check_untouched(codec: Codec, pixels: str) -> None:
    """Raise ``CodecFailed`` if the codec changed the picture it was given, and forget that."""
    if pixels_sha256(_images[pixels].image) != pixels:
        _images.clear()
        raise CodecFailed(f"crashed: {codec.name} wrote into the picture that it was given")


def _score(name: str, loaded: _Loaded, decoded: Image) -> tuple[str, float | None, str]:
    """Return (version, value, note); no value where the metric is not defined.

    Raises
    ------
    MetricError
        If the metric returns no number.
    """
    metric = _metric(name)
    try:
        if name not in loaded.states:
            metric.require_defined(loaded.image)
            loaded.states[name] = metric.prepare(loaded.image)
        value = metric.score(loaded.states[name], decoded)
    except metrics_of.Undefined as error:
        return metric.version, None, str(error)
    if not isinstance(value, SupportsFloat) or math.isnan(float(value)):
        raise MetricError(f"metric {name} returned {one_line(repr(value), 80)}, wanted a number")
    return metric.version, float(value), ""


def peak_memory_bytes() -> int:
    """Return the largest resident size that this process ever had."""
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024

"""What runs in a worker process: one image, one codec, one setting -> one encoding with scores.

A worker keeps its codecs, the last images and the reference side of each metric, so that a task
costs an encode, a decode and the scoring of the decoded side.
"""

from __future__ import annotations

import math
import os
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, SupportsFloat

import numpy as np

from bench import metrics as metrics_of
from bench import rate_search, registry
from bench.codec import Codec, Setting
from bench.dataset.open import Item, load_item
from bench.errors import (
    CodecFailed,
    DatasetError,
    DecodeError,
    EncodeError,
    MetricError,
    failure,
    is_ctrl_c,
    one_line,
)
from bench.image import Image, frozen, pixels_sha256
from bench.measurement import child
from bench.measurement.store import TARGET, TARGET_BPP, Encoding
from bench.measurement.untrusted import MAX_VALUE
from bench.rate_search import Target

MAX_FILE_BYTES = 999_000_000
"""A longer file is refused: SQLite holds rows of up to 10^9 bytes."""


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
    target
        What to hit, by a search over the codec's rate parameter; ``setting`` is then what is held.
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
    target: Target | None = None

    @property
    def group(self) -> str:
        """The codec where it is a stranger's, whose code shares no process with another's."""
        found = registry.find(self.codec)
        return self.codec if found and found.package else ""

    @property
    def near(self) -> str:
        """The picture, which a worker keeps with the reference side of its metrics."""
        return self.row.pixels


@dataclass(slots=True)
class _Loaded:
    """An image, a copy that no codec sees, and the reference side of every metric so far."""

    image: Image
    kept: Image
    states: dict[str, Any]
    curves: dict[tuple[str, ...], rate_search.Curve]


_images: dict[str, _Loaded] = {}


@cache
def _codec(name: str, device: str, role: str) -> Codec:  # noqa: ARG001 - one object a role
    return registry.create(name, device)


def _decoder() -> child.Child | None:
    """Return the process that decodes for this one; None where this is no child process."""
    if not child.is_child():
        return None
    if not _decoders or _decoders[0].process.poll() is not None:
        _ready.clear()
        _decoders[:] = [child.Child(child.folder(), leader=False)]
    return _decoders[0]


_decoders: list[child.Child] = []
_ready: set[tuple[str, str]] = set()  # codecs that it has loaded


def load(name: str, device: str) -> None:
    """Load the codec that ``decode`` will need."""
    _codec(name, device, "decoder")


def decode(name: str, device: str, data: bytes) -> Image:
    """Return the image of ``data``; runs where the picture it was made from never was.

    Raises
    ------
    CodecFailed
        Whatever the codec raised, with its place.
    """
    codec = None
    try:
        codec = _codec(name, device, "decoder")
        return codec.decode(data)
    except BaseException as error:
        if is_ctrl_c(error):
            raise
        _debug(error)
        raise CodecFailed(failure(error, type(codec) if codec else None)) from None


def _debug(error: BaseException) -> None:
    if os.environ.get("BENCH_DEBUG"):
        traceback.print_exception(error)


@cache
def _metric(name: str) -> metrics_of.Metric:
    if child.is_child():
        import cv2

        cv2.setNumThreads(1)
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
        _images.clear()  # tasks come image by image
        _images[pixels] = _Loaded(frozen(image), image, {}, {})
    return _images[pixels]


def run(task: Task) -> Encoding:
    """Return the finished row of ``task``; a failure of the codec is a row with its error."""
    fields = {name: getattr(task.row, name) for name in task.row.__slots__}
    fields["scores"] = {}
    owner: type | None = None
    try:
        other = _decoder()  # it starts while this process loads the codec
        codec = _codec(task.codec, task.device, "encoder")
        owner = type(codec)
        for name in task.metrics:
            _metric(name)
        if other and (task.codec, task.device) not in _ready:
            other.call(load, task.codec, task.device)
            _ready.add((task.codec, task.device))
        _measure(task, codec, fields)
    except BaseException as error:
        if is_ctrl_c(error):
            raise
        _debug(error)
        fields.update(data=None, scores={}, encode_s=None, decode_s=None)
        fields["error"] = failure(error, owner)
    return Encoding(**fields)


def _measure(task: Task, codec: Codec, fields: dict[str, Any]) -> None:
    """Encode (or take the stored bytes), decode and score; fill ``fields``."""
    loaded = _loaded(task.item, task.row.pixels)
    image = loaded.image
    data = task.data
    if data is None and task.target is not None:
        data = _search(task, codec, loaded, fields)
    elif data is None:
        child.report_phase("encode")
        started = time.perf_counter()
        data = codec.encode(image, task.setting)
        fields["encode_s"] = time.perf_counter() - started
        _check_encoded(task, codec, data)
    started = time.perf_counter()
    decoded = _decoded(task, image, data)
    child.report_phase("score")
    fields["decode_s"] = time.perf_counter() - started
    fields["data"] = data
    decoded = frozen(decoded)  # no metric writes into what the next one compares
    for name in task.metrics:
        try:
            fields["scores"][name] = _score(name, loaded, decoded)
        except (CodecFailed, MetricError) as error:
            fields["score_error"] = failure(error)
    if task.ceiling:
        best = codec.ceiling(image, task.setting)
        fields["ceiling_db"] = None if best is None else _metric("psnr")(image, best)
        _check_untouched(codec, task.row.pixels)


def _check_encoded(task: Task, codec: Codec, data: bytes) -> None:
    """Refuse what an encoder may not have done."""
    child.leave_if_forked()
    _check_untouched(codec, task.row.pixels)
    if len(data) > MAX_FILE_BYTES:
        raise EncodeError(
            f"{codec.name} made a file of {len(data)} bytes; at most {MAX_FILE_BYTES} fit into "
            "the database"
        )


def _decoded(task: Task, image: Image, data: bytes) -> Image:
    """Return the picture of a file, decoded where the original never was."""
    other = _decoder()
    child.report_phase("decode", other.pid if other else 0)
    call = other.call if other else _here
    decoded: Image = call(decode, task.codec, task.device, data)
    if decoded.shape != image.shape:
        raise DecodeError(
            f"decoded to {decoded.dtype} of {decoded.shape}, wanted {image.dtype} of {image.shape}"
        )
    return decoded


def _search(task: Task, codec: Codec, loaded: _Loaded, fields: dict[str, Any]) -> bytes:
    """Return the file that comes nearest to the task's target; fill ``fields`` with how."""
    target = task.target
    assert target is not None

    def measure(data: bytes) -> float:
        _check_encoded(task, codec, data)
        if target.metric == "bpp":
            return rate_search.bits_per_pixel(loaded.image, data)
        decoded = frozen(_decoded(task, loaded.image, data))
        child.report_phase("score")
        _, value, note = _score(target.metric, loaded, decoded)
        child.report_phase("encode")
        if value is None:
            raise MetricError(f"{target} cannot be hit: {note}")
        return value

    child.report_phase("encode")
    place = (task.codec, task.device, task.setting.json, target.metric)
    if place not in loaded.curves:
        loaded.curves[place] = rate_search.Curve(codec, loaded.image, task.setting, measure)
    curve = loaded.curves[place]
    curve.measure = measure
    found = rate_search.find(curve, target)
    _check_encoded(task, codec, found.data)
    fields["setting"], fields["encode_s"] = found.setting.json, found.encode_s
    exact = None if math.isnan(found.exact_bpp) else found.exact_bpp
    fields["scores"] |= {
        TARGET: (rate_search.VERSION, found.value - target.value, found.note),
        TARGET_BPP: (rate_search.VERSION, exact, ""),
    }
    return found.data


def _here(function: Callable[..., Image], *args: object) -> Image:
    return function(*args)


def _check_untouched(codec: Codec, pixels: str) -> None:
    """Raise ``CodecFailed`` if the codec changed the picture it was given, and forget that."""
    if not np.array_equal(_images[pixels].image, _images[pixels].kept):
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
    except BaseException as error:
        if is_ctrl_c(error):
            raise
        kind, _, text = failure(error, type(metric)).partition(": ")
        raise CodecFailed(f"{kind}: metric {name}: {text}") from error
    if not isinstance(value, SupportsFloat) or math.isnan(float(value)):
        raise MetricError(f"metric {name} returned {one_line(repr(value), 80)}, wanted a number")
    low, high = metric.limits
    too_large = math.isfinite(value) and abs(float(value)) > MAX_VALUE
    if too_large or not low - 1e-6 <= float(value) <= high + 1e-6:  # as results are read
        raise MetricError(f"metric {name} returned {float(value):g}, wanted {low:g} to {high:g}")
    return metric.version, float(value), ""


def peak_memory_bytes() -> int:
    """Return the largest resident size that this process ever had."""
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024

"""What runs in a worker process: one image, one codec, one setting -> one encoding with scores.

A worker keeps its codecs, the last images and the reference side of each metric, so that a task
costs an encode, a decode and the scoring of the decoded side.
"""

from __future__ import annotations

import contextlib
import math
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from bench import metrics as metrics_of
from bench import rate_search, registry
from bench.codec import Codec, Setting
from bench.dataset.open import Item
from bench.errors import (
    BenchError,
    CodecFailed,
    DecodeError,
    EncodeError,
    MetricError,
    failure,
    is_ctrl_c,
    one_line,
)
from bench.image import Image, frozen, is_frozen
from bench.measurement import decoder, pictures, serving
from bench.measurement.encoding import Encoding
from bench.measurement.heap import give_back_memory_of
from bench.measurement.kept import Place
from bench.measurement.store import TARGET, TARGET_BPP
from bench.measurement.untrusted import MAX_VALUE
from bench.rate_search import Target

MAX_FILE_BYTES = 999_000_000
"""A longer file is refused: SQLite holds rows of up to 10^9 bytes."""

_DECODED_BYTES = 32 << 20  # of pictures that wait to be scored


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
    keep
        Where the decoded picture is kept for the page; None: it is not.
    elsewhere
        Whether it is measured on another machine, whose codec may have another version.
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
    keep: Place | None = None
    elsewhere: bool = False

    @property
    def group(self) -> str:
        """The codec where it is a stranger's, whose code shares no process with another's."""
        found = registry.find(self.codec)
        return self.codec if found and found.package else ""

    @property
    def near(self) -> str:
        """The picture, which a worker keeps with the reference side of its metrics."""
        return self.row.pixels

    @property
    def kind(self) -> tuple[str, str, int] | None:
        """What takes about as long: the codec, where, the power of two of pixels; not a search."""
        pixels = (self.row.width * self.row.height).bit_length()
        return None if self.target else (self.codec, self.device, pixels)


@cache
def _metric(name: str) -> metrics_of.Metric:
    if serving.is_child():
        import cv2

        cv2.setNumThreads(1)
    return metrics_of.create(name)


def run(task: Task) -> Encoding:
    """Return the finished row of ``task``; a failure of the codec is a row with its error."""
    ((row, _),) = run_several([task], serving.turn())  # to its end, where memory is given back
    return row


def run_several(tasks: Sequence[Task], first: int = 0) -> Iterator[tuple[Encoding, float]]:
    """Yield the finished row of each task, and the seconds that it took.

    As many as have room in memory are encoded, then decoded, then scored, so that the two processes
    wake each other once. Whatever happens to one of them leaves the others as they are. ``first``
    is the turn of the first one in the message that they came by.
    """
    pictures.forget_all_but({task.row.pixels for task in tasks})
    decoder.process()  # it starts while this process loads the codecs
    start, size = 0, 0
    for end, task in enumerate(tasks):
        own = 3 * task.row.width * task.row.height
        if start < end and size + own > _DECODED_BYTES:
            yield from _run_together(tasks[start:end], first + start)
            start, size = end, 0
        size += own
    yield from _run_together(tasks[start:], first + start)


def _run_together(tasks: Sequence[Task], first: int) -> Iterator[tuple[Encoding, float]]:
    cells = [_Cell(task, turn) for turn, task in enumerate(tasks, first)]
    for cell in cells:
        cell.do(_encode)
    encoded = [cell for cell in cells if not cell.failed]
    files = [(cell.task.codec, cell.task.device, cell.data) for cell in encoded]
    turns = [cell.turn for cell in encoded]
    room = max((len(cell.loaded.copy) for cell in encoded), default=0)
    for index, found, seconds in decoder.decode_each(files, turns, room):
        encoded[index].fields["decode_s"] = seconds
        encoded[index].seconds += seconds
        encoded[index].do(_take_decoded, found)
    for cell in cells:
        cell.do(_keep)
        cell.do(_score_all)
        yield Encoding(**cell.fields), cell.seconds
    decoder.clear()


serving.together(run, run_several)


class _Cell:
    """A task on its way: what is known so far of its row.

    Attributes
    ----------
    turn
        Its place among the tasks that are worked on together.
    fields
        Those of the row.
    seconds
        What it took.
    """

    __slots__ = (
        "data",
        "decoded",
        "failed",
        "fields",
        "loaded",
        "owner",
        "seconds",
        "task",
        "turn",
    )

    def __init__(self, task: Task, turn: int) -> None:
        self.task, self.turn = task, turn
        self.fields = {name: getattr(task.row, name) for name in task.row.__slots__}
        self.fields["scores"] = {}
        self.owner: type | None = None
        self.seconds, self.failed = 0.0, False
        self.data = b""

    loaded: pictures.Loaded
    decoded: Image

    def do(self, step: Callable[..., None], *args: object) -> None:
        """Take a step, unless an earlier one failed; what it raises becomes the row's error."""
        if self.failed:
            return
        started = time.monotonic()
        try:
            step(self, *args)
        except BaseException as error:
            if is_ctrl_c(error):
                raise
            serving.debug(error)
            self.failed = True
            unknown = ("data", "encode_s", "decode_s", "ceiling_db")
            self.fields.update(dict.fromkeys(unknown), scores={})
            self.fields["error"] = failure(error, self.owner)
        self.seconds += time.monotonic() - started


def _encode(cell: _Cell) -> None:
    """Encode, or take the stored bytes; what is loaded for all of a cell is loaded before."""
    task = cell.task
    serving.report_phase("", turn=cell.turn)
    codec = decoder.codec(task.codec, task.device, "encoder")
    cell.owner = type(codec)
    if task.elsewhere:
        decoder.require_version(codec, task.row.version)
    for name in task.metrics:
        _metric(name)
    decoder.prepare(task.codec, task.device)
    cell.loaded = pictures.load(task.item, task.row.pixels)
    data = task.data
    if data is None and task.target is not None:
        data = _search(task, codec, cell.loaded, cell.fields)
    elif data is None:
        serving.report_phase("encode")
        started = time.perf_counter()
        data = codec.encode(cell.loaded.image, task.setting)
        cell.fields["encode_s"] = time.perf_counter() - started
        _check_encoded(task, codec, data)
    cell.data = data
    if task.ceiling:
        serving.report_phase("ceiling")
        best = codec.ceiling(cell.loaded.image, task.setting)
        pictures.require_untouched(codec, task.row.pixels)
        cell.fields["ceiling_db"] = (
            None if best is None else _metric("psnr")(cell.loaded.kept, best)
        )
        del best
    give_back_memory_of(len(cell.loaded.copy))


def _take_decoded(cell: _Cell, found: Image | BenchError) -> None:
    cell.decoded = _checked(found, cell.loaded.kept)


def _score_all(cell: _Cell) -> None:
    serving.report_phase("score", turn=cell.turn)
    cell.fields["data"] = cell.data
    for name in cell.task.metrics:
        try:
            cell.fields["scores"][name] = _score(name, cell.loaded, cell.decoded)
        except (CodecFailed, MetricError) as error:
            cell.fields["score_error"] = failure(error)


def _keep(cell: _Cell) -> None:
    """Keep the decoded picture for the page, if that is wanted; no cell fails of it."""
    task = cell.task
    if task.keep is not None:
        with contextlib.suppress(BenchError):
            ledger = decoder.ledger(task.codec, task.device, cell.data)
            task.keep.put(cell.data, cell.decoded, ledger)


def _check_encoded(task: Task, codec: Codec, data: bytes) -> None:
    """Refuse what an encoder may not have done."""
    serving.leave_if_forked()
    pictures.require_untouched(codec, task.row.pixels)
    if len(data) > MAX_FILE_BYTES:
        raise EncodeError(
            f"{codec.name} made a file of {len(data)} bytes; at most {MAX_FILE_BYTES} fit into "
            "the database"
        )


def _checked(found: Image | BenchError, image: Image) -> Image:
    """Return a decoded picture of the shape of ``image``; no metric writes into it.

    Raises
    ------
    BenchError
        If it has another one, or what its decoding ended with.
    """
    if isinstance(found, BenchError):
        raise found
    if found.shape != image.shape:
        raise DecodeError(
            f"decoded to {found.dtype} of {found.shape}, wanted {image.dtype} of {image.shape}"
        )
    return found if is_frozen(found) else frozen(found)


def _search(task: Task, codec: Codec, loaded: pictures.Loaded, fields: dict[str, Any]) -> bytes:
    """Return the file that comes nearest to the task's target; fill ``fields`` with how."""
    target = task.target
    assert target is not None

    def measure(data: bytes) -> float:
        _check_encoded(task, codec, data)
        if target.metric == "bpp":
            return rate_search.bits_per_pixel(loaded.image, data)
        files = [(task.codec, task.device, data)]
        found = next(decoder.decode_each(files, [0], len(loaded.copy)))[1]
        decoded = _checked(found, loaded.kept)
        serving.report_phase("score")
        _, value, note = _score(target.metric, loaded, decoded)
        serving.report_phase("encode")
        if value is None:
            raise MetricError(f"{target} cannot be hit: {note}")
        return value

    serving.report_phase("encode")
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


def _score(name: str, loaded: pictures.Loaded, decoded: Image) -> tuple[str, float | None, str]:
    """Return (version, value, note); no value where the metric is not defined.

    Raises
    ------
    MetricError
        If the metric returns no number.
    """
    metric = _metric(name)
    try:
        if name not in loaded.states:
            metric.require_defined(loaded.kept)
            loaded.states[name] = metric.prepare(loaded.kept)
        value = metric.score(loaded.states[name], decoded.view())
    except metrics_of.Undefined as error:
        return metric.version, None, str(error)
    except BaseException as error:
        if is_ctrl_c(error):
            raise
        kind, _, text = failure(error, type(metric)).partition(": ")
        raise CodecFailed(f"{kind}: metric {name}: {text}") from error
    if not hasattr(type(value), "__float__") or math.isnan(float(value)):
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

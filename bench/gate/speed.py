"""Speed as a ratio: a codec against a fixed job, by turns, on one machine, in one process.

Absolute times differ between machines and hours; the ratio to a job of zlib and NumPy that ran a
moment before and after differs far less. Every number that is kept is such a ratio.
"""

from __future__ import annotations

import math
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import cycle
from statistics import median, quantiles
from typing import Any

import numpy as np

from bench import registry
from bench.codec import Setting
from bench.errors import UsageError
from bench.gate.tolerance import Tolerances
from bench.image import Image
from bench.measurement import executor as harness
from bench.measurement.pool import one_thread_each

_MIN_REPEATS, _MAX_REPEATS, _BUDGET_S = 7, 41, 3.0
"""A codec is repeated until its budget is spent, within these bounds."""

_STRETCH_S, _MAX_COUNT = 0.03, 100
"""Short jobs run this long at a stretch, at most so often."""


@dataclass(frozen=True, slots=True)
class SpeedResult:
    """One direction of one codec against the baseline.

    Attributes
    ----------
    codec, direction
        Who, and ``encode`` or ``decode``.
    before, after
        Medians of time / time of the calibration job; ``before`` is None where not locked.
    spread
        Interquartile ranges of both, relative to them and added: the noise of the comparison.
    allowed
        Factor by which the ratio may grow.
    """

    codec: str
    direction: str
    before: float | None
    after: float
    spread: float
    allowed: float

    @property
    def factor(self) -> float | None:
        """How many times as long it takes; None where nothing was locked."""
        return None if self.before is None else self.after / self.before

    @property
    def slower(self) -> bool:
        """Whether it takes longer than allowed, noise granted."""
        return self.factor is not None and self.factor > self.allowed * (1 + self.spread)


@cache
def _material() -> tuple[bytes, np.ndarray[Any, np.dtype[np.float32]]]:
    """Return data for the calibration job: fixed, neither random nor trivial to compress."""
    y, x = np.mgrid[:256, :384]
    texture = ((x * x // 31 + y * 7) ^ (x * y // 17)).astype(np.uint8)
    return texture.tobytes(), np.ascontiguousarray(texture[:, :256], np.float32) / 255


def calibrate() -> None:
    """Run the calibration job: some 10 ms of zlib, and of products and sorts in NumPy."""
    data, matrix = _material()
    zlib.decompress(zlib.compress(data, 6))
    (matrix @ matrix.T) @ matrix
    np.sort(matrix, axis=0)


def _time_s(job: Callable[[], object], count: int = 1) -> float:
    """Return the mean time of ``count`` runs."""
    started = time.perf_counter()
    for _ in range(count):
        job()
    return (time.perf_counter() - started) / count


def _count(job: Callable[[], object]) -> int:
    """Return how often to run a job at a stretch, so that one interruption is not all there is."""
    job()  # caches, lazy imports and compilers warm up outside the clock
    return min(_MAX_COUNT, max(1, math.ceil(_STRETCH_S / max(_time_s(job), 1e-6))))


def ratios(encode: Callable[[], bytes], decode: Callable[[], object]) -> dict[str, list[float]]:
    """Return encode and decode times over calibration times, one per repeat, by turns.

    Each is divided by the mean of the calibration runs just before and just after it.
    """
    jobs = (calibrate, encode, decode)
    calibrations, encodes, decodes = (_count(job) for job in jobs)
    found: dict[str, list[float]] = {"encode": [], "decode": []}
    started = time.perf_counter()
    while len(found["encode"]) < _MIN_REPEATS or (
        len(found["encode"]) < _MAX_REPEATS and time.perf_counter() - started < _BUDGET_S
    ):
        before = _time_s(calibrate, calibrations)
        encode_s = _time_s(encode, encodes)
        between = _time_s(calibrate, calibrations)
        decode_s = _time_s(decode, decodes)
        after = _time_s(calibrate, calibrations)
        found["encode"].append(2 * encode_s / (before + between))
        found["decode"].append(2 * decode_s / (between + after))
    return found


def measure_codec(codec: str, setting: str, image: Image) -> dict[str, dict[str, float]]:
    """Return median and relative spread of a codec's ratios; runs in a worker.

    Parameters
    ----------
    codec
        Its name.
    setting
        JSON.
    image
        uint8 RGB (H, W, 3).
    """
    chosen, point = registry.create(codec), Setting.from_json(setting)
    data = chosen.encode(image, point)
    # A codec may keep what it found out about the last image; by turns, none can.
    turns = cycle((image, np.ascontiguousarray(image[::-1])))
    times = ratios(lambda: chosen.encode(next(turns), point), lambda: chosen.decode(data))
    return {name: _summary(values) for name, values in times.items()}


def _summary(values: Sequence[float]) -> dict[str, float]:
    middle = median(values)
    low, _, high = quantiles(values, n=4)
    return {"ratio": round(middle, 4), "spread": round((high - low) / middle, 4)}


def measure(
    jobs: Mapping[str, tuple[str, Image]],
    make_executor: harness.MakeExecutor = harness.local_pool,
) -> dict[str, Any]:
    """Return codec -> setting and ratios, measured one after the other in one worker.

    Parameters
    ----------
    jobs
        Codec -> (setting as JSON, image).
    make_executor
        Number of workers -> executor.
    """
    found: dict[str, Any] = {}
    with one_thread_each(), make_executor(1) as executor:
        for codec, (setting, image) in jobs.items():
            summary = executor.submit(measure_codec, codec, setting, image).result()
            megapixels = round(image.shape[0] * image.shape[1] / 1e6, 4)
            found[codec] = {"setting": setting, "megapixels": megapixels, **summary}
    return found


def crop(image: Image) -> Image:
    """Return the middle of an image, at most 512x384: large enough to time, small enough to repeat.

    Parameters
    ----------
    image
        uint8 RGB (H, W, 3).
    """
    height, width = min(image.shape[0], 384), min(image.shape[1], 512)
    top, left = (image.shape[0] - height) // 2, (image.shape[1] - width) // 2
    return np.ascontiguousarray(image[top : top + height, left : left + width])


def compare(
    before: Mapping[str, Any], after: Mapping[str, Any], tolerances: Tolerances, *, same_cpu: bool
) -> list[SpeedResult]:
    """Return the ratios of now beside those of a baseline.

    A ratio that was locked at another setting or image size is no measure of this one.
    """
    allowed = tolerances.same_cpu if same_cpu else tolerances.other_cpu
    found = []
    for codec, now in after.items():
        old = before.get(codec, {})
        same_job = isinstance(old, Mapping) and all(
            old.get(k) == now[k] for k in ("setting", "megapixels")
        )
        for direction in ("encode", "decode"):
            locked, noise = _locked(codec, old, direction) if same_job else (None, 0.0)
            spread = now[direction]["spread"] + noise
            found.append(
                SpeedResult(codec, direction, locked, now[direction]["ratio"], spread, allowed)
            )
    return found


def _locked(codec: str, record: Mapping[str, Any], direction: str) -> tuple[float, float]:
    """Return a ratio and its spread from a baseline's record; refuse what is no number over 0."""
    try:
        ratio, spread = (float(record[direction][name]) for name in ("ratio", "spread"))
    except (KeyError, TypeError, ValueError):
        ratio = spread = math.nan
    if not (0 < ratio < math.inf and 0 <= spread < math.inf):
        raise UsageError(
            f"the baseline's speed of {codec} ({direction}) is no ratio",
            "Lock it again: bench check --update --speed",
        )
    return ratio, spread

"""From a request to rows: which configurations of which codecs, and how each is measured."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from bench import registry
from bench.codec import Codec, Setting
from bench.dataset.open import Dataset
from bench.errors import BenchError
from bench.measurement import plan
from bench.output.labels import lanes_text
from bench.throughput import idle_check, sampling
from bench.throughput.options import Options
from bench.throughput.rows import Config, Cost, Row, Size, of_phase, of_start
from bench.throughput.runner import DIRECTIONS, Pass
from bench.throughput.sampling import Policy
from bench.throughput.worker import Job
from bench.throughput.worker_pool import Lanes, Used, WorkerPool

_APART = Policy(repeats=5)
"""Passes with a stopwatch, where those that count have none."""

_FILE_PASSES = 5

MakePool = Callable[[Job, Lanes], WorkerPool]


@dataclass(frozen=True, slots=True)
class Request:
    """What to measure.

    Attributes
    ----------
    datasets
        Opened, cut to the images to code.
    curves
        Codecs with their settings.
    options
        How to measure.
    folder
        For files that come and go while measuring.
    busy
        Who else is at work on this machine, if that was allowed.
    """

    datasets: Sequence[Dataset]
    curves: Sequence[plan.Curve]
    options: Options
    folder: Path
    busy: str = ""


@dataclass(frozen=True, slots=True)
class Quality:
    """What the files that were timed look like: means over the images.

    ``point`` is the setting in words: its rate parameter.
    """

    dataset: str
    codec: str
    label: str
    setting: str
    point: str
    images: int
    bpp: float
    psnr_db: float


@dataclass(slots=True)
class Result:
    """What was measured, and what must be said about it.

    Attributes
    ----------
    rows, quality
        Numbers.
    failed
        (configuration, reason).
    notes
        Sentences.
    """

    rows: list[Row] = field(default_factory=list)
    quality: list[Quality] = field(default_factory=list)
    failed: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def lanes_of(codec: Codec, threads: Sequence[int]) -> list[Lanes]:
    """Return how a codec uses given numbers of cores.

    A classical codec has one thread; more cores are more processes. A learned codec has one
    process of so many threads. On a GPU the most threads are the only configuration.
    """
    if codec.device == "cuda":
        return [Lanes(1, max(threads))]
    return [Lanes(1, n) if codec.learned else Lanes(n, 1) for n in threads]


def measure(
    request: Request,
    tell: Callable[[str], object],
    make_pool: MakePool = WorkerPool,
) -> Result:
    """Return all rows of a request, one configuration after the other.

    ``tell`` is called with a few words before each; nothing is printed while it runs.
    """
    result = Result()
    for dataset in request.datasets:
        for curve in request.curves:
            for setting in curve.settings:
                point = _Point(request, dataset, curve.codec, setting, make_pool, result)
                point.measure(tell)
    return result


class _Point:
    """One codec at one setting on one dataset."""

    def __init__(
        self,
        request: Request,
        dataset: Dataset,
        codec: Codec,
        setting: Setting,
        make_pool: MakePool,
        result: Result,
    ) -> None:
        self._request, self._result, self._make_pool = request, result, make_pool
        self._codec = codec
        rate = registry.rate_name(codec)
        self._point = f"{rate} {setting[rate]}" if rate else ""
        precision = codec.choose_precision(request.options.precision)
        self._job = Job(
            codec=registry.spec_name(codec, setting),
            setting=setting.json,
            device=codec.device,
            precision=precision,
            images=tuple(str(item.path.resolve()) for item in dataset.items),
            cores=(),
            folder=str(request.folder.resolve()),
        )
        self._config = Config(
            dataset=dataset.display_name,
            codec=self._job.codec,
            label=codec.label(setting),
            setting=setting.json,
            device=codec.device,
            processes=1,
            threads=1,
            batch=1,
            precision=precision,
        )

    def measure(self, tell: Callable[[str], object]) -> None:
        """Measure every configuration; one that fails costs its own rows."""
        for index, lanes in enumerate(lanes_of(self._codec, self._request.options.threads)):
            config = replace(self._config, processes=lanes.processes, threads=lanes.threads)
            tell(self._describe(config))
            with self._failing(config), self._make_pool(self._job, lanes) as pool:
                busy = bool(self._request.busy)
                self._result.rows += of_start(config, pool.start(), busy=busy)
                if index == 0:
                    self._measure_once(pool, config)
                for batch in self._batches():
                    self._measure_batch(pool, replace(config, batch=batch))

    def _describe(self, config: Config) -> str:
        return describe(config, self._point)

    def _batches(self) -> tuple[int, ...]:
        return self._request.options.batches if self._codec.batched else (1,)

    @contextlib.contextmanager
    def _failing(self, config: Config) -> Iterator[None]:
        """Note a failure with its configuration, and go on."""
        try:
            yield
        except BenchError as error:
            self._result.failed.append((self._describe(config), str(error)))

    def _measure_once(self, pool: WorkerPool, config: Config) -> None:
        """Measure what no number of cores changes: the quality, and the files around the codec."""
        bpp, psnr_db = pool.quality()
        images, megapixels = pool.size(1)
        size = Size(images // config.processes, megapixels / config.processes)
        names = (config.dataset, config.codec, config.label, config.setting, self._point)
        self._result.quality.append(Quality(*names, size.images, bpp, psnr_db))
        for direction in DIRECTIONS:
            passes = [pool.files(direction) for _ in range(_FILE_PASSES)]
            self._add_phases(config, direction, size, passes, busy=bool(self._request.busy))

    def _measure_batch(self, pool: WorkerPool, config: Config) -> None:
        with self._failing(config):
            size = Size(*pool.size(config.batch))
            for direction in DIRECTIONS:
                self._measure_direction(pool, config, direction, size)

    def _measure_direction(
        self, pool: WorkerPool, config: Config, direction: str, size: Size
    ) -> None:
        """Warm up, repeat, and add the rows of the whole call and of its phases."""
        on_gpu = config.device == "cuda"

        def run(loops: int, phases: bool = not on_gpu) -> Pass:
            return pool.run(direction, config.batch, loops=loops, phases=phases)

        warm = sampling.warm_up(run, self._request.options.policy)
        if not warm.stable:
            self._result.notes.append(
                f"{self._describe(config)}, {direction}: still getting faster after {warm.passes} "
                "warm-up passes."
            )
        before = idle_check.read()
        pool.mark()
        passes = sampling.sample(run, warm.loops, self._request.options.policy)
        used = pool.used()
        found = idle_check.was_busy(before, idle_check.read(), used.cpu_s)
        busy = bool(self._request.busy) or found
        time = sampling.spread([one.time_s for one in passes])
        cost = _cost(used, size.megapixels * sum(one.loops for one in passes))
        self._result.rows.append(
            of_phase(config, direction, direction, size, time, cost=cost, busy=busy)
        )
        if on_gpu:  # the stopwatch waits for the GPU at every boundary, so it is not in the total
            passes = sampling.sample(lambda loops: run(loops, phases=True), 1, _APART)
        self._add_phases(config, direction, size, passes, busy=busy)

    def _add_phases(
        self, config: Config, direction: str, size: Size, passes: Sequence[Pass], *, busy: bool
    ) -> None:
        for name, time in sampling.by_phase(passes).items():
            self._result.rows.append(of_phase(config, direction, name, size, time, busy=busy))


def describe(config: Config, point: str) -> str:
    """Return a configuration in words.

    >>> describe(Config("kodak", "jpeg", "", "{}", "cpu", 2, 1, 1, ""), "quality 50")
    'jpeg quality 50 on kodak, cpu, 2 processes, batch 1'
    """
    return (
        f"{config.codec}{point and ' '}{point} on {config.dataset}, {config.device}, "
        f"{lanes_text(config.processes, config.threads)}, batch {config.batch}"
    )


def _cost(used: Used, megapixels: float) -> Cost:
    """Return what a direction used, energy per megapixel coded."""
    energy, device = used.energy_j, used.peak_device_bytes
    return Cost(
        peak_host_bytes=used.peak_host_bytes,
        peak_device_bytes=math.nan if device is None else device,
        energy_j_per_mp=math.nan if energy is None else energy / megapixels,
    )

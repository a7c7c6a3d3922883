"""From what was asked to what is left to do: cells, and tasks for those the store lacks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from bench import metrics as metrics_of
from bench import registry
from bench.codec import Codec, Setting
from bench.dataset import open as datasets
from bench.errors import BenchError, CodecError, MetricError, SettingError, UsageError
from bench.measurement.store import Cell, Encoding, Store, encoding_key
from bench.measurement.worker import Task

QUICK_POINTS = 3


@dataclass(frozen=True, slots=True)
class Request:
    """What to measure.

    Attributes
    ----------
    datasets
        Opened datasets.
    codecs
        ``--codec`` words; empty means every codec that belongs to the default run.
    metrics
        ``--metric`` words; empty means all that can be computed here.
    points
        Keep this many rungs of each ladder, spread evenly, both ends included.
    quality
        Instead of the ladder: these values of each codec's own rate parameter.
    device
        For codecs that can choose.
    """

    datasets: Sequence[datasets.Dataset]
    codecs: Sequence[str] = ()
    metrics: Sequence[str] = ()
    points: int | None = None
    quality: Sequence[float] | None = None
    device: str = "cpu"


@dataclass(frozen=True, slots=True)
class Curve:
    """A codec with the settings of one curve."""

    codec: Codec
    settings: tuple[Setting, ...]


@dataclass(slots=True)
class Plan:
    """What a request means here and now."""

    curves: list[Curve] = field(default_factory=list)
    metrics: list[metrics_of.Metric] = field(default_factory=list)
    unavailable: list[tuple[str, str]] = field(default_factory=list)
    cells: list[Cell] = field(default_factory=list)
    tasks: list[Task] = field(default_factory=list)
    stored: int = 0
    failed_before: int = 0


def spread(settings: Sequence[Setting], points: int | None) -> list[Setting]:
    """Return ``points`` of ``settings`` at even distances, both ends included."""
    if points is None or points >= len(settings):
        return list(settings)
    if points < 1:
        raise UsageError(f"--points must be at least 1, found {points}")
    if points == 1:
        return [settings[len(settings) // 2]]
    step = (len(settings) - 1) / (points - 1)
    return [settings[round(i * step)] for i in range(points)]


def choose_curves(request: Request) -> tuple[list[Curve], list[tuple[str, str]]]:
    """Return the curves to measure, and (codec, reason) of those that cannot run here.

    A codec that was asked for by name and is unavailable is an error; one of the default run
    is left out with its reason.

    Raises
    ------
    CodecError
        If a named codec is unavailable, or a setting illegal.
    """
    names = list(request.codecs) or [
        name for name, found in registry.discover().items() if _in_default_run(found)
    ]
    curves: list[Curve] = []
    unavailable: list[tuple[str, str]] = []
    for word in dict.fromkeys(names):
        spec = registry.Spec.parse(word)
        try:
            codec = registry.create(spec.name, request.device)
            quality = None if request.quality is None else list(request.quality)
            settings = registry.settings(codec, spec, quality=quality)
        except SettingError:
            raise
        except CodecError as error:
            if request.codecs:
                raise
            unavailable.append((word, str(error)))
            continue
        curves.append(Curve(codec, tuple(spread(settings, request.points))))
    if not curves:
        raise UsageError("no codec can run here", "See `bench list` for each one's reason.")
    return curves, unavailable


def _in_default_run(found: registry.Found) -> bool:
    return found.cls is None or found.cls.in_default_run


def choose_metrics(
    words: Sequence[str],
) -> tuple[list[metrics_of.Metric], list[tuple[str, str]]]:
    """Return the metrics to score, and (metric, reason) of the default ones that cannot run here.

    Raises
    ------
    MetricError
        If a metric that was asked for by name cannot be computed here.
    """
    chosen: list[metrics_of.Metric] = []
    unavailable: list[tuple[str, str]] = []
    for word in dict.fromkeys(words or metrics_of.default_names()):
        if word == "bpp":  # always there
            continue
        try:
            metric = metrics_of.create(word)
        except MetricError as error:
            if words:
                raise
            unavailable.append((word, str(error)))
            continue
        if metric.name not in {other.name for other in chosen}:
            chosen.append(metric)
    return chosen, unavailable


def make(request: Request, store: Store, *, retry_failed: bool = False) -> Plan:
    """Return the plan of ``request``: every cell, and a task for each that the store lacks.

    Tasks are ordered by image, so that workers reuse the reference side of the metrics.
    """
    curves, lacking = choose_curves(request)
    chosen, lacking_metrics = choose_metrics(request.metrics)
    plan = Plan(curves, chosen, lacking + lacking_metrics)
    known = _Known(store, retry_failed=retry_failed)
    for dataset in request.datasets:
        for item in dataset.items:
            _plan_image(plan, dataset.display_name, item, known)
    return plan


class _Known:
    """What the store has already, read once."""

    def __init__(self, store: Store, *, retry_failed: bool) -> None:
        self.store = store
        self.encoded = store.encoded()
        self.scored = store.scored()
        self.ceilings = store.with_ceiling()
        self.planned: set[str] = set()
        self.retry_failed = retry_failed


def _plan_image(plan: Plan, dataset: str, item: datasets.Item, known: _Known) -> None:
    """Add the cells and tasks of one image; one that cannot be read gets failed cells."""
    try:
        pixels, width, height = datasets.pixel_identity(item)
    except BenchError as error:
        message = f"{type(error).__name__}: {error}"
        plan.failed_before += sum(len(curve.settings) for curve in plan.curves)
        plan.cells += [
            Cell(dataset, item.name, *_curve_words(curve.codec, setting), error=message)
            for curve in plan.curves
            for setting in curve.settings
        ]
        return
    for curve in plan.curves:
        codec = curve.codec
        for setting in curve.settings:
            name, text, label = _curve_words(codec, setting)
            version = codec.version()
            key = encoding_key(
                pixels, width, height, codec.name, version, text, codec.format_version
            )
            plan.cells.append(Cell(dataset, item.name, name, text, label, key))
            row = Encoding(key, pixels, width, height, codec.name, version, label, text)
            task = _task(plan, item, codec, setting, row, known)
            if task is not None and key not in known.planned:
                plan.tasks.append(task)
            known.planned.add(key)


def _curve_words(codec: Codec, setting: Setting) -> tuple[str, str, str]:
    """Return curve, setting and label as the table shows them."""
    return registry.spec_name(codec, setting), setting.json, codec.label(setting)


def _task(
    plan: Plan, item: datasets.Item, codec: Codec, setting: Setting, row: Encoding, known: _Known
) -> Task | None:
    """Return what is left to do for one cell, or None where nothing is."""
    error = known.encoded.get(row.key)
    again = error and known.retry_failed
    missing = tuple(
        m.name for m in plan.metrics if (row.key, m.name, m.version) not in known.scored
    )
    ceiling = (row.pixels, row.label) not in known.ceilings
    if error is not None and not again:
        if error:
            plan.failed_before += 1
            return None
        if not missing:
            plan.stored += 1
            return None
    if ceiling:
        known.ceilings.add((row.pixels, row.label))
    return Task(item, codec.name, codec.device, setting, missing, ceiling, row, stored=error == "")

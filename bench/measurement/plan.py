"""From what was asked to what is left to do: cells, and tasks for those the store lacks."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from bench import metrics as metrics_of
from bench import rate_search, registry
from bench.codec import Codec, Scalar, Setting
from bench.dataset.dataset import Dataset
from bench.dataset.identity import Item
from bench.errors import CodecError, MetricError, SettingError, UsageError
from bench.measurement.encoding import Cell, Encoding, encoding_key
from bench.measurement.store import TARGET, Store
from bench.measurement.worker import Task
from bench.rate_search import PerImage, Target, require_rate

QUICK_POINTS = 4
QUICK_IMAGES = 6

Identity = tuple[str, int, int]
"""Sha256 of an image's RGB bytes, its width and height in pixels."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A curve that is asked for.

    Attributes
    ----------
    codec
        As ``--codec`` takes it.
    quality
        Values of the codec's own rate parameter; empty: those of the request, or its ladder.
    variant
        Whether it is compared with its family alone; see ``Codec.family``.
    """

    codec: str
    quality: tuple[Scalar, ...] = ()
    variant: bool = False


@dataclass(frozen=True, slots=True)
class Request:
    """What to measure.

    Attributes
    ----------
    datasets
        Opened datasets.
    codecs
        ``--codec`` words or ``Wanted``, empty for every codec that belongs to the default run; or
        name of a codec -> its settings.
    metrics
        ``--metric`` words; empty means all that can be computed here.
    points
        Keep this many rungs of each ladder, spread evenly, both ends included.
    quality
        Instead of the ladder: these values of each codec's own rate parameter.
    device
        For codecs that can choose.
    more_curves
        Whether the default run has the slow curves too; see ``Codec.more_curves``.
    targets
        Instead of the ladder: what each codec is searched to hit on each image; a ``Wanted`` with
        values of its own is measured at those.
    """

    datasets: Sequence[Dataset]
    codecs: Sequence[str | Wanted] | Mapping[str, Sequence[Setting]] = ()
    metrics: Sequence[str] = ()
    points: int | None = None
    quality: Sequence[Scalar] | None = None
    device: str = "cpu"
    more_curves: bool = False
    targets: Sequence[Target | PerImage] = ()


@dataclass(frozen=True, slots=True)
class Curve:
    """A codec with the settings of one curve; a variant is compared with its family alone.

    Of a search ``settings`` has what is held, and ``targets`` what is searched for.
    """

    codec: Codec
    settings: tuple[Setting, ...]
    variant: bool = False
    targets: tuple[Target | PerImage, ...] = ()


@dataclass(slots=True)
class Plan:
    """What a request means here and now.

    Attributes
    ----------
    curves, metrics
        What is measured on each image.
    unavailable
        (codec or metric of the default run, why it cannot be measured here).
    datasets
        Name -> what the run record says of it.
    cells
        All that was asked for.
    tasks
        What the store lacks of it.
    stored, failed_before
        How many cells need no task: their results are stored, or they failed.
    families
        A codec -> those of its variants that were not asked for by name; see ``Codec.family``.
    """

    curves: list[Curve]
    metrics: list[metrics_of.Metric]
    unavailable: list[tuple[str, str]]
    datasets: dict[str, dict[str, Any]] = field(default_factory=dict)
    cells: list[Cell] = field(default_factory=list)
    tasks: list[Task] = field(default_factory=list)
    stored: int = 0
    failed_before: int = 0
    families: dict[str, list[str]] = field(default_factory=dict)


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
    if isinstance(request.codecs, Mapping):
        if request.targets:
            raise UsageError("targets are for codecs by name, not for settings that are given")
        given = [_given(*pair, request.device) for pair in request.codecs.items()]
        if not given:
            raise UsageError("no codec or no setting of one was asked for", "Name one.")
        return given, []
    typed = [Wanted(word) if isinstance(word, str) else word for word in request.codecs]
    curves: list[Curve] = []
    unavailable: list[tuple[str, str]] = []
    default = [] if typed else _default_curves(more=request.more_curves)
    for wanted in dict.fromkeys(typed or [Wanted(word, (), True) for word in default]):
        try:
            curves.append(_curve(wanted, request))
        except SettingError:
            raise
        except CodecError as error:
            if request.codecs:
                raise
            unavailable.append((registry.Spec.parse(wanted.codec).name, str(error)))
    unavailable = _told_once(unavailable)
    if not curves:
        raise UsageError("no codec can run here", "See `bench list` for each one's reason.")
    return curves, unavailable


def _told_once(unavailable: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return codecs and reasons: each codec once, those of a family together, with one reason."""
    together: dict[str, dict[str, str]] = {}
    for name, reason in unavailable:
        cls = registry.discover()[name].cls
        together.setdefault((cls and cls.family) or name, {})[name] = reason
    return [(", ".join(group), next(iter(group.values()))) for group in together.values()]


def _default_curves(*, more: bool) -> list[str]:
    """Return what a run measures that names no codec: ``avif``, ``avif:speed=4``, ...

    A codec that is unavailable is among them, so that its reason is told.
    """
    names = []
    for name, found in registry.discover().items():
        if found.cls is None or found.cls.in_default_run:
            if found.cls is not None and found.cls.family and not more:
                continue
            options = found.cls.more_curves if more and found.cls is not None else ()
            names += [name, *(f"{name}:{text}" for text in options)]
    return names


def _curve(wanted: Wanted, request: Request) -> Curve:
    spec = registry.Spec.typed(wanted.codec)
    codec = registry.create(spec.name, request.device)
    quality = wanted.quality or request.quality
    settings = registry.settings(codec, spec, quality=quality)
    if request.targets and not wanted.quality:
        require_rate(codec)
        return Curve(codec, tuple(settings[:1]), wanted.variant, tuple(request.targets))
    return replace(_asked(codec, spread(settings, request.points)), variant=wanted.variant)


def _asked(codec: Codec, settings: Iterable[Setting]) -> Curve:
    found = tuple(settings)
    if not found:
        raise UsageError(f"no setting of {codec.name} was asked for", "Name one, or leave it out.")
    return Curve(codec, found)


def _given(name: str, settings: Sequence[Setting], device: str) -> Curve:
    codec = registry.create(name, device)
    complete = dict.fromkeys(registry.complete(codec, setting) for setting in settings)
    return _asked(codec, complete)


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


def choose(request: Request) -> Plan:
    """Return the plan of ``request`` as far as it needs nothing that may have to be downloaded.

    Its metrics are added by ``choose_metrics``.

    Raises
    ------
    BenchError
        If a codec that was asked for by name cannot be measured here, or a metric is unknown.
    """
    for word in request.metrics:
        if word != "bpp":
            metrics_of.members(word)
    curves, unavailable = choose_curves(request)
    plan = Plan(curves, [], unavailable)
    for curve in curves:
        if (family := curve.codec.family) and curve.variant:
            name = registry.spec_name(curve.codec, curve.settings[0])
            plan.families.setdefault(family, []).append(name)
    return plan


@dataclass(frozen=True, slots=True)
class _Point:
    """A setting of a codec, with the words of the tables.

    ``conversion`` names what the colour conversion depends on: not effort, nor words for people.
    """

    codec: Codec
    version: str
    setting: Setting
    curve: str
    label: str
    conversion: str
    target: Target | PerImage | None = None

    @property
    def shown(self) -> Setting:
        """The setting that the rows have: of a search, what is held and the target."""
        if self.target is None:
            return self.setting
        held = self.setting.without(registry.rate_name(self.codec))
        return held.replace(**{TARGET: str(self.target)})

    def cell(self, dataset: str, image: str, *, key: str = "", error: str = "") -> Cell:
        return Cell(dataset, image, self.curve, self.shown.json, self.label, key, error)

    def key(self, identity: Identity, target: Target | None) -> str:
        """Return what identifies the encoding of an image; of a search also how it searches."""
        setting, version = self.shown.json, self.version
        if target is not None:
            version = json.dumps([version, rate_search.VERSION, target.version, target.value])
        codec = self.codec
        return encoding_key(*identity, codec.name, version, setting, codec.format_version)


def _points(curves: Sequence[Curve]) -> list[_Point]:
    """Return each setting once, also where two curves share it."""
    found: dict[tuple[str, str], _Point] = {}
    for curve in curves:
        codec, version = curve.codec, curve.codec.version()
        for setting in curve.settings:
            name = registry.spec_name(codec, setting)
            words = " ".join(filter(None, (codec.name, codec.describe(setting))))
            conversion = f"{words} ({version})"
            for target in curve.targets or (None,):
                label = codec.label(setting)
                point = _Point(codec, version, setting, name, label, conversion, target)
                found.setdefault((name, point.shown.json), point)
    return list(found.values())


def complete(
    plan: Plan, datasets: Sequence[Dataset], store: Store, *, retry_failed: bool = False
) -> None:
    """Add every cell to ``plan``, and a task for each that the store lacks.

    Tasks are ordered by image, so that workers reuse the reference side of the metrics.
    """
    points = _points(plan.curves)
    known = _Known(store, retry_failed=retry_failed)
    for dataset in datasets:
        name, pictures = dataset.display_name, dataset.pictures()
        plan.datasets[name] = dataset.provenance(pictures)
        for item, identity in pictures.kept:
            for point in points:
                _plan_cell(plan, name, item, identity, point, known)
        for image, error in pictures.unreadable.items():
            plan.failed_before += len(points)
            plan.cells += [point.cell(name, image, error=error) for point in points]


class _Known:
    """What the store has already, read once, and what is planned meanwhile."""

    def __init__(self, store: Store, *, retry_failed: bool) -> None:
        self.encoded = store.encoded()
        self.scored = store.scored()
        self.ceilings = store.with_ceiling()
        self.planned: set[str] = set()
        self.retry_failed = retry_failed


def _plan_cell(
    plan: Plan, dataset: str, item: Item, identity: Identity, point: _Point, known: _Known
) -> None:
    """Add one cell, and its task unless there is nothing to do or another cell has it."""
    codec, setting = point.codec, point.setting
    target = point.target.of(dataset, item.name) if point.target is not None else None
    if point.target is not None and target is None:
        return
    key = point.key(identity, target)
    plan.cells.append(point.cell(dataset, item.name, key=key))
    error = known.encoded.get(key)
    if error and not known.retry_failed:
        plan.failed_before += 1
        return
    missing = tuple(m.name for m in plan.metrics if (key, m.name, m.version) not in known.scored)
    if error == "" and not missing:
        plan.stored += 1
        return
    if key in known.planned:
        return
    known.planned.add(key)
    ceiling = (identity[0], point.conversion) not in known.ceilings
    known.ceilings.add((identity[0], point.conversion))
    row = Encoding(key, *identity, codec.name, point.version, point.conversion, setting.json)
    stored = error == ""
    how = (item, codec.name, codec.device, setting, missing, ceiling, row, stored)
    plan.tasks.append(Task(*how, target=target))

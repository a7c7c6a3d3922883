"""Metrics: one file each in this folder, a class of another package, or what ``-m`` names.

A metric is a subclass of ``Metric``: its attributes say everything that the rest of the suite needs
to know of it, so that a new file is all that a new metric takes. It has two steps, so that the
reference side is computed once per image and reused for every codec and setting:
``state = metric.prepare(reference)``, then ``metric.score(state, decoded)``.
"""

from __future__ import annotations

import abc
import importlib
import inspect
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache, partial
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

from bench.errors import BenchError, MetricError, UsageError, is_ctrl_c, one_line, suggest
from bench.image import Image, check
from bench.metrics.plugin_probe import deadly

ENTRY_POINTS = "bench.metrics"
_FOLDER = Path(__file__).parent
_HELPERS = frozenset(
    {"class_checks", "columns", "command", "from_file", "plugin_files", "plugin_probe", "program"}
)
# Columns of the files of results that are no metric's.
_TAKEN = frozenset(
    {
        *("dataset", "image", "images", "codec", "label", "setting", "key", "bytes", "bpp"),
        *("encode_s", "decode_s", "width", "height", "bitstream_sha256", "error"),
        *("target", "found_setting", "target_miss", "target_bpp", "target_note"),
    }
)


class Undefined(BenchError):  # noqa: N818 - a verdict, not a fault
    """The metric is not defined for this image (too small, say)."""


@dataclass(frozen=True, slots=True)
class Decibels:
    """The form in decibels of a metric whose interesting values crowd together near its best.

    Attributes
    ----------
    column, title
        As of ``Metric``; the unit is dB, higher is better.
    of
        Value of the metric -> decibels; ``inf`` at its best. It is applied to means: the decibels
        of a curve are those of the mean over images, as published curves have them.
    definition
        One sentence.
    digits
        Decimals to show.
    """

    column: str
    title: str
    of: Callable[[float], float]
    definition: str = ""
    digits: int = 2


@dataclass(frozen=True, slots=True)
class Weights:
    """A file that a metric needs and that can be downloaded.

    Attributes
    ----------
    url, path
        Where it comes from, and where it is put.
    sha256
        Its hash, or how that begins.
    """

    url: str
    path: Path
    sha256: str


class Metric(abc.ABC):
    """A metric: where its values stand, what they mean, how to compute them.

    Attributes
    ----------
    name
        Word of the command line.
    column
        Column of ``rows.csv``; the default is the name.
    title, unit
        For axes and heads of tables; the unit is empty where there is none.
    short
        What sentences call it; the default is the title.
    higher_is_better
        The direction.
    digits
        Decimals to show.
    version
        Changes whenever values may change; part of the key of stored scores.
    definition
        One sentence that says which flavour this is; printed under tables.
    smallest_px
        The shortest side for which it is defined, in pixels.
    limits
        The least and the largest value that there is. That at the better end is the value of an
        exact copy: a point of a curve that has it on every image lies on no curve.
    decibels
        The form in decibels that curves are drawn in, or None.
    in_default_run
        Whether ``bench all`` computes it when no metric is named.
    in_every_file
        Whether a metric of the default run that needs no weights has a column in the files of all
        runs, and its scores in new baselines of the gate.
    family
        A word that stands for several metrics: the first of them that works here is taken.
    rank
        Place among the columns of tables; equals are sorted by column.
    """

    name: ClassVar[str]
    column: ClassVar[str]
    title: ClassVar[str]
    unit: ClassVar[str] = ""
    short: ClassVar[str] = ""
    higher_is_better: ClassVar[bool] = True
    digits: ClassVar[int] = 4
    version: str = "1"
    definition: ClassVar[str] = ""
    smallest_px: ClassVar[int] = 1
    limits: ClassVar[tuple[float, float]] = (-math.inf, math.inf)
    decibels: ClassVar[Decibels | None] = None
    in_default_run: ClassVar[bool] = False
    in_every_file: ClassVar[bool] = True
    family: ClassVar[str] = ""
    rank: ClassVar[int] = 100

    def __init_subclass__(cls) -> None:
        """Let column and title be the name where a class does not say them."""
        super().__init_subclass__()
        if "name" in vars(cls):
            for attribute in ("column", "title"):
                if attribute not in vars(cls):
                    setattr(cls, attribute, cls.name)

    def prepare(self, reference: Image) -> Any:  # noqa: ANN401 - the metric's own
        """Return what ``score`` needs of the reference; may raise ``Undefined``."""
        return reference

    @abc.abstractmethod
    def score(self, state: Any, decoded: Image) -> float:  # noqa: ANN401 - the metric's own
        """Return the value of a decoded image; may raise ``Undefined``.

        ``decoded`` cannot be written, and its memory soon holds other pictures: what is kept of it
        is a copy.
        """

    def __call__(self, reference: Image, decoded: Image) -> float:
        """Return the value for one pair of images, uint8 RGB (H, W, 3).

        Raises
        ------
        ImageError
            If one is anything else: pixels from 0 to 1 would get a value that looks right.
        Undefined
            If the metric is not defined for them.
        """
        reference, decoded = check(reference), check(decoded)
        self.require_defined(reference)
        return self.score(self.prepare(reference), decoded)

    @classmethod
    def wanted(cls) -> Weights | None:
        """Return the file that is missing here and can be downloaded; None: there is no such."""
        return None

    def require_defined(self, reference: Image) -> None:
        """Raise ``Undefined`` for an image whose shortest side is under ``smallest_px``."""
        height, width = reference.shape[:2]
        if min(height, width) < self.smallest_px:
            raise Undefined(
                f"{self.title} is not defined under {self.smallest_px} pixels a side, found "
                f"{width}x{height}"
            )


def require_same_shape(shape: tuple[int, ...], decoded: Image) -> None:
    """Refuse a decoded image whose shape is not the reference's.

    Raises
    ------
    MetricError
        If the shapes differ.
    """
    if decoded.shape != shape:
        raise MetricError(
            f"cannot compare images of different shapes: reference {shape}, decoded {decoded.shape}"
        )


@dataclass(frozen=True, slots=True)
class Found:
    """A metric that exists here: its class, or the reason why there is none."""

    name: str
    source: str
    cls: type[Metric] | None
    reason: str = ""


def _load(name: str, source: str, load: Callable[[], object]) -> Iterator[Found]:
    """Yield the metrics of one plug-in, which may be broken in any way."""
    from bench.metrics import class_checks

    try:
        loaded = load()
        classes = _classes(loaded) if isinstance(loaded, ModuleType) else [loaded]
    except BaseException as error:  # a broken plug-in costs its own metric only
        if is_ctrl_c(error):
            raise
        yield Found(name, source, None, f"{type(error).__name__}: {one_line(error)}")
        return
    if not classes:
        yield Found(name, source, None, f"{source} defines no subclass of Metric with a name")
    for cls in classes:
        if not (isinstance(cls, type) and issubclass(cls, Metric) and hasattr(cls, "name")):
            yield Found(name, source, None, f"{source} is no subclass of Metric with a name")
        elif fault := class_checks.fault(cls):
            yield Found(name, source, None, fault)
        else:
            yield Found(cls.name, source, cls)


def _classes(module: ModuleType) -> list[type[Metric]]:
    """Return the concrete metrics that ``module`` itself defines, in their order."""
    return [
        member
        for member in vars(module).values()
        if inspect.isclass(member)
        and issubclass(member, Metric)
        and not inspect.isabstract(member)
        and member.__module__ == module.__name__
        and "name" in vars(member)
    ]


def try_out(value: str) -> None:
    """Load and make the metric of an entry point or file; it may end the process."""
    if value.startswith("/"):
        from bench.metrics import from_file

        from_file.load(value)()
    for point in entry_points(group=ENTRY_POINTS):
        if point.value == value:
            for item in _load(point.name, value, point.load):
                if item.cls is not None:
                    item.cls()


@cache
def discover() -> dict[str, Found]:
    """Return every metric by name: by rank, then by column.

    A metric whose name or column another one has already is unavailable, with that reason.
    """
    from bench.metrics import from_file

    candidates: list[Found] = []
    for path in sorted(_FOLDER.glob("*.py")):
        if not path.stem.startswith("_") and path.stem not in _HELPERS:
            load = partial(importlib.import_module, f"{__name__}.{path.stem}")
            candidates += _load(path.stem, f"metrics/{path.stem}", load)
    points, named = list(entry_points(group=ENTRY_POINTS)), from_file.known()
    files = [word for word in named if word.startswith("/")]
    fatal = deadly([*(point.value for point in points), *files], f"{__name__}:try_out")
    for word in named:
        if reason := fatal.get(word):
            candidates.append(Found(word, word, None, reason))
        else:
            candidates += _load(word, word, partial(from_file.load, word))
    for point in points:
        source = f"{point.dist.name if point.dist else 'a package'} ({point.value})"
        if reason := fatal.get(point.value):
            candidates.append(Found(point.name, source, None, reason))
        else:
            candidates += _load(point.name, source, point.load)
    found: dict[str, Found] = {}
    taken = set(_TAKEN)
    for item in candidates:
        if item.cls is not None:
            forms = [item.cls.column, *([item.cls.decibels.column] if item.cls.decibels else [])]
            clash = taken.intersection(forms) or {item.name} & {*found, "bpp", "target"}
            if clash:
                reason = f"the name {min(clash)!r} is taken"
                broken = replace(item, cls=None, reason=reason)
                found.setdefault(f"{item.name} ({item.source})", broken)
                continue
            taken.update(forms)
        found[item.name if item.name not in found else f"{item.name} ({item.source})"] = item
    return dict(sorted(found.items(), key=_place))


def _place(entry: tuple[str, Found]) -> tuple[int, str]:
    name, item = entry
    return (item.cls.rank, item.cls.column) if item.cls else (Metric.rank, name)


def families() -> dict[str, list[str]]:
    """Return family -> names of its metrics, first choice first."""
    found: dict[str, list[str]] = {}
    for name, item in discover().items():
        if item.cls is not None and item.cls.family:
            found.setdefault(item.cls.family, []).append(name)
    return found


def names() -> list[str]:
    """Return the words that ``--metric`` takes: every metric and every family."""
    return [*discover(), *(word for word in families() if word not in discover())]


def default_names() -> list[str]:
    """Return the words of the metrics that ``bench all`` computes when none is named."""
    chosen = [item.cls for item in discover().values() if item.cls and item.cls.in_default_run]
    return list(dict.fromkeys(cls.family or cls.name for cls in chosen))


def basic_names() -> list[str]:
    """Return the metrics that are in every file: of the default run those of no family."""
    found, groups = discover(), families()
    names = [name for name in default_names() if name not in groups]
    return [name for name in names if (cls := found[name].cls) and cls.in_every_file]


def members(name: str) -> list[Found]:
    """Return the metric of that name, or those of the family, first choice first.

    Raises
    ------
    UsageError
        If no metric has that name.
    """
    found, groups = discover(), families()
    word = name if name in found or name in groups else name.replace("-", "_")
    if word not in found and word not in groups:
        raise UsageError(f"unknown metric {name!r}", suggest(word, ["bpp", *names()]))
    return [found[word]] if word in found else [found[member] for member in groups[word]]


def create(name: str) -> Metric:
    """Return the metric, or the first of the family that works here, called ``name``.

    Raises
    ------
    UsageError
        If no metric has that name.
    MetricError
        If it cannot be computed here, with the reason and the remedy.
    """
    choices = members(name)
    if len(choices) == 1:
        return _created(choices[0])
    reasons = []
    for item in choices:
        try:
            return _created(item)
        except MetricError as error:
            reasons.append(error)
    why = "; ".join(error.what for error in reasons)
    raise MetricError(f"no metric of {name} can be computed here: {why}", reasons[0].next_step)


def _created(item: Found) -> Metric:
    if item.cls is None:
        raise MetricError(f"metric {item.name} is unavailable: {item.reason}")
    try:
        metric = item.cls()
        version, again = metric.version, metric.version
    except BenchError:
        raise
    except BaseException as error:  # a stranger's constructor may raise anything
        if is_ctrl_c(error):
            raise
        raise MetricError(
            f"metric {item.name} is unavailable: {type(error).__name__}: {one_line(error)}"
        ) from error
    if not isinstance(version, str) or version != again or one_line(version) != version:
        raise MetricError(
            f"metric {item.name} is unavailable: its version must be one text that stays, found "
            f"{one_line(repr(version), 200)}"
        )
    return metric

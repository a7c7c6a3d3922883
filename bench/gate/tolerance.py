"""How much may change: TOML defaults of the package, overridden by a file beside the baseline."""

from __future__ import annotations

import fnmatch
import tomllib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from bench import registry
from bench.errors import UsageError, suggest
from bench.gate import scores as score_of

FILE_NAME = "tolerances.toml"
_LISTS = ("libraries", "listed")
_DEFAULTS = Path(__file__).with_name(FILE_NAME)

_SANE = {
    "size_percent": 2.0,
    "size_bytes": 64,
    "psnr_db": 0.1,
    "ms_ssim_db": 0.2,
    "moved_db": 0.5,
    "moved_percent": 5.0,
    "bd_rate_percent": 2.0,
    "bd_rate_image_percent": 5.0,
    "point_percent": 10.0,
    "point_db": 0.5,
}
_SANE_SPEED = 4.0
"""Over these a tolerance is reported on every run: it can hide a regression."""


@dataclass(frozen=True, slots=True)
class Tolerance:
    """What one codec may change without a failure.

    Attributes
    ----------
    size_percent, size_bytes
        Growth of a file at the same setting and quality; the larger of the two counts.
    psnr_db, ms_ssim_db
        Loss of an image at the same setting and size.
    moved_db, moved_percent
        Slide of a setting along its image's own curve; the size counts where nothing is gained.
    bd_rate_percent, bd_rate_image_percent
        Growth of the BD-rate: mean over images, and of any one image.
    point_percent, point_db
        Growth and loss of any one point where the image's BD-rate is better.
    libraries
        Packages that do the codec's work: another version makes the verdict ``environment``.
    listed
        Packages that it runs on, which are listed and excuse nothing; ``cpu`` is the processor.
    own
        Whether its version is this project's own doing, so that a new one excuses nothing.
    scores
        Column of another metric -> loss of an image at the same setting and size; where it is not
        given, one unit of the last digit that tables show.
    """

    size_percent: float = 0.0
    size_bytes: float = 0.0
    psnr_db: float = 0.01
    ms_ssim_db: float = 0.05
    moved_db: float = 0.05
    moved_percent: float = 1.0
    bd_rate_percent: float = 0.1
    bd_rate_image_percent: float = 0.5
    point_percent: float = 2.0
    point_db: float = 0.1
    libraries: tuple[str, ...] = ()
    listed: tuple[str, ...] = ()
    own: bool = False
    scores: Mapping[str, float] = field(default_factory=dict)

    def same_size(self, before_bytes: int, after_bytes: int) -> bool:
        """Return whether two sizes are equal within the tolerance."""
        allowed = max(self.size_bytes, before_bytes * self.size_percent / 100)
        return abs(after_bytes - before_bytes) <= allowed

    def quality(self, column: str) -> float:
        """Return what an image may lose in a score, in the unit of its quality."""
        named = {"psnr_db": self.psnr_db, "ms_ssim": self.ms_ssim_db}
        return {**named, **self.scores}.get(column, score_of.of(column).tolerance)

    def moved(self, column: str) -> float:
        """Return how far a setting may slide in a score along its image's own curve."""
        return self.moved_db if score_of.of(column).unit else 5 * self.quality(column)

    def point(self, column: str) -> float:
        """Return what any one point may lose in a score where the image's BD-rate is better."""
        tolerance = self.quality(column)
        return max(self.point_db if score_of.of(column).unit else 10 * tolerance, tolerance)

    def wide(self) -> list[str]:
        """Return the tolerances that are so wide that they may hide anything, in words."""
        found = [(name, getattr(self, name), bound) for name, bound in _SANE.items()]
        found += [(name, v, 100 * score_of.of(name).tolerance) for name, v in self.scores.items()]
        return [
            f"{name} = {value:g} (over {bound:g})" for name, value, bound in found if value > bound
        ]


@dataclass(frozen=True, slots=True)
class Tolerances:
    """The tolerance of every codec, and of speed.

    Attributes
    ----------
    default
        Of codecs that no pattern names.
    codecs
        Pattern -> what is overridden.
    same_cpu, other_cpu
        Factors by which a speed ratio may grow.
    """

    default: Mapping[str, Any]
    codecs: Mapping[str, Mapping[str, Any]]
    same_cpu: float
    other_cpu: float

    def of(self, codec: str) -> Tolerance:
        """Return the tolerance of a codec: the default, then patterns from short to long."""
        values: dict[str, Any] = dict(self.default)
        for pattern in sorted(self.codecs, key=len):
            if fnmatch.fnmatchcase(codec, pattern):
                values |= self.codecs[pattern]
        values |= {name: tuple(values[name]) for name in _LISTS if name in values}
        return Tolerance(**values)

    def wide(self, codecs: Iterable[str]) -> list[str]:
        """Return what is so wide, for these codecs and for speed, that it may hide anything."""
        found: dict[str, list[str]] = {}
        for codec in dict.fromkeys(codecs):
            for words in self.of(codec).wide():
                found.setdefault(words, []).append(codec)
        told = [f"{words} for {', '.join(names)}" for words, names in found.items()]
        for name, value in (("same_cpu", self.same_cpu), ("other_cpu", self.other_cpu)):
            if value > _SANE_SPEED:
                told.append(f"speed.{name} = {value:g} (over {_SANE_SPEED:g})")
        return [f"tolerance so wide that it can hide a regression: {words}" for words in told]


def load(baseline: Path, codecs: Collection[str] = ()) -> Tolerances:
    """Return the package's tolerances, overridden by ``tolerances.toml`` beside ``baseline``.

    Parameters
    ----------
    baseline
        The baseline's file, or the folder of a run.
    codecs
        Those of the baseline; a pattern must fit one of them or a codec that is known here.

    Raises
    ------
    UsageError
        If a file is no TOML, or has a key, a value or a codec that means nothing here.
    """
    folder = baseline if baseline.is_dir() else baseline.parent
    merged = _read(_DEFAULTS)
    own = folder / FILE_NAME
    if own.is_file():
        override = _read(own)
        _check_codecs(own, override["codec"], codecs)
        merged["default"] |= override["default"]
        merged["speed"] |= override["speed"]
        for pattern, values in override["codec"].items():
            merged["codec"][pattern] = {**merged["codec"].get(pattern, {}), **values}
    return Tolerances(
        default=merged["default"],
        codecs=merged["codec"],
        same_cpu=float(merged["speed"]["same_cpu"]),
        other_cpu=float(merged["speed"]["other_cpu"]),
    )


def _read(path: Path) -> dict[str, Any]:
    """Return the three tables of a file, checked; those that it does not have are empty."""
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"{path}: {error}", "Correct or remove it.") from error
    _check(path, content.keys(), {"default", "codec", "speed"})
    tables = {name: _table(path, name, content) for name in ("default", "codec", "speed")}
    _check_values(path, "default", tables["default"])
    for pattern in tables["codec"]:
        _check_values(path, f"codec.{pattern}", _table(path, pattern, tables["codec"]))
    _check(path, tables["speed"].keys(), {"same_cpu", "other_cpu"})
    for name, value in tables["speed"].items():
        _check_number(path, f"speed.{name}", value, lowest=1)
    return tables


def _table(path: Path, name: str, content: Mapping[str, Any]) -> dict[str, Any]:
    table = content.get(name, {})
    if not isinstance(table, dict):
        raise UsageError(f"{path}: {name} must be a table, found {table!r}", f"Write [{name}].")
    return table


def _check(path: Path, found: Iterable[str], known: set[str]) -> None:
    unknown = sorted(set(found) - known)
    if unknown:
        raise UsageError(
            f"{path} has the unknown key {unknown[0]!r}", f"Known: {', '.join(sorted(known))}."
        )


def _check_codecs(path: Path, patterns: Iterable[str], codecs: Collection[str]) -> None:
    """Refuse a pattern that fits no codec: it would be a tolerance that nobody has."""
    known = sorted({*codecs, *registry.discover()})
    for pattern in patterns:
        if not any(fnmatch.fnmatchcase(codec, pattern) for codec in known):
            raise UsageError(f"{path}: [codec.{pattern}] fits no codec", suggest(pattern, known))


def _check_values(path: Path, table: str, values: Mapping[str, Any]) -> None:
    _check(path, values.keys(), {f.name for f in fields(Tolerance)})
    for name, value in values.items():
        where = f"{table}.{name}"
        if name == "scores":
            for column, number in _table(path, name, values).items():
                score_of.of(column)
                _check_number(path, f"{where}.{column}", number)
        elif name == "own":
            if not isinstance(value, bool):
                raise UsageError(f"{path}: {where} must be true or false, found {value!r}")
        elif name not in _LISTS:
            _check_number(path, where, value)
        elif not (isinstance(value, list) and all(isinstance(v, str) for v in value)):
            raise UsageError(f"{path}: {where} must be a list of names, found {value!r}")


def _check_number(path: Path, where: str, value: object, lowest: int = 0) -> None:
    """Refuse what is no number from ``lowest``; NaN is none, infinity is one."""
    legal = isinstance(value, int | float) and not isinstance(value, bool) and value >= lowest
    if not legal:
        raise UsageError(f"{path}: {where} must be a number from {lowest}, found {value!r}")

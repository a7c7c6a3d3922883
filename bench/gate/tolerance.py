"""How much may change: TOML defaults of the package, overridden by a file beside the baseline."""

from __future__ import annotations

import fnmatch
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from bench.errors import UsageError

FILE_NAME = "tolerances.toml"
_LISTS = ("libraries", "told")
_DEFAULTS = Path(__file__).with_name(FILE_NAME)


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
    told
        Packages that it runs on, which are told and excuse nothing; ``cpu`` is the processor.
    own
        Whether its version is this project's own doing, so that a new one excuses nothing.
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
    told: tuple[str, ...] = ()
    own: bool = False

    def same_size(self, before_bytes: int, after_bytes: int) -> bool:
        """Return whether two sizes are equal within the tolerance."""
        allowed = max(self.size_bytes, before_bytes * self.size_percent / 100)
        return abs(after_bytes - before_bytes) <= allowed

    def quality_db(self, score: str) -> float:
        """Return the tolerance of a score in dB."""
        return self.psnr_db if score == "psnr_db" else self.ms_ssim_db


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


def load(baseline: Path) -> Tolerances:
    """Return the package's tolerances, overridden by ``tolerances.toml`` beside ``baseline``.

    Parameters
    ----------
    baseline
        The baseline's file, or the folder of a run.

    Raises
    ------
    UsageError
        If a file is no TOML, or has a key or a value that means nothing here.
    """
    folder = baseline if baseline.is_dir() else baseline.parent
    merged = _read(_DEFAULTS)
    own = folder / FILE_NAME
    if own.is_file():
        override = _read(own)
        merged["default"] |= override.get("default", {})
        merged["speed"] |= override.get("speed", {})
        for pattern, values in override.get("codec", {}).items():
            merged["codec"][pattern] = {**merged["codec"].get(pattern, {}), **values}
    return Tolerances(
        default=merged["default"],
        codecs=merged["codec"],
        same_cpu=float(merged["speed"]["same_cpu"]),
        other_cpu=float(merged["speed"]["other_cpu"]),
    )


def _read(path: Path) -> dict[str, Any]:
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"{path}: {error}", "Correct or remove it.") from error
    _check(path, content.keys(), {"default", "codec", "speed"})
    _check_values(path, content.get("default", {}))
    for values in content.get("codec", {}).values():
        _check_values(path, values)
    _check(path, content.get("speed", {}).keys(), {"same_cpu", "other_cpu"})
    return content


def _check(path: Path, found: Any, known: set[str]) -> None:  # noqa: ANN401 - any set of keys
    unknown = sorted(set(found) - known)
    if unknown:
        raise UsageError(
            f"{path} has the unknown key {unknown[0]!r}", f"Known: {', '.join(sorted(known))}."
        )


def _check_values(path: Path, values: Mapping[str, Any]) -> None:
    _check(path, values.keys(), {f.name for f in fields(Tolerance)})
    for name, value in values.items():
        if name in _LISTS:
            wanted = "a list of names"
            legal = isinstance(value, list) and all(isinstance(v, str) for v in value)
        elif name == "own":
            wanted, legal = "true or false", isinstance(value, bool)
        else:
            wanted = "a number from 0"
            legal = isinstance(value, int | float) and not isinstance(value, bool) and value >= 0
        if not legal:
            raise UsageError(f"{path}: {name} must be {wanted}, found {value!r}")

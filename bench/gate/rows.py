"""What is compared: one row per image, codec and setting, with everything that identifies it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from bench.codec import Setting

CellKey = tuple[str, str, str, str]
"""Dataset, image, codec and setting as JSON: what must agree for two rows to be compared."""

SCORES = ("psnr_db", "ms_ssim")
"""The scores that the gate judges, as columns."""


@dataclass(frozen=True, slots=True)
class Row:
    """One encoding of one image with its scores.

    Attributes
    ----------
    dataset, image
        Names, as the tables show them.
    codec
        Name of the codec alone; options are part of ``setting``.
    curve
        What ``--codec`` would say for the curve: the name, with options that are not the usual.
    setting
        Canonical JSON.
    version
        Of the library that did the work, as the codec told it.
    pixels_sha256
        Of the source's RGB bytes; empty where unknown.
    size_bytes
        Of the whole file; None where the cell failed.
    psnr_db, ms_ssim
        Scores; None where not defined or not measured.
    bitstream_sha256, decoded_sha256
        Of the file, and of the decoded RGB bytes; empty where unknown.
    error
        Why the cell failed; usually empty.
    """

    dataset: str
    image: str
    codec: str
    curve: str
    setting: str
    version: str
    width: int
    height: int
    pixels_sha256: str = ""
    size_bytes: int | None = None
    psnr_db: float | None = None
    ms_ssim: float | None = None
    bitstream_sha256: str = ""
    decoded_sha256: str = ""
    error: str = ""

    @property
    def key(self) -> CellKey:
        """What must agree with the other row."""
        return self.dataset, self.image, self.codec, self.setting

    @property
    def bpp(self) -> float:
        """Bits per pixel of the whole file; NaN where the cell failed."""
        if self.size_bytes is None:
            return math.nan
        return 8 * self.size_bytes / (self.width * self.height)

    def quality_db(self, score: str) -> float | None:
        """Return PSNR, or MS-SSIM as -10 log10(1 - value), in dB; ``inf`` for equal images."""
        value: float | None = getattr(self, score)
        if value is None or score == "psnr_db":
            return value
        return math.inf if value >= 1 else -10 * math.log10(1 - value)

    def with_decoded(self, decoded_sha256: str) -> Row:
        """Return a copy that knows its decoded pixels."""
        return replace(self, decoded_sha256=decoded_sha256)


COLUMNS = tuple(f.name for f in fields(Row))


@dataclass(frozen=True, slots=True)
class Locked:
    """Rows with the environment that made them: a baseline, or a measurement.

    Attributes
    ----------
    rows
        By key, in order.
    environment
        See ``environment.record``; parts may be missing where an older format held less.
    ladders
        Curve -> JSON of every setting of the codec's whole ladder when the rows were made.
    speed
        Codec -> ratios, see ``speed``; empty where not measured.
    source
        Where it was read from, for messages.
    """

    rows: Mapping[CellKey, Row]
    environment: Mapping[str, Any]
    ladders: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    speed: Mapping[str, Any] = field(default_factory=dict)
    source: str = ""

    @property
    def datasets(self) -> list[str]:
        """Names of datasets, in order."""
        return list(dict.fromkeys(row.dataset for row in self.rows.values()))

    def curves(self) -> dict[tuple[str, str], list[Row]]:
        """Return (dataset, curve) -> rows, in order."""
        found: dict[tuple[str, str], list[Row]] = {}
        for row in self.rows.values():
            found.setdefault((row.dataset, row.curve), []).append(row)
        return found

    def only(self, rows: Iterable[Row]) -> Locked:
        """Return the same with these rows alone."""
        return replace(self, rows=by_key(rows))


def by_key(rows: Iterable[Row]) -> dict[CellKey, Row]:
    """Return the rows by key."""
    return {row.key: row for row in rows}


def rungs(rows: Iterable[Row]) -> list[str]:
    """Return the settings of one curve from low to high mean rate."""
    rates: dict[str, list[float]] = {}
    for row in rows:
        rates.setdefault(row.setting, []).append(row.bpp)
    known = {s: [v for v in values if not math.isnan(v)] for s, values in rates.items()}
    return sorted(known, key=lambda s: sum(known[s]) / len(known[s]) if known[s] else math.inf)


def short(setting: str, others: Iterable[str]) -> str:
    """Return a setting in few words: only what differs along its curve, ``quality=30``.

    Parameters
    ----------
    setting
        JSON.
    others
        The settings of the same curve.
    """
    mine = Setting.from_json(setting)
    rest = [Setting.from_json(other) for other in others]
    moving = [k for k in mine if any(k in o and o[k] != mine[k] for o in rest)]
    words = [f"{k}={mine[k]}" for k in (moving or mine)]
    return ", ".join(words) or "its one setting"

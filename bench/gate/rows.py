"""What is compared: one row per image, codec and setting, with everything that identifies it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from bench.codec import Setting
from bench.gate import scores

CellKey = tuple[str, str, str, str]
"""Dataset, image, codec and setting as JSON: what must agree for two rows to be compared."""

BEFORE_SCORES = (
    "dataset",
    "image",
    "codec",
    "curve",
    "setting",
    "version",
    "width",
    "height",
    "pixels_sha256",
    "size_bytes",
)
AFTER_SCORES = ("bitstream_sha256", "decoded_sha256", "error")
"""The columns of a baseline ahead of the scores and behind them."""


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
        Of the library that did the work, as the codec reports it.
    pixels_sha256
        Of the source's RGB bytes; empty where unknown.
    size_bytes
        Of the whole file; None where the cell failed.
    scores
        Column -> value; None where it is not defined or was not measured.
    undefined
        Column -> why its metric is not defined for this image.
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
    scores: Mapping[str, float | None] = field(default_factory=dict)
    undefined: Mapping[str, str] = field(default_factory=dict)
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

    def quality(self, column: str) -> float | None:
        """Return a score so that more is better, in dB where it has decibels; None: there is none.

        ``inf`` stands for equal images.
        """
        value = self.scores.get(column)
        if value is None or self.fault(column):
            return None
        return scores.of(column).quality(value)

    def fault(self, column: str) -> str:
        """Return why there is no score in a column: missing, not a number, undefined and why."""
        score, value = scores.of(column), self.scores.get(column)
        if value is not None:
            return score.fault(value)
        if column in self.undefined:
            return f"undefined: {self.undefined[column]}"
        if min(self.width, self.height) < (smallest := score.form.smallest_px):
            return f"undefined: the image is under {smallest} pixels"
        return "missing"


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

    @property
    def columns(self) -> list[str]:
        """Names of the columns of scores, in order."""
        return list(dict.fromkeys(c for row in self.rows.values() for c in row.scores))

    def curves(self) -> dict[tuple[str, str], list[Row]]:
        """Return (dataset, curve) -> rows, in order."""
        found: dict[tuple[str, str], list[Row]] = {}
        for row in self.rows.values():
            found.setdefault((row.dataset, row.curve), []).append(row)
        return found


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

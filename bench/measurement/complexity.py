"""The complexity of codecs, as plain lines: one for each network of a codec.

``bench complexity`` writes them beside a run. Tables, plots and page take from there what was
counted on the very networks of the run's rows: the same label, which has the hash of the weights.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from bench import registry
from bench.analysis.common_images import succeeded
from bench.codec import Codec, Complexity, Setting
from bench.codec.complexity import HEIGHT, WIDTH
from bench.errors import BenchError
from bench.measurement.executor import apart
from bench.measurement.results import read_csv

STEM = "complexity"
COLUMNS: Mapping[str, str] = {
    "parameters": "parameters",
    "encoder_parameters": "encoder_parameters",
    "decoder_parameters": "decoder_parameters",
    "encoder_kmac": "encoder_kmac_per_pixel",
    "decoder_kmac": "decoder_kmac_per_pixel",
    "both_kmac": "kmac_per_pixel",
}
"""Number of a ``Complexity`` -> column of ``complexity.csv``."""


@dataclass(frozen=True, slots=True)
class Line:
    """What a network costs that some settings of a codec share.

    Attributes
    ----------
    codec, label
        As in the rows of a run.
    settings
        Canonical JSON of each, in the order of the ladder.
    found
        Its complexity.
    """

    codec: str
    label: str
    settings: tuple[str, ...]
    found: Complexity


def lines_of(codec: Codec, settings: Sequence[Setting]) -> list[Line]:
    """Return a line for each network of a codec; none for a codec without.

    Neighbours on the ladder that cost the same share a line. The networks of a stranger's codec
    are built in a process of their own.

    Raises
    ------
    CodecError
        If a network cannot be built.
    """
    if not codec.learned:
        return []
    texts = [setting.json for setting in settings]
    lines: list[Line] = []
    for text, found in zip(texts, apart(codec.name, _of_settings, codec.name, texts), strict=True):
        if found is None:
            continue
        if lines and lines[-1].found == found:
            lines[-1] = Line(lines[-1].codec, lines[-1].label, (*lines[-1].settings, text), found)
            continue
        setting = Setting.from_json(text)
        lines.append(Line(registry.spec_name(codec, setting), codec.label(setting), (text,), found))
    return lines


def _of_settings(name: str, settings: Sequence[str]) -> list[Complexity | None]:
    codec = registry.create(name)
    return [codec.complexity(Setting.from_json(text)) for text in settings]


@dataclass(frozen=True, slots=True)
class Costs:
    """What the networks behind some rows cost.

    Attributes
    ----------
    codecs
        Codec -> complexity at each of its settings; codecs that were not counted are not in it.
    missing
        Codec -> why what was counted of it is not of its rows.
    unusable
        Why nothing that was counted can be used; empty: it can, or nothing was.
    """

    codecs: Mapping[str, tuple[Complexity, ...]] = field(default_factory=dict)
    missing: Mapping[str, str] = field(default_factory=dict)
    unusable: str = ""

    def span(self, codec: str, name: str) -> tuple[float, float] | None:
        """Return the least and the most of a number of ``Complexity`` over a codec's settings.

        None where it is not known of all.
        """
        values = [getattr(found, name) for found in self.codecs.get(codec, ())]
        return (min(values), max(values)) if values and None not in values else None

    def mean(self, codec: str, name: str) -> float:
        """Return the mean of a number over a codec's settings, as its curve has; NaN: unknown."""
        if self.span(codec, name) is None:
            return math.nan
        values = [float(getattr(found, name)) for found in self.codecs[codec]]
        return sum(values) / len(values)

    @property
    def remarks(self) -> list[str]:
        """A sentence on what cannot be used, and one for each codec that is missing."""
        told = [f"complexity is left out: {self.unusable}"] if self.unusable else []
        return told + [
            f"the complexity of {codec} is left out: {reason}"
            for codec, reason in self.missing.items()
        ]


def of_rows(lines: Sequence[Line], rows: pd.DataFrame, unusable: str = "") -> Costs:
    """Return what belongs to some rows, which are of one run; ``lines, unusable = load(FOLDER)``.

    Where networks of one codec differ, each setting that was measured must have been counted; of a
    search, each that was found.
    """
    codecs: dict[str, tuple[Complexity, ...]] = {}
    missing: dict[str, str] = {}
    for codec, curve in succeeded(rows).groupby("codec", sort=True):
        counted = [line for line in lines if line.codec == codec]
        same = [line for line in counted if line.label in set(curve["label"])]
        known = {text: line.found for line in same for text in line.settings}
        settings = curve["setting"]
        if "found_setting" in curve:
            settings = curve["found_setting"].where(curve["found_setting"] != "", settings)
        texts = [str(text) for text in settings.unique()]
        alike = len(set(known.values())) == 1
        lacking = [text for text in texts if text not in known and not alike]
        if same and not lacking:
            codecs[str(codec)] = tuple(known.get(text, same[0].found) for text in texts)
        elif same:
            missing[str(codec)] = f"it was not counted at {lacking[0]}"
        elif counted:
            missing[str(codec)] = f"{counted[0].label} was counted, another network"
    return Costs(codecs, missing, unusable)


def load(folder: Path) -> tuple[list[Line], str]:
    """Return what ``bench complexity`` wrote into a folder, and why it cannot be used.

    Both are empty where it wrote nothing.
    """
    path = folder / f"{STEM}.csv"
    if not path.is_file():
        return [], ""
    try:
        return [_line(row) for row in read_csv(path).to_dict("records")], ""
    except BenchError as error:
        reason = error.what
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        reason = f"{path.name} is not what bench complexity writes ({error})"
    return [], reason


def _line(row: Mapping[Any, Any]) -> Line:
    if (row["width"], row["height"]) != (WIDTH, HEIGHT):
        raise ValueError(f"counted at {row['width']:g}x{row['height']:g}")
    numbers: dict[str, Any] = {name: float(row[column]) for name, column in COLUMNS.items()}
    for name, value in numbers.items():
        if math.isnan(value):
            numbers[name] = None
        elif not 0 <= value < math.inf:
            raise ValueError(f"{COLUMNS[name]} is {value:g}")
        elif name.endswith("parameters"):
            numbers[name] = int(value)
    found = Complexity(**numbers)
    if not found.parameters:
        raise ValueError("a network has no parameters")
    settings = tuple(Setting.from_json(text).json for text in _texts(row["settings"]))
    return Line(str(row["codec"]), str(row["label"]), settings, found)


def _texts(joined: str) -> Iterator[str]:
    """Yield each JSON text of several, which spaces separate."""
    start = 0
    while start < len(joined):
        _, end = json.JSONDecoder().raw_decode(joined, start)
        yield joined[start:end]
        start = end + 1

"""Speed, where ``bench throughput`` measured it beside the run: read, checked, made comparable.

The times of the rows of a run are not used: other work ran beside them. A speed is taken only if
codec, version, format, effort and options are those of the run's curve; all speeds of a page are
of one measurement on one machine and of the same number of cores.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from bench.analysis import summary
from bench.codec import Setting
from bench.errors import BenchError
from bench.measurement import untrusted
from bench.measurement.results import Results
from bench.measurement.rows import records, setting_of
from bench.output.coverage import count_text, varying_text
from bench.output.provenance import machine_of
from bench.output.table_formats import UP, significant

FILE = "throughput.json"
PLACES = (".", "throughput", "../throughput")
"""Where it is looked for, from the folder of the run."""

_WAYS = ("encode", "decode")
_TEXTS = ("dataset", "codec", "label", "setting", "device", "precision", "direction", "phase")
_COUNTS = ("processes", "threads", "batch")

Lanes = tuple[str, int, int]
"""Device, cores, images a batch: what speeds are compared under."""


@dataclass(frozen=True, slots=True)
class Speed:
    """How fast a codec is at one setting.

    Attributes
    ----------
    encode, decode
        Megapixels a second, memory to memory; NaN where it was not measured.
    setting
        Canonical JSON.
    bpp
        Of the files that were timed; NaN where it is unknown.
    precision
        Of a network; empty for the others.
    """

    encode: float
    decode: float
    setting: str
    bpp: float
    precision: str = ""

    def times(self, other: Speed, way: str) -> float:
        """Return how many times as fast as ``other`` this is, encoding or decoding."""
        mine, its = getattr(self, way), getattr(other, way)
        return mine / its if its and mine else math.nan


@dataclass(frozen=True, slots=True)
class Speeds:
    """What is known of one dataset.

    Attributes
    ----------
    codecs
        Codec -> its speed; empty where nothing fits the run.
    conditions
        What all of them were measured under, in words.
    missing
        Codec of the run -> why it has none.
    unusable
        Why there is none at all: a sentence; empty where some are known or none was measured.
    """

    codecs: Mapping[str, Speed] = field(default_factory=dict)
    conditions: str = ""
    missing: Mapping[str, str] = field(default_factory=dict)
    unusable: str = ""

    @property
    def reasons(self) -> dict[str, list[str]]:
        """Why there is no speed -> the codecs that it holds for."""
        found: dict[str, list[str]] = {}
        for codec, reason in self.missing.items():
            found.setdefault(reason, []).append(codec)
        return found


HEADS = (f"encode (MP/s) {UP}", f"decode (MP/s) {UP}")
"""Of the columns beside the rates of a codec."""


def texts(speeds: Speeds, codec: str) -> list[str]:
    """Return what stands below ``HEADS``; empty texts where it is unknown."""
    found = speeds.codecs.get(codec)
    return [significant(getattr(found, way)) if found else "" for way in _WAYS]


def notes(speeds: Speeds, names: Mapping[str, str], rows: pd.DataFrame) -> list[str]:
    """Return what the reader of these columns must know: at which setting, on what, what lacks.

    ``names`` is codec -> what it is called there, ``rows`` those of the run.
    """
    told = [speeds.unusable] if speeds.unusable else []
    if speeds.codecs:
        at = [
            f"{names.get(codec, codec)} at {_varying(one.setting, rows[rows['codec'] == codec])}"
            + (f" in {one.precision}" if one.precision else "")
            for codec, one in speeds.codecs.items()
        ]
        told.append(f"Speed: {'; '.join(at)}. {speeds.conditions}")
    return told + [
        f"No speed of {', '.join(names.get(codec, codec) for codec in codecs)}: {reason}."
        for reason, codecs in speeds.reasons.items()
    ]


def _varying(setting: str, curve: pd.DataFrame) -> str:
    """Return a setting in words, without what all points of a curve share."""
    known = [setting_of(row).json for row in records(curve[curve["bpp"].notna()])]
    return varying_text(setting, known)


def plain_name(dataset: str) -> str:
    """Return a dataset's name without its number of images: ``kodak`` of ``kodak (8 of 24)``."""
    return re.sub(r" \(\d+ of \d+\)$", "", dataset)


def load(folder: Path) -> tuple[dict[str, Any], str]:
    """Return what ``bench throughput`` wrote into or beside a run, and why it cannot be used.

    Both are empty where it wrote nothing.
    """
    for place in PLACES:
        path = (folder / place / FILE).resolve()
        try:
            found = untrusted.read_json(path)
            record = untrusted.check_record(found["record"], path)
            return {**record, "rows": _rows(found["rows"]), "bpp": _rates(found["quality"])}, ""
        except FileNotFoundError:
            continue
        except BenchError as error:
            return {}, f"Speed is left out: {error.what}."
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            return (
                {},
                f"Speed is left out: {path.name} is not what bench throughput writes: {error}.",
            )
    return {}, ""


def of_run(results: Results) -> dict[str, Speeds]:
    """Return the speeds that belong to each dataset of a run."""
    found, unusable = load(results.folder)
    return {
        str(name): Speeds(unusable=unusable)
        if unusable
        else of_dataset(found, rows, results.record)
        for name, rows in results.rows.groupby("dataset")
    }


def _rows(found: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Return the whole calls, one row each; a row that is none is refused."""
    lines = []
    for line in found:
        texts = {name: line[name] for name in _TEXTS}
        counts = {name: line[name] for name in _COUNTS}
        if not all(isinstance(text, str) for text in texts.values()):
            raise ValueError("a name is no text")
        if not all(isinstance(count, int) and count > 0 for count in counts.values()):
            raise ValueError("a count is no whole number")
        if texts["direction"] in _WAYS and texts["direction"] == texts["phase"]:
            speed = line["mp_per_s"]
            speed = math.nan if speed is None else float(speed)
            busy = line["busy"] is not False
            Setting.from_json(texts["setting"])
            lines.append({**texts, **counts, "mp_per_s": speed, "busy": busy})
    columns = [*_TEXTS, *_COUNTS, "mp_per_s", "busy"]
    return pd.DataFrame(lines, columns=columns)


def _rates(found: Sequence[Mapping[str, Any]]) -> dict[tuple[str, str, str], float]:
    """Return (dataset, codec, setting) -> bpp of the files that were timed."""
    return {
        (str(one["dataset"]), str(one["codec"]), str(one["setting"])): float(one["bpp"])
        for one in found
        if one["bpp"] is not None
    }


def of_dataset(found: Mapping[str, Any], rows: pd.DataFrame, record: Mapping[str, Any]) -> Speeds:
    """Return the speeds that belong to one dataset's rows.

    Parameters
    ----------
    found
        What ``load`` returned.
    rows, record
        Of the run, one dataset.
    """
    if not found or rows.empty:
        return Speeds()
    name = str(rows["dataset"].iloc[0])
    measured = found["rows"]
    of_name = [plain_name(str(d)) == plain_name(name) for d in measured["dataset"]]
    mine = measured[of_name]
    if mine.empty:
        return Speeds(unusable=f"Speed was measured on other images than {plain_name(name)}.")
    timed = name if name in set(mine["dataset"]) else str(mine["dataset"].iloc[0])
    if timed == name and _pixels(found, name) != _pixels(record, name):
        return Speeds(unusable=f"Speed was measured on other images that are called {name}.")
    mine = mine[mine["dataset"] == timed]
    fitting: list[pd.DataFrame] = []
    missing: dict[str, str] = {}
    for codec, curve in rows.groupby("codec", sort=True):
        lines = mine[mine["codec"] == codec]
        kept = lines[[_misfit(line, curve) == "" for line in records(lines)]]
        if kept.empty:
            reasons = dict.fromkeys(_misfit(line, curve) for line in records(lines))
            missing[str(codec)] = "; ".join(reasons) or "it was not measured"
        else:
            fitting.append(kept)
    if not fitting:
        return Speeds(missing=missing)
    return _comparable(pd.concat(fitting), found, timed, missing)


def _pixels(record: Mapping[str, Any], dataset: str) -> object:
    return ((record.get("datasets") or {}).get(dataset) or {}).get("pixels_sha256")


def _misfit(line: Mapping[str, Any], curve: pd.DataFrame) -> str:
    """Return why a speed is not one of a curve of the run; empty: it is."""
    if line["label"] not in set(curve["label"]):
        return f"it was measured with {line['label']}"
    if line["busy"]:
        return "other work ran beside it"
    if not (math.isfinite(line["mp_per_s"]) and line["mp_per_s"] > 0):
        return "it has no value"
    timed = summary.parse_setting(str(line["setting"]))
    measured = curve[curve["bpp"].notna()].drop_duplicates(_setting_columns(curve))
    known = [setting_of(row) for row in records(measured)]
    if any(set(one) != set(timed) for one in known):
        return "its setting has other names"
    for name, value in timed.items():
        values = [one[name] for one in known]
        numbers = [v for v in (*values, value) if isinstance(v, int | float)]
        if value in values:
            continue
        rising = len(numbers) == len(values) + 1 and len(set(numbers)) > 2
        if not (rising and min(numbers[:-1]) <= numbers[-1] <= max(numbers[:-1])):
            return f"it was measured at {name} {value}"
    return ""


def _setting_columns(curve: pd.DataFrame) -> list[str]:
    return [name for name in ("setting", "found_setting") if name in curve]


def _comparable(
    kept: pd.DataFrame, found: Mapping[str, Any], dataset: str, missing: dict[str, str]
) -> Speeds:
    """Return the speeds of the conditions that most codecs were measured under."""
    kept = kept.assign(lanes=pd.Series(map(_lanes, records(kept)), index=kept.index))
    counts = kept.groupby("lanes")["codec"].nunique()
    best = min(counts.index, key=lambda one: (-counts[one], one[0] != "cpu", one[1], one[2]))
    codecs = {}
    for codec, lines in kept[kept["lanes"] == best].groupby("codec", sort=True):
        bpp = {s: found["bpp"].get((dataset, codec, s), math.nan) for s in set(lines["setting"])}
        middle = sorted(bpp, key=lambda s: (bpp[s], s))[len(bpp) // 2]
        chosen = lines[lines["setting"] == middle]
        speeds = chosen.groupby("direction")["mp_per_s"].max()
        encode, decode = (float(speeds.get(way, math.nan)) for way in _WAYS)
        precision = str(chosen["precision"].iloc[0])
        codecs[str(codec)] = Speed(encode, decode, middle, bpp[middle], precision)
    apart = set(map(str, kept["codec"])) - set(codecs)
    missing |= dict.fromkeys(sorted(apart), f"it was not measured on {_words(best)}")
    return Speeds(codecs, _conditions(found, dataset, best), missing)


def _lanes(line: Mapping[str, Any]) -> Lanes:
    return str(line["device"]), int(line["processes"]) * int(line["threads"]), int(line["batch"])


def _words(lanes: Lanes) -> str:
    device, cores, batch = lanes
    where = f"{count_text(cores, 'core')}" if device == "cpu" else f"the device {device}"
    return where + (f", {batch} images a batch" if batch > 1 else "")


def _conditions(found: Mapping[str, Any], dataset: str, lanes: Lanes) -> str:
    """Return on what all speeds were measured, in a sentence."""
    about = (found.get("datasets") or {}).get(dataset) or {}
    images = about.get("images")
    images = len(images) if isinstance(images, Mapping) else images
    parts = [
        f"Measured on {_words(lanes)} of {machine_of(found) or 'a machine that is not recorded'}",
        f"{count_text(images, 'image')} of {plain_name(dataset)}" if images else dataset,
        f"{found.get('date') or 'date not recorded'}",
        f"bench {(found.get('versions') or {}).get('bench', 'unknown')}",
        f"commit {found.get('commit') or 'unknown'}",
    ]
    return ", ".join(parts) + ". Memory to memory, alone on the machine, apart from the rates."

"""What changed between two runs: cells, scores, rates at equal quality, versions, images.

Cells are compared by dataset, image, codec and setting. A score has changed where it differs by
more than a tenth of the last digit that tables show: the same file has scores that differ by less
from one processor to another. Times are not compared: they depend on the machine.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.analysis import summary
from bench.analysis.bjontegaard import Delta
from bench.metrics.columns import column, curve_columns, metric_columns

CELL = ["dataset", "image", "codec", "setting"]
"""What identifies a cell of both runs."""

SAME, CHANGED, REMOVED, ADDED = "same", "changed", "only in the first", "only in the second"


def tolerance(metric: str) -> float:
    """Return by how much a score may differ and count as the same."""
    return 0.1 * 10.0 ** -column(metric).digits


@dataclass(frozen=True, slots=True)
class Changes:
    """What changed from a first run to a second.

    Attributes
    ----------
    cells
        ``dataset, image, codec, setting, state, why``, then of each run ``bytes``, ``bpp``,
        ``error`` and the metrics that both have, ending in ``_first`` and ``_second``. ``state`` is
        one of the four words; ``why`` says what differs.
    codecs
        ``dataset, codec``, a count of each state (``same, changed, removed, added``), then over the
        cells that succeeded in both: ``bpp_percent``, the change of the mean rate, and the mean
        change of each metric.
    rates
        ``dataset, codec, metric, bd_rate_percent, ci_low, ci_high, overlap_percent, images, note``:
        the second run against the first, of each codec that changed.
    versions
        Package or codec -> its version in the first and in the second; empty where there is none.
    remarks
        Sentences on images, metrics and what else could not be compared.
    """

    cells: pd.DataFrame
    codecs: pd.DataFrame
    rates: pd.DataFrame
    versions: Mapping[str, tuple[str, str]]
    remarks: tuple[str, ...]

    @property
    def any(self) -> bool:
        """Whether a result differs: a cell, its bytes, a score, or the images behind it."""
        return bool(self.remarks) or bool((self.cells["state"] != SAME).any())


def changes(
    first: pd.DataFrame,
    second: pd.DataFrame,
    first_record: Mapping[str, Any],
    second_record: Mapping[str, Any],
) -> Changes:
    """Return what changed between the rows and records of two runs.

    Parameters
    ----------
    first, second
        One row per measured cell, the columns of ``rows.csv``.
    first_record, second_record
        The run records.
    """
    first, second = _whole_names(first), _whole_names(second)
    one, two = metric_columns(first), metric_columns(second)
    metrics = [name for name in one if name in two]
    remarks = [f"only the first run has {column(name).words}" for name in one if name not in two]
    remarks += [f"only the second run has {column(name).words}" for name in two if name not in one]
    remarks += _metric_versions(first_record, second_record)
    other = other_pictures(first_record, second_record)
    remarks += [
        f"{dataset}: {image} holds other pixels in the second run" for dataset, image in other
    ]
    cells = _cells(first, second, metrics, other)
    changed = cells[cells["state"] != SAME]
    pairs = list(dict.fromkeys(zip(changed["dataset"], changed["codec"], strict=True)))
    rates = [line for pair in pairs for line in _rates(first, second, *pair, metrics, other)]
    texts, numbers = ("dataset", "codec", "metric"), ("bd_rate_percent", "ci_low", "ci_high")
    return Changes(
        cells,
        _codecs(cells, metrics),
        pd.DataFrame(rates, columns=[*texts, *numbers, "overlap_percent", "images", "note"]),
        _versions(first, second, first_record, second_record),
        tuple(remarks),
    )


def whole_name(dataset: str) -> str:
    """Return ``kodak`` for ``kodak (6 of 24)``, as an incomplete dataset is called."""
    return re.sub(r" \(\d+ of \d+\)$", "", dataset)


def _whole_names(rows: pd.DataFrame) -> pd.DataFrame:
    """Return rows by the names of whole datasets, so that a part is compared with the whole."""
    return rows.assign(dataset=[whole_name(str(name)) for name in rows["dataset"]])


def other_pictures(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return (dataset, image) of the pictures that two records know by other pixels."""
    one, two = _pixels(first), _pixels(second)
    return sorted(key for key in one.keys() & two.keys() if one[key] != two[key])


def _pixels(record: Mapping[str, Any]) -> dict[tuple[str, str], str]:
    """Return (dataset, image) -> sha256 of the pixels, as far as a record has them."""
    found = {}
    for name, about in (record.get("datasets") or {}).items():
        images = about.get("images")
        for image, digest in images.items() if isinstance(images, dict) else ():
            found[whole_name(name), str(image)] = str(digest)
    return found


def _metric_versions(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[str]:
    one, two = first.get("scores") or {}, second.get("scores") or {}
    return [
        f"{name} was computed by version {one[name]['version']} and by {two[name]['version']}"
        for name in one
        if name in two and one[name]["version"] != two[name]["version"]
    ]


def _cells(
    first: pd.DataFrame,
    second: pd.DataFrame,
    metrics: list[str],
    other: list[tuple[str, str]],
) -> pd.DataFrame:
    """Return every cell of either run with its state."""
    kept = [*CELL, "bytes", "bpp", "error", "bitstream_sha256", *metrics]
    parts = [
        rows.assign(error=summary.error_text(rows)).reindex(columns=kept)
        for rows in (first, second)
    ]
    both = parts[0].merge(
        parts[1], on=CELL, how="outer", suffixes=("_first", "_second"), indicator=True
    )
    pictures = set(other)
    states = [_state(line, metrics, pictures) for line in both.to_dict("records")]
    both["state"], both["why"] = [s for s, _ in states], [why for _, why in states]
    numbers = ["bytes", "bpp", "error", *metrics]
    shown = [f"{name}_{run}" for name in numbers for run in ("first", "second")]
    return summary.sort_rows(both.assign(label=""))[[*CELL, "state", "why", *shown]]


def _state(
    line: Mapping[Any, Any], metrics: list[str], other: set[tuple[str, str]]
) -> tuple[str, str]:
    """Return the state of a cell and what differs."""
    if line["_merge"] != "both":
        return (REMOVED if line["_merge"] == "left_only" else ADDED), ""
    if (line["dataset"], line["image"]) in other:
        return CHANGED, "other pixels of the image"
    if line["error_first"] or line["error_second"]:
        if line["error_first"] and line["error_second"]:
            return SAME, ""
        return CHANGED, "now fails" if line["error_second"] else "no longer fails"
    why = []
    if _differs(line["bytes_first"], line["bytes_second"], 0):
        why.append("size")
    elif _text(line["bitstream_sha256_first"]) != _text(line["bitstream_sha256_second"]):
        why.append("bytes, at the same size")
    why += [
        column(name).words
        for name in metrics
        if _differs(line[f"{name}_first"], line[f"{name}_second"], tolerance(name))
    ]
    return (CHANGED, ", ".join(why)) if why else (SAME, "")


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _differs(one: float, two: float, most: float) -> bool:
    """Return whether two numbers differ by more than ``most``; NaN equals NaN alone."""
    if math.isnan(one) or math.isnan(two):
        return math.isnan(one) != math.isnan(two)
    return one != two and not abs(one - two) <= most


def _codecs(cells: pd.DataFrame, metrics: list[str]) -> pd.DataFrame:
    """Return a line for each codec: how many cells are in each state, and the mean changes."""
    records = []
    for (dataset, codec), part in cells.groupby(["dataset", "codec"], sort=True):
        counts = part["state"].value_counts()
        good = part[part["bpp_first"].notna() & part["bpp_second"].notna()]
        line: dict[str, object] = {"dataset": dataset, "codec": codec}
        names = ("same", "changed", "removed", "added")
        states = (SAME, CHANGED, REMOVED, ADDED)
        line |= {n: int(counts.get(s, 0)) for n, s in zip(names, states, strict=True)}
        means = [float(good[f"bpp_{run}"].mean()) for run in ("first", "second")]
        line["bpp_percent"] = 100 * (means[1] / means[0] - 1) if len(good) else math.nan
        for name in metrics:
            line[name] = _mean_change(good, name)
        records.append(line)
    return pd.DataFrame(records)


def _mean_change(cells: pd.DataFrame, metric: str) -> float:
    one, two = (cells[f"{metric}_{run}"].to_numpy(dtype=float) for run in ("first", "second"))
    finite: NDArray[np.bool_] = np.isfinite(one) & np.isfinite(two)
    return float((two[finite] - one[finite]).mean()) if finite.any() else math.nan


def _rates(
    first: pd.DataFrame,
    second: pd.DataFrame,
    dataset: str,
    codec: str,
    metrics: list[str],
    other: list[tuple[str, str]],
) -> Iterator[tuple[str | float, ...]]:
    """Yield the BD-rate of a codec's second curve against its first, over the images of both."""
    spoilt = [image for name, image in other if name == dataset]
    parts = []
    for rows in (first, second):
        mine = rows[(rows["dataset"] == dataset) & (rows["codec"] == codec)]
        parts.append(mine[~mine["image"].isin(spoilt)])
    if any(part["bpp"].notna().sum() == 0 for part in parts):
        return
    one, two = (summary.comparable(part) for part in parts)
    shown = [name for name in curve_columns(parts[0]) if column(name).source in metrics]
    for metric in shown:
        curves = [summary.image_curves(kept, metric) for kept in (one, two)]
        images = len(set(curves[0]) & set(curves[1]))
        found = summary.delta(curves[0], curves[1], metric)
        yield (dataset, codec, metric, *_numbers(found), images, found.note)


def _numbers(found: Delta) -> list[float]:
    values = (found.bd_rate_percent, found.ci_low, found.ci_high, found.overlap_percent)
    return [math.nan if value is None else float(value) for value in values]


def _versions(
    first: pd.DataFrame,
    second: pd.DataFrame,
    first_record: Mapping[str, Any],
    second_record: Mapping[str, Any],
) -> dict[str, tuple[str, str]]:
    """Return what has another version: packages, the labels of codecs, the commit."""
    found = []
    for rows, record in ((first, first_record), (second, second_record)):
        known = {str(k): str(v) for k, v in (record.get("versions") or {}).items()}
        known |= {"commit": str(record.get("commit") or "")}
        labels = rows.groupby("codec")["label"].agg(lambda names: ", ".join(sorted(set(names))))
        found.append(known | {f"codec {codec}": str(label) for codec, label in labels.items()})
    one, two = found
    return {
        name: (one.get(name, ""), two.get(name, ""))
        for name in dict.fromkeys([*one, *two])
        if one.get(name, "") != two.get(name, "")
        and not (name.startswith("codec ") and (name not in one or name not in two))
    }

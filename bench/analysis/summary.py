"""From rows to curves: means over common images, and Bjontegaard deltas between them.

Rate and quality of a curve are means over the same images: those of its metric (see
``common_images``). A form in decibels is that of the mean, as published curves have it.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.analysis.bjontegaard import METHODS, Curve, Delta
from bench.analysis.common_images import (
    KEY,
    Selection,
    common_images,
    comparable,
    error_text,
    failures,
    left_out,
    missing,
    natural,
    set_aside,
    sort_rows,
    succeeded,
)
from bench.analysis.over_images import compare_over_images
from bench.errors import UsageError
from bench.metrics.columns import column, curve_columns, file_columns, known, quality_columns

__all__ = [
    "KEY",
    "Selection",
    "bd_table",
    "common_images",
    "comparable",
    "curve",
    "delta",
    "drawn_rates",
    "error_text",
    "failures",
    "image_curves",
    "left_out",
    "lossless",
    "metric_images",
    "missing",
    "natural",
    "on_curve",
    "parse_setting",
    "pick_anchor",
    "set_aside",
    "sort_rows",
    "split_settings",
    "succeeded",
    "summarise",
]

_BD_TEXT = ["dataset", "anchor", "codec", "metric", "method"]
_BD_NUMBERS = ["bd_rate_percent", "overlap_percent", "ci_low", "ci_high"]


def _mean(values: pd.Series) -> float:
    """Return the mean of the values: exactly rounded, so whatever order rows came in."""
    return math.fsum(values) / len(values) if len(values) else math.nan


def _columns(frame: pd.DataFrame) -> list[str]:
    """Return the quality columns of means over ``frame``: of each metric of it, every form."""
    own = file_columns(frame)
    return [name for name, found in known().items() if found.source in own]


def summarise(rows: pd.DataFrame | Selection) -> pd.DataFrame:
    """Return the mean of each point over the common images of its dataset.

    Parameters
    ----------
    rows
        One row per measured cell, the columns of ``rows.csv``; or what was selected of them.

    Returns
    -------
    DataFrame
        ``dataset, codec, label, setting, images, bpp``, then each quality column ``c`` (of
        ``file_columns``, and their forms in decibels), then ``images_c`` and ``bpp_c`` of each.
        ``images`` counts the common images, and ``bpp`` is the mean over them. ``c`` and ``bpp_c``
        are means over the ``images_c`` images of the metric, which a point of a curve is made of;
        decibels are those of the mean. A lossless point has the value of an exact copy (infinite
        PSNR); a metric that was not measured is NaN.
        Sorted by dataset, codec, label, then rate.
    """
    chosen = Selection.of(rows)
    if chosen.means is None:
        chosen.means = _means(chosen)
    return chosen.means.copy()


def _means(chosen: Selection) -> pd.DataFrame:
    """Return what ``summarise`` does, worked out now."""
    kept, qualities = chosen.comparable, _columns(chosen.rows)
    extra = [f"{word}_{name}" for name in qualities for word in ("images", "bpp")]
    records = []
    for key, group in kept.groupby(KEY, sort=False):
        record = dict(zip(KEY, key, strict=True))
        record |= {"images": len(group), "bpp": _mean(group["bpp"])}
        for name in qualities:
            form = column(name)
            mine = group[group[form.source].notna()] if form.source in group else group.iloc[:0]
            values = mine[form.source] if len(mine) else pd.Series(dtype=float)
            record[name] = float(form.of_means(_mean(values)))
            record[f"images_{name}"], record[f"bpp_{name}"] = len(mine), _mean(mine["bpp"])
        records.append(record)
    frame = pd.DataFrame(records, columns=[*KEY, "images", "bpp", *qualities, *extra])
    whole = ["images", *(name for name in extra if name.startswith("images_"))]
    floats = [name for name in frame.columns if name not in (*KEY, *whole)]
    frame = frame.astype(dict.fromkeys(whole, int) | dict.fromkeys(floats, float))
    return frame.sort_values(
        ["dataset", "codec", "label", "bpp", "setting"], kind="stable", ignore_index=True
    )


def on_curve(means: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Return the lines of a summary that are points of a curve of ``metric``, by rising rate.

    A line without a value is none, nor is a lossless one: see ``lossless``.
    """
    values = means[metric].to_numpy(dtype=np.float64)
    kept: pd.DataFrame = means[np.isfinite(values) & (values != column(metric).exact)]
    return kept.sort_values(["dataset", "codec", f"bpp_{metric}"], kind="stable")


def lossless(means: pd.DataFrame, metric: str) -> pd.Series:
    """Return which lines of a summary are exact copies of every image, as ``metric`` sees it."""
    return means[metric] == column(metric).exact


def curve(means: pd.DataFrame, codec: str, metric: str) -> NDArray[np.float64]:
    """Return a codec's curve in one dataset's summary: (points, 2) of bpp and quality."""
    points = on_curve(means[means["codec"] == codec], metric)
    return points[[f"bpp_{metric}", metric]].to_numpy(dtype=np.float64)


def drawn_rates(means: pd.DataFrame) -> dict[str, dict[str, tuple[float, float]]]:
    """Return dataset -> quality column -> lowest and highest rate of a summary's curves."""
    found: dict[str, dict[str, tuple[float, float]]] = {}
    for dataset, group in means.groupby("dataset", sort=True):
        mine = found.setdefault(str(dataset), {})
        for name in curve_columns(group):
            rates = on_curve(group, name)[f"bpp_{name}"]
            if len(rates):
                mine[name] = float(rates.min()), float(rates.max())
    return found


def metric_images(kept: pd.DataFrame) -> dict[tuple[str, str], int]:
    """Return over how many images each metric's mean is taken: (dataset, column) -> count.

    Parameters
    ----------
    kept
        The rows of ``comparable``.
    """
    present = quality_columns(kept)
    return {
        (str(dataset), name): int(group.loc[group[form.source].notna(), "image"].nunique())
        for dataset, group in kept.groupby("dataset")
        for name, form in known().items()
        if form.source in present
    }


def parse_setting(text: str) -> dict[str, object]:
    """Return the values of a setting's canonical JSON."""
    values: dict[str, object] = json.loads(text)
    return values


def split_settings(settings: Iterable[str]) -> tuple[list[dict[str, object]], dict[str, object]]:
    """Return what varies along a curve, per setting, and what is held.

    Parameters
    ----------
    settings
        Canonical JSON texts of one curve.

    Returns
    -------
    varying, held
        ``[{"quality": 5}, {"quality": 75}]`` and ``{"subsampling": "4:2:0"}``, say. Of a single
        setting everything counts as varying.
    """
    parsed = [parse_setting(text) for text in settings]
    if len(parsed) < 2:
        return parsed, {}
    first = parsed[0]
    held = {k: v for k, v in first.items() if all(k in p and p[k] == v for p in parsed)}
    return [{k: v for k, v in p.items() if k not in held} for p in parsed], held


def pick_anchor(codecs: Iterable[str], anchor: str | None = None) -> str:
    """Return the codec to compare with: ``anchor``, else bpg, else jpeg, else the first by name.

    Options count only where the codec as it comes is not there: ``bpg:chroma=4:2:0`` serves as
    ``bpg`` if need be.
    """
    known = sorted(codecs)
    for wanted in [anchor] if anchor else ["bpg", "jpeg"]:
        for codec in known:
            if codec == wanted:
                return codec
        for codec in known:
            if codec.partition(":")[0] == wanted:
                return codec
    return anchor or known[0]


def image_curves(points: pd.DataFrame, metric: str) -> dict[str, Curve]:
    """Return image -> curve of one codec, the points of every image in the same order.

    Parameters
    ----------
    points
        A codec's rows of ``comparable``, of one dataset.
    metric
        A quality column; the curves hold the metric's own values, ``inf`` at lossless points.
    """
    form = column(metric)
    defined = points[points[form.source].notna()]  # in the one order, as ``comparable`` is
    values = defined[form.source].astype(float)
    exact = (values == column(form.source).exact).groupby([defined[name] for name in KEY[1:]])
    image, names = pd.factorize(defined["image"], sort=True)
    order = np.argsort(image, kind="stable")  # a group at a time would be slow for many images
    rates = defined["bpp"].to_numpy(dtype=np.float64)[order].tolist()
    qualities = values.mask(exact.transform("all"), math.inf).to_numpy()[order].tolist()
    ends = np.cumsum(np.bincount(image, minlength=len(names))).tolist()
    return {
        str(name): Curve(tuple(rates[start:end]), tuple(qualities[start:end]))
        for name, start, end in zip(names, [0, *ends], ends, strict=False)
    }


def delta(
    anchor: Mapping[str, Curve],
    test: Mapping[str, Curve],
    metric: str,
    method: str = METHODS[0],
    *,
    resamples: int = 400,
) -> Delta:
    """Return the delta of two codecs' ``image_curves`` of a metric."""
    form = column(metric)
    return compare_over_images(
        anchor,
        test,
        method,
        higher_is_better=form.higher_is_better,
        decibels=None if form.decibels is None else form.of_means,
        resamples=resamples,
    )


def _line(found: Delta) -> list[float | str]:
    """Return rate, overlap, interval, note, cause and quality of one comparison."""
    numbers = (found.bd_rate_percent, found.overlap_percent, found.ci_low, found.ci_high)
    plain = [math.nan if value is None else float(value) for value in numbers]
    quality = math.nan if found.bd_quality is None else found.bd_quality
    return [*plain, found.note, str(found.cause or ""), quality]


def check_anchor(rows: pd.DataFrame, anchor: str | None) -> None:
    """Refuse an anchor that no row is of.

    Raises
    ------
    UsageError
        If that is so.
    """
    known = sorted({str(codec) for codec in rows["codec"]})
    if anchor and pick_anchor(known, anchor) not in known:
        raise UsageError(f"no result of the anchor {anchor!r}", f"Measured: {', '.join(known)}.")


def bd_table(
    rows: pd.DataFrame | Selection, anchor: str | None = None, *, quality: bool = False
) -> pd.DataFrame:
    """Return Bjontegaard rates of every codec against the anchor of its dataset.

    Parameters
    ----------
    rows
        One row per measured cell, the columns of ``rows.csv``; or what was selected of them.
    anchor
        Codec to compare with; see ``pick_anchor`` for the default.
    quality
        Add the columns ``bd_quality``, mean difference at equal rate in the metric's own unit, and
        ``cause``, the value of a ``bjontegaard.Cause`` where there is no rate, else empty.

    Returns
    -------
    DataFrame
        ``dataset, anchor, codec, metric, method, bd_rate_percent, overlap_percent, ci_low,
        ci_high, note`` for each metric, in decibels where it has them, over its images: of
        the mean curves, with the interval over images for pchip. Where a delta is not computable
        its numbers are NaN and the note says why.

    Raises
    ------
    UsageError
        If no row is of the codec ``anchor``.
    """
    chosen = Selection.of(rows)
    rows = chosen.rows
    check_anchor(rows, anchor)
    records = []
    for dataset, group in chosen.comparable.groupby("dataset", sort=True):
        by_codec = {str(codec): points for codec, points in group.groupby("codec", sort=True)}
        base = pick_anchor(by_codec, anchor)
        by_codec.setdefault(base, group.iloc[:0])
        for metric in curve_columns(rows[rows["dataset"] == dataset]) if len(by_codec) > 1 else ():
            curves = {codec: image_curves(points, metric) for codec, points in by_codec.items()}
            for codec, method in itertools.product(sorted({*by_codec} - {base}), METHODS):
                key = (str(dataset), base, codec, metric, method)
                records.append([*key, *_line(delta(curves[base], curves[codec], metric, method))])
    columns = [*_BD_TEXT, *_BD_NUMBERS, "note", "cause", "bd_quality"]
    frame = pd.DataFrame(records, columns=columns)
    frame = frame.astype(dict.fromkeys([*_BD_NUMBERS, "bd_quality"], float))
    return frame if quality else frame.drop(columns=["cause", "bd_quality"])

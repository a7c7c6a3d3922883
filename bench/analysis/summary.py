"""From rows to curves: means over common images, what was left out, Bjontegaard deltas.

The rule of the common images
-----------------------------
Means of different codecs are comparable only over the same images, so each dataset is cut to its
*common images*:

* a setting takes part if it succeeded on at least one image, and was tried on at least half as many
  images as the setting of its codec that was tried on most;
* a codec takes part if one of its settings does;
* an image is common if every setting that takes part succeeded on it.

So a codec that is broken throughout, or a setting that is refused for every image, costs nothing
but its own rows, and so does a setting that somebody once tried on a single image; while a codec
that fails on one image costs that image for all codecs.
``failures`` lists what failed, ``set_aside`` the settings tried on too few images, and ``missing``
says which image was lost to which codec.

A metric may be undefined for an image (MS-SSIM under 161 pixels on a side) or not yet computed
for some rows. By the same reasoning its mean is over those common images that have a value in every
row of every codec that has the metric at all.
"""

from __future__ import annotations

import itertools
import json
import math
import re
from collections.abc import Iterable

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.analysis.bjontegaard import METHODS, Curve, compare_over_images
from bench.errors import UsageError

KEY = ["dataset", "codec", "label", "setting"]
"""What identifies a point of a curve; a row adds the image."""

_BD_TEXT = ["dataset", "anchor", "codec", "metric", "method"]
_BD_NUMBERS = ["bd_rate_percent", "overlap_percent", "ci_low", "ci_high"]
_FAILURES = ["dataset", "codec", "label", "error", "cells", "attempted", "images"]
_ASIDE = [*KEY, "images", "most"]
_MISSING = ["dataset", "image", "codec", "settings", "reason"]


def lpips_columns(frame: pd.DataFrame) -> list[str]:
    """Return the columns ``lpips_<net>``, sorted."""
    return sorted(str(name) for name in frame.columns if str(name).startswith("lpips_"))


def metric_columns(frame: pd.DataFrame) -> list[str]:
    """Return the metric columns that hold at least one value, in the order of the tables."""
    known = ["psnr_db", "ms_ssim", "ms_ssim_db", *lpips_columns(frame)]
    return [name for name in known if name in frame.columns and frame[name].notna().any()]


def higher_is_better(metric: str) -> bool:
    """Return the direction of a metric column."""
    return not metric.startswith("lpips_")


def natural(text: str) -> tuple[tuple[bool, float, str], ...]:
    """Return a sort key in which ``"quality":9`` comes before ``"quality":75``.

    >>> sorted(["q10", "q9"], key=natural)
    ['q9', 'q10']
    """
    parts = re.split(r"(\d+(?:\.\d+)?)", text)
    return tuple(
        (True, float(part), "") if index % 2 else (False, 0.0, part)
        for index, part in enumerate(parts)
    )


def _natural_column(column: pd.Series) -> pd.Series:
    """Return a column of sort keys for ``DataFrame.sort_values``."""
    texts = [str(value) for value in column]
    rank = {text: i for i, text in enumerate(sorted(set(texts), key=natural))}
    return pd.Series([rank[text] for text in texts], index=column.index)


def sort_rows(rows: pd.DataFrame) -> pd.DataFrame:
    """Return ``rows`` in the one stable order: dataset, codec, label, setting, image."""
    by = [name for name in (*KEY, "image") if name in rows.columns]
    return rows.sort_values(by, key=_natural_column, kind="stable").reset_index(drop=True)


def ms_ssim_db(values: Iterable[float]) -> NDArray[np.float64]:
    """Return -10 log10(1 - x), in dB; ``inf`` for identical images, NaN stays NaN."""
    with np.errstate(divide="ignore"):
        distance = np.maximum(1.0 - np.asarray(list(values), dtype=np.float64), 0.0)
        return np.asarray(-10.0 * np.log10(distance) + 0.0, dtype=np.float64)


def error_text(rows: pd.DataFrame) -> pd.Series:
    """Return the column ``error`` as plain text, empty where there is none."""
    if "error" not in rows.columns:
        return pd.Series("", index=rows.index, dtype=object)
    texts = ["" if pd.isna(value) else " ".join(str(value).split()) for value in rows["error"]]
    return pd.Series(texts, index=rows.index, dtype=object)


def succeeded(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows without error that have a size; one per cell, the last of any repeats."""
    good = rows[(error_text(rows) == "") & rows["bpp"].notna()]
    return good.drop_duplicates([*KEY, "image"], keep="last")


def _tried(rows: pd.DataFrame) -> pd.DataFrame:
    """Return per point on how many images it was tried, and the most of any of its codec."""
    cells = rows[[*KEY, "image"]].drop_duplicates()
    tried = cells.groupby(KEY, sort=True).size().rename("images").reset_index()
    tried["most"] = tried.groupby(["dataset", "codec"])["images"].transform("max")
    return tried


def set_aside(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the points that were tried on too few images to be compared.

    Returns
    -------
    DataFrame
        ``dataset, codec, label, setting, images, most``: tried on ``images`` of the ``most`` images
        that another setting of the codec was tried on.
    """
    tried = _tried(rows)
    return tried.loc[2 * tried["images"] < tried["most"], _ASIDE].reset_index(drop=True)


def taking_part(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows that succeeded, without those of points set aside."""
    good = succeeded(rows)
    aside = set(set_aside(rows)[KEY].itertuples(index=False, name=None))
    points = good[KEY].itertuples(index=False, name=None)
    return good[np.array([point not in aside for point in points], dtype=bool)]


def common_images(rows: pd.DataFrame) -> dict[str, list[str]]:
    """Return the common images of each dataset (see the rule at the top of this module)."""
    good = taking_part(rows)
    common: dict[str, list[str]] = {str(name): [] for name in sorted(rows["dataset"].unique())}
    for dataset, group in good.groupby("dataset", sort=True):
        points = len(group[KEY].drop_duplicates())
        held = group.groupby("image").size()
        common[str(dataset)] = sorted((str(i) for i in held.index[held == points]), key=natural)
    return common


def comparable(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows that means are taken over, with ``ms_ssim_db`` added.

    A metric is blanked on images for which another row of a codec with that metric lacks it, so
    that the mean of a column is over the same images for every codec.
    """
    good, common = taking_part(rows), common_images(rows)
    pairs = {(dataset, image) for dataset, images in common.items() for image in images}
    inside = [
        (str(dataset), str(image)) in pairs
        for dataset, image in zip(good["dataset"], good["image"], strict=True)
    ]
    kept = good[np.array(inside, dtype=bool)].copy()
    if "ms_ssim" in kept.columns:
        kept["ms_ssim_db"] = ms_ssim_db(kept["ms_ssim"])
    for metric in metric_columns(kept):
        has_any = kept.groupby(["dataset", "codec"])[metric].transform("count") > 0
        holes = kept[has_any & kept[metric].isna()]
        lost = set(zip(holes["dataset"], holes["image"], strict=True))
        blank = [pair in lost for pair in zip(kept["dataset"], kept["image"], strict=True)]
        kept[metric] = kept[metric].astype(float).mask(np.asarray(blank, dtype=bool))
    return sort_rows(kept)


def _mean(values: pd.Series) -> float:
    """Return the mean of the defined values: exactly rounded, so whatever order rows came in."""
    defined = [float(value) for value in values if not math.isnan(value)]
    return math.fsum(defined) / len(defined) if defined else math.nan


def summarise(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the mean of each point over the common images of its dataset.

    Parameters
    ----------
    rows
        One row per measured cell, the columns of ``rows.csv``.

    Returns
    -------
    DataFrame
        ``dataset, codec, label, setting, images, bpp, psnr_db, ms_ssim, ms_ssim_db,
        lpips_<net>``: means of per-image values; ``images`` counts the common images.
        An infinite PSNR on any image makes the mean infinite. ``ms_ssim_db`` is the mean of the
        per-image decibels, not the decibels of the mean. A metric that was not measured is NaN.
        Sorted by dataset, codec, label, then rate.
    """
    kept = comparable(rows)
    metrics = ["psnr_db", "ms_ssim", "ms_ssim_db", *lpips_columns(rows)]
    columns = [*KEY, "images", "bpp", *metrics]
    records = []
    for key, group in kept.groupby(KEY, sort=False):
        record = dict(zip(KEY, key, strict=True)) | {"images": len(group)}
        for name in ("bpp", *metrics):
            record[name] = _mean(group[name]) if name in group.columns else math.nan
        records.append(record)
    frame = pd.DataFrame(records, columns=columns)
    floats = dict.fromkeys(("bpp", *metrics), float)
    frame = frame.astype({"images": int, **floats})
    return frame.sort_values(
        ["dataset", "codec", "label", "bpp", "setting"], kind="stable", ignore_index=True
    )


def metric_images(rows: pd.DataFrame) -> dict[tuple[str, str], int]:
    """Return over how many images each metric's mean is taken: (dataset, metric) -> count."""
    kept = comparable(rows)
    return {
        (str(dataset), metric): int(group.loc[group[metric].notna(), "image"].nunique())
        for dataset, group in kept.groupby("dataset")
        for metric in metric_columns(kept)
    }


def failures(rows: pd.DataFrame) -> pd.DataFrame:
    """Return what failed, one line per dataset, curve and error.

    Returns
    -------
    DataFrame
        ``dataset, codec, label, error, cells, attempted, images``: how many cells had that error
        of how many attempted on the curve, and on which images (names, comma-separated).
        A codec that failed everywhere has ``cells`` equal to ``attempted`` (or several such
        lines that add up to it).
    """
    frame = rows.assign(error=error_text(rows)).drop_duplicates([*KEY, "image"], keep="last")
    bad = (frame["error"] != "") | frame["bpp"].isna()
    frame["error"] = frame["error"].where(frame["error"] != "", "no result and no error")
    attempted = frame.groupby(["dataset", "codec", "label"]).size().to_dict()
    records = []
    for key, group in frame[bad].groupby(["dataset", "codec", "label", "error"], sort=True):
        images = sorted({str(name) for name in group["image"]}, key=natural)
        records.append((*key, len(group), attempted[key[:3]], ", ".join(images)))
    return pd.DataFrame(records, columns=_FAILURES)


def missing(rows: pd.DataFrame) -> pd.DataFrame:
    """Return which images are not common, and because of which codec.

    Returns
    -------
    DataFrame
        ``dataset, image, codec, settings, reason``: how many settings of the codec lack the
        image, and why: its first error, or that it was not measured.
    """
    good, common = taking_part(rows), common_images(rows)
    errors = rows.assign(error=error_text(rows))
    errors = errors[errors["error"] != ""].drop_duplicates(["dataset", "image", "codec"])
    told = {(r.dataset, r.image, r.codec): r.error for r in errors.itertuples()}
    records = []
    for dataset, group in good.groupby("dataset", sort=True):
        points = {codec: len(g[KEY].drop_duplicates()) for codec, g in group.groupby("codec")}
        held = group.groupby(["image", "codec"]).size().to_dict()
        everything = rows.loc[rows["dataset"] == dataset, "image"].unique()
        for image in sorted(everything, key=lambda name: natural(str(name))):
            if str(image) in common[str(dataset)]:
                continue
            for codec, wanted in points.items():
                lacking = wanted - held.get((image, codec), 0)
                if lacking:
                    reason = told.get((dataset, image, codec), "not measured")
                    records.append((dataset, image, codec, lacking, reason))
    return pd.DataFrame(records, columns=_MISSING)


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


def _curves(points: pd.DataFrame, metric: str) -> dict[str, Curve]:
    """Return image -> curve of one codec, the points of every image in the same order."""
    defined = sort_rows(points[points[metric].notna()])
    return {
        str(image): Curve(tuple(curve["bpp"].astype(float)), tuple(curve[metric].astype(float)))
        for image, curve in defined.groupby("image", sort=True)
    }


def _delta(
    anchor: dict[str, Curve], test: dict[str, Curve], metric: str, method: str
) -> list[float | str]:
    """Return rate, overlap, interval, note and quality of one comparison."""
    delta = compare_over_images(anchor, test, method, higher_is_better=higher_is_better(metric))
    numbers = (delta.bd_rate_percent, delta.overlap_percent, delta.ci_low, delta.ci_high)
    plain = [math.nan if value is None else float(value) for value in numbers]
    return [*plain, delta.note, math.nan if delta.bd_quality is None else delta.bd_quality]


def bd_table(
    rows: pd.DataFrame, anchor: str | None = None, *, quality: bool = False
) -> pd.DataFrame:
    """Return Bjontegaard rates of every codec against the anchor of its dataset.

    Parameters
    ----------
    rows
        One row per measured cell, the columns of ``rows.csv``.
    anchor
        Codec to compare with; see ``pick_anchor`` for the default.
    quality
        Add the column ``bd_quality``: mean difference at equal rate, in the metric's own unit.

    Returns
    -------
    DataFrame
        ``dataset, anchor, codec, metric, method, bd_rate_percent, overlap_percent, ci_low,
        ci_high, note`` for the metrics psnr_db, ms_ssim_db and each lpips_<net>, over the common
        images: of the mean curves, with the interval over images for pchip. Where a delta is not
        computable its numbers are NaN and the note says why.

    Raises
    ------
    UsageError
        If no row is of the codec ``anchor``.
    """
    known = sorted({str(codec) for codec in rows["codec"]})
    if anchor and pick_anchor(known, anchor) not in known:
        raise UsageError(f"no result of the anchor {anchor!r}", f"Measured: {', '.join(known)}.")
    records = []
    for dataset, group in comparable(rows).groupby("dataset", sort=True):
        by_codec = {str(codec): points for codec, points in group.groupby("codec", sort=True)}
        base = pick_anchor(by_codec, anchor)
        by_codec.setdefault(base, group.iloc[:0])
        for metric in metric_columns(group.drop(columns="ms_ssim", errors="ignore")):
            curves = {codec: _curves(points, metric) for codec, points in by_codec.items()}
            for codec, method in itertools.product(sorted({*by_codec} - {base}), METHODS):
                key = (str(dataset), base, codec, metric, method)
                records.append([*key, *_delta(curves[base], curves[codec], metric, method)])
    frame = pd.DataFrame(records, columns=[*_BD_TEXT, *_BD_NUMBERS, "note", "bd_quality"])
    frame = frame.astype(dict.fromkeys([*_BD_NUMBERS, "bd_quality"], float))
    return frame if quality else frame.drop(columns="bd_quality")

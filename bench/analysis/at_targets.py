"""Bits at equal quality: what searched codecs need where each of them hits the same target."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from bench.analysis.common_images import natural, succeeded
from bench.analysis.summary import pick_anchor

TARGET = "target"
COLUMNS = (
    *("dataset", "target", "codec", "label", "setting", "images", "of", "bpp", "bytes"),
    *("anchor", "bytes_percent", "percent", "low", "high", "miss"),
)
_MIN_IMAGES, _RESAMPLES, _SEED = 5, 400, 2001


def at_targets(rows: pd.DataFrame, anchor: str | None = None) -> pd.DataFrame:
    """Return what each codec needs at each target, over the images where all codecs reach it.

    Between the two nearest files around the target the rate is interpolated, so that steps of a
    rate parameter favour nobody.

    Parameters
    ----------
    rows
        One row per measured cell, with the columns of searches. A codec that was not searched, at
        one setting, takes part in every comparison as it is.
    anchor
        The codec to compare with; see ``pick_anchor``.

    Returns
    -------
    DataFrame
        ``dataset, target, codec, label``; ``setting``: the rate parameter, its median over the
        images with the range; ``images, of``: how many images count, of how many; ``bpp, bytes``:
        means; ``anchor``; ``bytes_percent``: of all files together against the anchor's, negative
        is better; ``percent, low, high``: mean over images in the logarithm, with its 95 %
        bootstrap interval (NaN under five images); ``miss``: the largest distance of a file
        from the target, of those that count. A codec that reaches a target on no image has no
        bits there. Empty where nothing was searched, or rates alone.
    """
    if "target_bpp" not in rows:
        return pd.DataFrame(columns=COLUMNS)
    good = succeeded(rows)
    aims = [json.loads(str(text)).get(TARGET, "") for text in good["setting"]]
    good = good.assign(aim=aims)
    records: list[dict[str, Any]] = []
    for dataset, group in good.groupby("dataset", sort=True):
        names = sorted({aim for aim in group["aim"] if aim and not is_rate(aim)}, key=natural)
        for name in names:
            mine = group[group["aim"].isin(["", name])]
            about = {"dataset": dataset, "target": name}
            total = rows.loc[rows["dataset"] == dataset, "image"].nunique()
            records += [about | line for line in _lines(_usable(mine), anchor, total)]
    return pd.DataFrame(records, columns=COLUMNS)


def is_rate(target: str) -> bool:
    """Return whether a target is a rate: files of one rate have no bits at equal quality."""
    return target.startswith("bpp=")


def _usable(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows without codecs that were not searched and have several settings."""
    searched = set(rows.loc[rows["aim"] != "", "codec"])
    counts = rows.groupby("codec")["setting"].nunique()
    single = set(counts[counts == 1].index) - searched
    return rows[(rows["aim"] != "") | rows["codec"].isin(single)]


def _lines(rows: pd.DataFrame, anchor: str | None, total: int) -> Iterator[dict[str, Any]]:
    """Yield a line for each codec, the fewest bits first, those that reach nothing last."""
    rates = rows["target_bpp"].where(rows["aim"] != "", rows["bpp"])
    rows = rows.assign(rate=rates, pixels=rows["width"] * rows["height"])
    table = rows.pivot_table(index="image", columns="codec", values="rate", dropna=False)
    table = table.dropna(axis=1, how="all")
    common = table.dropna()
    pixels = rows.groupby("image")["pixels"].first().reindex(common.index)
    base = pick_anchor(list(table.columns), anchor) if len(table.columns) else ""
    found = []
    for codec, curve in rows.groupby("codec", sort=True):
        kept = curve[curve["image"].isin(common.index)]
        line: dict[str, Any] = {
            "codec": codec,
            "label": str(curve["label"].iloc[0]),
            "anchor": base,
            "of": total,
            "images": 0,
        }
        if codec in common and len(common):
            line |= {
                "setting": _setting(kept),
                "images": len(common),
                "bpp": float(common[codec].mean()),
                "bytes": float((common[codec] * pixels / 8).mean()),
                "miss": float(kept["target_miss"].abs().max()),
            }
            if base in common:
                line |= _against(common[codec], common[base], pixels)
        found.append(line)
    yield from sorted(found, key=lambda line: (line.get("bytes", math.inf), line["codec"]))


def _against(mine: pd.Series, base: pd.Series, pixels: pd.Series) -> dict[str, float]:
    logs = np.log(mine.to_numpy(float) / base.to_numpy(float))
    low = high = math.nan
    if len(logs) >= _MIN_IMAGES:
        drawn = np.random.default_rng(_SEED).integers(0, len(logs), (_RESAMPLES, len(logs)))
        low, high = (100 * math.expm1(v) for v in np.percentile(logs[drawn].mean(1), (2.5, 97.5)))
    return {
        "bytes_percent": 100 * float((mine * pixels).sum() / (base * pixels).sum() - 1),
        "percent": 100 * math.expm1(float(logs.mean())),
        "low": low,
        "high": high,
    }


def _setting(rows: pd.DataFrame) -> str:
    """Return ``quality 63 (58 to 71)``: the median of what the searches found, and its range."""
    pairs = zip(rows["found_setting"], rows["setting"], strict=True)
    found = [(json.loads(str(one or other)), json.loads(str(other))) for one, other in pairs]
    moving = {key for one, other in found for key in one if key not in other}
    if len(moving) != 1:
        return ""
    [name] = moving
    values = sorted(float(one[name]) for one, _ in found)
    middle = values[(len(values) - 1) // 2]
    spread = f" ({values[0]:.4g} to {values[-1]:.4g})" if values[0] != values[-1] else ""
    return f"{name} {middle:.4g}{spread}"

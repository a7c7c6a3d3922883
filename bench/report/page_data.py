"""The numbers that the page's scripts work with, as plain data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from bench.analysis import summary
from bench.analysis.published_curves import Reference, is_of
from bench.measurement.rows import records
from bench.metrics.columns import column, known, quality_columns
from bench.report import verdicts
from bench.report.dataset_view import Context, Look
from bench.report.gallery import Gallery
from bench.report.html import plain
from bench.report.tables import short_setting


def build(
    contexts: Sequence[Context],
    looks: Mapping[str, Look],
    references: Sequence[Reference] = (),
    families: Sequence[Sequence[Context]] = (),
) -> dict[str, Any]:
    """Return everything that scripts need beside ``pictures``, ready for ``script_json``.

    Codecs, datasets, images and pictures refer to each other by their place in the lists.
    ``families``: of each dataset, the contexts of its families.
    """
    inside = [context for mine in families for context in mine]
    metrics = dict.fromkeys(m for c in (*contexts, *inside) for m in quality_columns(c.means))
    return {
        "codecs": [_codec(look) for look in looks.values()],
        "metrics": {metric: _metric(metric) for metric in metrics},
        "datasets": [
            _dataset(context, references) | {"families": [_dataset(one, ()) for one in mine]}
            for context, mine in zip(contexts, families or [()] * len(contexts), strict=True)
        ],
    }


def pictures(
    contexts: Sequence[Context], gallery: Gallery, looks: Mapping[str, Look]
) -> dict[str, Any]:
    """Return what scripts need of the pictures, ready for ``script_json``."""
    places = {context.name: context.index for context in contexts}
    return {
        "scenes": _scenes(gallery, places, looks),
        "shots": [_shot(dict(shot.row), looks, contexts) for shot in gallery.shots],
    }


def _codec(look: Look) -> dict[str, Any]:
    return {
        "id": look.codec,
        "name": look.name,
        "label": look.label,
        "note": look.note,
        "marker": look.style.marker,
        "filled": look.style.filled,
    }


def _metric(metric: str) -> dict[str, Any]:
    return {
        "title": column(metric).title,
        "unit": column(metric).unit,
        "words": verdicts.words(metric),
        "digits": column(metric).digits,
        "higher": column(metric).higher_is_better,
    }


def _dataset(context: Context, references: Sequence[Reference]) -> dict[str, Any]:
    images = sorted((str(i) for i in context.rows["image"].unique()), key=summary.natural)
    common = set(context.chosen.common_images[context.name])
    measured = _by_point(_with_decibels(summary.succeeded(context.rows)).set_index("image"))
    tried = _by_point(context.rows.assign(error=summary.error_text(context.rows)))
    drawn = {m: set(summary.on_curve(context.means, m).index) for m in context.metrics}
    return {
        "name": context.name,
        "images": images,
        "common": [image in common for image in images],
        "metrics": context.metrics,
        "pair": [context.looks[codec].index for codec in context.pair],
        "coverage": {metric: context.coverage(metric) for metric in context.metrics},
        "points": [
            _point(
                context,
                line,
                measured[line["codec"], line["setting"]],
                _errors(tried[line["codec"], line["setting"]], images),
                images,
                [m for m in drawn if place in drawn[m]],
            )
            for place, line in zip(context.means.index, records(context.means), strict=True)
        ],
        "reported": [
            {
                "name": r.name,
                "points": {
                    metric: [list(point) for point in points]
                    for metric, points in r.points.items()
                    if context.cover.whole(metric)  # a published curve is a mean over all images
                },
            }
            for r in references
            if is_of(r, context.name)
        ],
    }


def _with_decibels(rows: pd.DataFrame) -> pd.DataFrame:
    """Return rows with the decibels of single images."""
    forms = {n: f for n, f in known().items() if f.decibels and f.source in rows.columns}
    return rows.assign(**{name: form.of_means(rows[form.source]) for name, form in forms.items()})


def _by_point(rows: pd.DataFrame) -> dict[tuple[str, str], pd.DataFrame]:
    """Return (codec, setting) -> its rows."""
    groups = rows.groupby(["codec", "setting"], sort=False)
    return {(str(codec), str(setting)): mine for (codec, setting), mine in groups}


def _errors(tried: pd.DataFrame, images: Sequence[str]) -> dict[int, str]:
    """Return place of an image -> what failed there."""
    places = {image: place for place, image in enumerate(images)}
    last = dict(zip(tried["image"].astype(str), tried["error"], strict=True))
    return {places[str(image)]: str(text) for image, text in last.items() if text}


def _point(
    context: Context,
    line: Mapping[str, Any],
    mine: pd.DataFrame,
    errors: Mapping[int, str],
    images: Sequence[str],
    drawn: Sequence[str],
) -> dict[str, Any]:
    """Return one setting: its means, its rate on each curve, and the values of every image."""
    codec, setting = str(line["codec"]), str(line["setting"])
    metrics = quality_columns(context.means)
    each = mine[[n for n in ("bytes", "bpp", *metrics) if n in mine]].reindex(list(images))
    return {
        "codec": context.looks[codec].index,
        "setting": short_setting(context, codec, setting),
        "full": setting,
        "lossless": any(line[metric] == column(metric).exact for metric in context.metrics),
        "mean": {name: plain(float(line[name])) for name in ("bpp", *metrics)},
        "rate": {metric: plain(float(line[f"bpp_{metric}"])) for metric in drawn},
        "each": {name: [plain(v) for v in each[name].astype(float).tolist()] for name in each},
        "errors": dict(errors),
    }


def _scenes(
    gallery: Gallery, places: Mapping[str, int], looks: Mapping[str, Look]
) -> list[dict[str, Any]]:
    return [
        {
            "dataset": places[scene.dataset],
            "image": scene.image,
            "size": list(scene.pixels.shape[1::-1]),
            "window": list(scene.window),
            "original": scene.original,
            "rates": [
                {
                    "bpp": rate,
                    "target": scene.targets.get(rate, ""),
                    "shots": {looks[c].index: n for c, n in scene.rates[rate].items()},
                }
                for rate in sorted(scene.rates)
            ],
        }
        for scene in gallery.scenes
    ]


def _shot(
    row: Mapping[str, Any], looks: Mapping[str, Look], contexts: Sequence[Context]
) -> dict[str, Any]:
    """Return what stands under a picture; of an original, nothing."""
    if not row:
        return {}
    context = next(c for c in contexts if c.name == row["dataset"])
    values = {m: float(row[m]) for m in context.metrics if m in row and not pd.isna(row[m])}
    values |= {
        name: float(form.of_means(float(row[form.source])))
        for name, form in known().items()
        if form.decibels and form.source in row and not pd.isna(row[form.source])
    }
    return {
        "codec": looks[str(row["codec"])].index,
        "setting": short_setting(context, str(row["codec"]), str(row["setting"])),
        "bytes": int(row["bytes"]),
        "bpp": plain(float(row["bpp"])),
        "exact": bool(row.get("exact", False)),
        "values": {name: plain(value) for name, value in values.items()},
    }

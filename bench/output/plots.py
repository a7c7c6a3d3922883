"""Rate-distortion curves as PNG and SVG: one figure per dataset, metric and rate axis.

Drawn at the width of a journal's column, with labels at the curves instead of a legend. Figures are
made without pyplot's global state, and the same rows give the same bytes of SVG.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from bench.analysis import summary
from bench.analysis.published_curves import Reference, load_reference
from bench.files import file_stems, make_folder, write_atomically
from bench.output.plot_styles import Style, styles
from bench.output.rd_plot import RC, Curve, draw, encode
from bench.output.tables import count_text

SCALES = ("linear", "log")
_REPORTED = "reported, not measured"


def short_labels(labels: Sequence[str]) -> tuple[list[str], str]:
    """Return labels without versions and without what is common to all, and the common words.

    >>> short_labels(["jpeg 4:2:0 8-bit (libjpeg-turbo 3.2.0)", "avif 4:4:4 8-bit (libaom 3.13)"])
    (['jpeg 4:2:0', 'avif 4:4:4'], '8-bit')
    """
    words = [re.sub(r"\s*\([^()]*\)\s*$", "", label).split() for label in labels]
    if len(words) < 2:
        return [" ".join(line) for line in words], ""
    common = [word for word in words[0][1:] if all(word in line[1:] for line in words)]
    kept = [[w for i, w in enumerate(line) if i == 0 or w not in common] for line in words]
    return [" ".join(line) for line in kept], " ".join(common)


def is_lossless(means: pd.DataFrame) -> pd.Series:
    """Return which points are exact copies on some image: they lie on no rate-distortion curve."""
    infinite = pd.Series(False, index=means.index)
    for name in ("psnr_db", "ms_ssim_db"):
        if name in means.columns:
            infinite |= np.isposinf(means[name].to_numpy(dtype=float))
    return infinite


def measured_curves(means: pd.DataFrame, metric: str) -> list[Curve]:
    """Return the curves of one dataset's summary that have ``metric``."""
    style = styles(str(codec) for codec in means["codec"])
    kept = means[~is_lossless(means) & means[metric].notna()].sort_values(["codec", "bpp"])
    labels, _ = short_labels(list(kept.groupby("codec", sort=True)["label"].first()))
    return [
        Curve(label, style[str(codec)], points[["bpp", metric]].to_numpy(dtype=np.float64))
        for label, (codec, points) in zip(labels, kept.groupby("codec", sort=True), strict=True)
    ]


def _reported_curves(
    references: Sequence[Reference], dataset: str, metric: str, measured: Sequence[Curve]
) -> list[Curve]:
    """Return the published curves of this plot, cut to the rates that were measured."""
    greys = ("#666666", "#999999", "#444444", "#7F7F7F")
    low = min(float(curve.points[0, 0]) for curve in measured)
    high = max(float(curve.points[-1, 0]) for curve in measured)
    fitting = [r for r in references if metric in r.points and r.dataset == dataset]
    whole = [
        Curve(
            f"{textwrap.fill(reference.name, 30)}\n{_REPORTED}",
            Style(greys[i % len(greys)], "#555555", ""),
            np.asarray(sorted(reference.points[metric]), dtype=np.float64).reshape(-1, 2),
            reported=True,
        )
        for i, reference in enumerate(fitting)
    ]
    return [cut for curve in whole if (cut := _cropped(curve, low, high))]


def _cropped(curve: Curve, low: float, high: float) -> Curve | None:
    """Return a reported curve cut to the rates low..high, ends interpolated; None if outside."""
    rates, values = curve.points[:, 0], curve.points[:, 1]
    start, stop = max(low, float(rates[0])), min(high, float(rates[-1]))
    if start > stop:
        return None
    inner = curve.points[(rates > start) & (rates < stop), 0]
    x = np.array([start, *inner, stop]) if stop > start else np.array([start])
    return replace(curve, points=np.column_stack([x, np.interp(x, rates, values)]))


def footer(means: pd.DataFrame, provenance: Mapping[str, Any], *, reported: bool) -> str:
    """Return the small print: what all curves share, encoders' versions, date, machine, commit."""
    drawn = means[~is_lossless(means)]
    labels = dict(zip(drawn["codec"], drawn["label"], strict=True))
    _, common = short_labels([str(label) for label in labels.values()])
    parts = [f"all {common}"] if common else []
    for codec, label in labels.items():
        version = re.search(r"\(([^()]*)\)\s*$", str(label))
        if version:
            parts.append(f"{codec}: {version[1]}")
    lossless = sorted({str(codec) for codec in means.loc[is_lossless(means), "codec"]})
    if lossless:
        parts.append(f"not drawn: {', '.join(lossless)} (lossless)")
    if reported:
        parts.append(f"dashed: {_REPORTED}")
    versions = provenance.get("versions") or {}
    machine = provenance.get("machine") or provenance.get("cpu")
    parts += [
        f"{name} {value}"
        for name, value in (
            ("measured", provenance.get("date")),
            ("on", machine),
            ("commit", provenance.get("commit")),
            ("bench", versions.get("bench")),
        )
        if value
    ]
    return " \u00b7 ".join(parts)


def _figures(
    rows: pd.DataFrame,
    provenance: Mapping[str, Any],
    display_names: Mapping[str, str],
    references: Sequence[Reference],
) -> Iterator[tuple[str, Figure]]:
    """Yield file stem and figure of every plot, one at a time."""
    every = summary.summarise(rows)
    counts = summary.metric_images(rows)
    stems = file_stems(sorted(str(name) for name in rows["dataset"].unique()))
    for dataset, means in every.groupby("dataset", sort=True):
        name = str(dataset)
        for metric in summary.metric_columns(means):
            if metric == "ms_ssim":  # near 1 nothing can be told apart: drawn in dB
                continue
            measured = measured_curves(means, metric)
            if not measured:
                continue
            reported = _reported_curves(references, name, metric, measured)
            images = count_text(counts[name, metric], "image")
            for scale in SCALES:
                yield (
                    f"{stems[name]}_{metric}_{scale}",
                    draw(
                        [*measured, *reported],
                        metric,
                        scale=scale,
                        heading=f"{display_names.get(name, name)}, mean of {images}",
                        small_print=footer(means, provenance, reported=bool(reported)),
                    ),
                )


def write_all(
    rows: pd.DataFrame,
    out: Path,
    *,
    provenance: Mapping[str, Any],
    display_names: Mapping[str, str] | None = None,
    references: Sequence[Reference | Path] = (),
) -> list[Path]:
    """Write ``plots/<dataset>_<metric>_{linear,log}.{png,svg}`` below ``out``; return their paths.

    Parameters
    ----------
    rows
        One row per measured cell, the columns of ``rows.csv``.
    out
        Made if missing.
    provenance
        Plain data as of ``bench.measurement.provenance.record``.
    display_names
        Dataset -> what titles call it.
    references
        Published curves, or JSON files for ``load_reference``.

    Raises
    ------
    OutputError
        If a file cannot be written.
    UsageError
        If a reference cannot be read.
    """
    curves = [r if isinstance(r, Reference) else load_reference(r) for r in references]
    folder = make_folder(out / "plots")
    written = []
    with mpl.rc_context(RC):
        for stem, figure in _figures(rows, provenance, display_names or {}, curves):
            for suffix in ("png", "svg"):
                path = folder / f"{stem}.{suffix}"
                write_atomically(path, encode(figure, suffix))
                written.append(path)
    return written

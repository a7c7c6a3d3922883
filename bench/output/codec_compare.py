"""Export to webmproject/codec-compare: one self-describing JSON file per codec curve.

The shape is that of codec-compare's README ("Plug data at serve time"): lists of single-entry
objects describe constants and fields, lists of values follow in the same order. Field names are
those that its loader recognises (``original_name``, ``encoded_size``, ``msssim``); ours otherwise.

It has no times: those of the rows were taken beside other work, and the viewer would announce them
as speeds. Speed is measured by ``bench throughput``, for whole batches and not for single files.

JSON has no infinity, and codec-compare reads ``null`` as 0. So an infinite PSNR and an undefined
MS-SSIM are ``null`` beside a flag field (``psnr_infinite``, ``msssim_undefined``) that is 1 there:
filter by it. Flags appear only in files that need them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench.analysis import summary
from bench.files import file_stems, make_folder, write_atomically
from bench.metrics import columns as columns_of
from bench.output.labels import version_of

_FIELDS = {
    # our column: (their field, description)
    "image": ("original_name", "Original image file name"),
    "width": ("width", "Pixel columns of the image"),
    "height": ("height", "Pixel rows of the image"),
    "bytes": ("encoded_size", "Size of the encoded image file in bytes"),
    "bpp": ("bpp", "Encoded bits per pixel: 8 * encoded_size / (width * height)"),
}
_METRICS = {"psnr": "psnr", "ms_ssim": "msssim"}
"""Our metric -> the name that its loader recognises; the others keep their column."""

INDEX = "batches.json"
"""Lists every file; codec-compare takes it as ``index.html?load=batches.json``."""


def _field(column: str) -> tuple[str, str]:
    """Return their name and description of our column."""
    if column in _FIELDS:
        return _FIELDS[column]
    about = columns_of.column(column)
    text = about.definition or about.title
    return _METRICS.get(about.metric, column), f"{text} ({about.better} is better)"


def _plain(value: Any) -> str | int | float | None:  # noqa: ANN401 - a cell of a frame
    """Return a value as JSON has it: whole numbers whole, what is not finite as None."""
    if isinstance(value, str):
        return value
    if not (isinstance(value, float) or pd.notna(value)) or not math.isfinite(value):
        return None
    return int(value) if float(value).is_integer() else float(value)


def _flags(curve: pd.DataFrame) -> dict[tuple[str, str], list[int]]:
    """Return (name, description) -> 0 or 1 per row, for columns that have values JSON lacks."""
    flags = {}
    for column in columns_of.metric_columns(curve):
        name = _field(column)[0]
        found = curve[column].to_numpy(dtype=np.float64)
        infinite, undefined = (test(found).astype(int).tolist() for test in (np.isinf, np.isnan))
        if any(infinite):
            flags[f"{name}_infinite", f"1 where {name} is infinite and stands as null"] = infinite
        if any(undefined):
            flags[f"{name}_undefined", f"1 where {name} is not defined and stands as null"] = (
                undefined
            )
    return flags


def codec_compare(
    curve: pd.DataFrame,
    *,
    provenance: Mapping[str, Any],
    dataset: str,
) -> dict[str, list[Any]]:
    """Return one curve in codec-compare's shape.

    Parameters
    ----------
    curve
        Rows of one dataset and one codec, the columns of ``rows.csv``; failures are left out.
    provenance
        Plain data as of ``bench.measurement.provenance.record``.
    dataset
        What to call the source of the images.

    Returns
    -------
    dict
        ``constant_descriptions``, ``constant_values``, ``field_descriptions``, ``field_values``:
        ready for ``json.dumps(..., allow_nan=False)``.
    """
    good = summary.sort_rows(summary.succeeded(curve))
    unique = list(dict.fromkeys(good["setting"]))
    varying, held = summary.split_settings(unique)
    moving = dict(zip(unique, varying, strict=True))
    label = str(good["label"].iloc[0])
    constants = _constants(label, str(good["codec"].iloc[0]), provenance, dataset)
    constants |= {
        str(name): (
            f"Encoder setting {name}",
            json.dumps(value) if value is True or value is False else value,
        )
        for name, value in held.items()
    }
    columns = [
        name
        for name in [*_FIELDS, *columns_of.metric_columns(good)]
        if name in good.columns and good[name].notna().any()
    ]
    described = [_field(name) for name in columns]
    settings = list(dict.fromkeys(name for values in varying for name in values))
    described += [(name, f"Encoder setting {name}") for name in settings]
    flags = _flags(good)
    described += list(flags)
    moved = [moving[setting] for setting in good["setting"].tolist()]
    fields = [
        *([_plain(value) for value in good[name].tolist()] for name in columns),
        *([values.get(name) for values in moved] for name in settings),
        *flags.values(),
    ]
    values = [list(row) for row in zip(*fields, strict=True)]
    return {
        "constant_descriptions": [{name: text} for name, (text, _) in constants.items()],
        "constant_values": [value for _, value in constants.values()],
        "field_descriptions": [{name: text} for name, text in described],
        "field_values": values,
    }


def _text(data: Mapping[str, list[Any]]) -> str:
    """Return JSON with one description, value or row per line."""
    parts = []
    for key, values in data.items():
        lines = ",\n".join(f"  {json.dumps(value, allow_nan=False)}" for value in values)
        parts.append(f' "{key}": [\n{lines}\n ]')
    return "{\n" + ",\n".join(parts) + "\n}\n"


def _constants(
    label: str, codec: str, provenance: Mapping[str, Any], dataset: str
) -> dict[str, tuple[str, Any]]:
    """Return name -> (description, value) of what holds for a whole file."""
    version = version_of(label)
    constants = {
        "name": ("Name of this batch", label),
        "codec": ("Name of the codec used to generate this data", codec.partition(":")[0]),
        "version": (
            "Version of the codec used to generate this data",
            version or label,
        ),
        "time": ("Date of when this data was generated", provenance.get("date") or ""),
        "source_data_set": ("The images used as input", dataset),
        "curve": ("What to pass to bench --codec", codec),
        "hardware": ("Processor", provenance.get("cpu") or ""),
        "commit": ("Commit of the benchmark", provenance.get("commit") or ""),
    }
    return {name: pair for name, pair in constants.items() if pair[1] != ""}


def write_all(
    rows: pd.DataFrame,
    out: Path,
    *,
    provenance: Mapping[str, Any],
) -> list[Path]:
    """Write ``codec_compare/<dataset>_<codec>.json`` and their index below ``out``.

    Parameters
    ----------
    rows
        One row per measured cell, the columns of ``rows.csv``, width and height if known.
    out
        Made if missing.
    provenance
        See ``codec_compare``.

    Returns
    -------
    list of Path
        The files written, the index last.

    Raises
    ------
    OutputError
        If a file cannot be written.
    """
    folder = make_folder(out / "codec_compare")
    good = summary.succeeded(rows)
    keys = sorted({(str(d), str(c)) for d, c in zip(good["dataset"], good["codec"], strict=True)})
    stems = file_stems([f"{dataset}_{codec}" for dataset, codec in keys])
    written = []
    for dataset, codec in keys:
        data = codec_compare(
            good[(good["dataset"] == dataset) & (good["codec"] == codec)],
            provenance=provenance,
            dataset=dataset,
        )
        path = folder / f"{stems[f'{dataset}_{codec}']}.json"
        write_atomically(path, _text(data).encode())
        written.append(path)
    index = [[path.name] for path in written]
    write_atomically(folder / INDEX, json.dumps(index, indent=1).encode() + b"\n")
    return [*written, folder / INDEX]

"""The same crop from every codec at a matched rate, with numbers (Cui et al. 2021, Fig. 8).

Every codec is searched for the file nearest to the wanted rate (``bench.rate_search``). One whose
steps or range do not allow it gives the nearest file that it can; the figure says by how much it
misses the rate, and the caption why.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from bench import registry
from bench.codec import Codec, Setting
from bench.errors import CodecError
from bench.figures import published
from bench.figures.results import Context
from bench.figures.spec import Entry
from bench.image import Image, pixels_sha256
from bench.metrics import Undefined
from bench.metrics import create as metric
from bench.output.curve_labels import SMALL_PT
from bench.output.figure import MEASURED, REPORTED, Product
from bench.output.labels import short_labels
from bench.output.sheet import GREY, Sheet
from bench.output.table_formats import Cell, Table, number
from bench.rate_search import Encoded, bits_per_pixel, encode_to_bpp
from bench.rate_search.target import RATE_TOLERANCE

_VERSION = 4
_COLUMNS = 3
_EXACT = 1e-3


@dataclass(frozen=True, slots=True)
class Options:
    """What the set's file may say.

    Attributes
    ----------
    image
        Of the set's dataset.
    bpp
        Wanted rate.
    codecs
        ``NAME`` or ``NAME:OPTION=VALUE``, in the order of the panels.
    crop
        Left, top, width, height in pixels.
    """

    image: str
    bpp: float
    codecs: tuple[str, ...]
    crop: tuple[int, int, int, int]


def make(context: Context, entry: Entry, options: Options) -> Product:
    """Return the figure and the table of its numbers; see the module."""
    image = context.image(options.image)
    found, notes = _codecs(options)
    key = {
        "version": _VERSION,
        "pixels": pixels_sha256(image),
        "bpp": options.bpp,
        "codecs": [[word, codec.version(), codec.format_version] for word, codec in found.items()],
    }
    done = context.measure(entry.kind, key, partial(measure, found, image, options.bpp))
    frame = done.frame.assign(label=short_labels(list(done.frame["label"]))[0])
    stamp = context.stamp_of(done, {options.image: image}, {})
    pictures = {
        str(row.codec): _cut(found[str(row.codec)].decode(_bytes(row.file)), options.crop)
        for row in frame.itertuples()
    }
    off = 100 * (frame["bpp"].astype(float) / options.bpp - 1)
    frame["off_percent"] = off.where(off.abs() > 100 * RATE_TOLERANCE, 0.0)
    measured = frame.drop(columns="file").assign(image=options.image, status=MEASURED)
    heading = f"{options.image}, {options.crop[2]}x{options.crop[3]} pixels"
    figure = draw(_cut(image, options.crop), pictures, measured, heading, stamp.small_print())
    data = pd.concat([measured, _reported(options.image)], ignore_index=True)
    data["crop"] = ",".join(str(part) for part in options.crop)
    notes += _quoted(data[data["status"] == REPORTED])
    told = _told(measured, options.bpp)
    return Product(data, stamp, figure, table(entry, data, options), (told, *notes))


def _told(measured: pd.DataFrame, bpp: float) -> str:
    """Return how near the files come to the rate, in one sentence."""
    missed = [
        f"{row['label']} by {number(row['off_percent'], 1, sign=True)} % ({row['note']})"
        for row in measured.to_dict(orient="records")
        if row["off_percent"]
    ]
    wanted = f"Wanted are {bpp:g} bpp to {RATE_TOLERANCE:.0%}"
    return (
        f"{wanted}; missed: {'; '.join(missed)}." if missed else f"{wanted}; all files have them."
    )


def _codecs(options: Options) -> tuple[dict[str, Codec], list[str]]:
    """Return word -> codec of those that can run here, and a sentence on each of the others."""
    found: dict[str, Codec] = {}
    notes = []
    for word in options.codecs:
        try:
            found[word] = registry.create(registry.Spec.parse(word).name)
        except CodecError as error:
            notes.append(f"{word} is left out: {error}")
    return found, notes


def measure(codecs: Mapping[str, Codec], image: Image, bpp: float) -> pd.DataFrame:
    """Return one row per codec: the file nearest to the rate, its setting and its scores.

    PSNR and MS-SSIM are of the whole picture, not of the crop.
    """
    rows: list[dict[str, Any]] = []
    labels = []
    psnr, ms_ssim = metric("psnr"), metric("ms_ssim")
    for word, codec in codecs.items():
        base = registry.settings(codec, registry.Spec.parse(word))[0]
        result = _nearest(codec, image, base, bpp)
        decoded = codec.decode(result.data)
        try:
            similarity = float(ms_ssim(image, decoded))
        except Undefined:
            similarity = np.nan
        labels.append(codec.label(result.setting))
        rows.append(
            {
                "codec": word,
                "version": codec.version(),
                "setting": result.setting.json,
                "bytes": len(result.data),
                "bpp": result.bpp,
                "psnr_db": float(psnr(image, decoded)),
                "ms_ssim": similarity,
                "note": result.note,
                "file": base64.b64encode(result.data).decode(),
            }
        )
    return pd.DataFrame(rows).assign(label=labels)


def _nearest(codec: Codec, image: Image, base: Setting, bpp: float) -> Encoded:
    """Return the file nearest to a rate; a codec that can have any rate comes nearer than 1 %."""
    found = encode_to_bpp(codec, image, base, bpp)
    own = codec.encode_to_rate(image, bpp, _EXACT, base) if found.reached else None
    if own is None:
        return found
    return replace(found, data=own[0], setting=own[1], bpp=bits_per_pixel(image, own[0]))


def _bytes(text: object) -> bytes:
    return base64.b64decode(str(text))


def _cut(image: Image, crop: tuple[int, int, int, int]) -> Image:
    left, top, width, height = crop
    return image[top : top + height, left : left + width]


def _reported(image: str) -> pd.DataFrame:
    """Return the numbers that the paper prints under its crops of this image."""
    rows = [entry for entry in published.content()["crop"] if entry["image"] == image]
    columns = ["image", "label", "bpp", "psnr_db", "ms_ssim", "version"]
    frame = pd.DataFrame(rows, columns=["image", "name", "bpp", "psnr_db", "ms_ssim", "source"])
    return frame.set_axis(columns, axis="columns").assign(status=REPORTED)


def _quoted(rows: pd.DataFrame) -> list[str]:
    """Return the paper's own numbers in one sentence, for the caption."""
    told = [
        f"{row['label']} {row['bpp']:.3f} bpp, {row['psnr_db']:.2f} dB, {row['ms_ssim']:.3f}"
        for row in rows.to_dict(orient="records")
    ]
    return [f"The paper's numbers (reported, not measured): {'; '.join(told)}."] if told else []


def draw(
    original: Image,
    pictures: Mapping[str, Image],
    rows: pd.DataFrame,
    heading: str,
    small_print: str,
) -> Figure:
    """Return the crops, the original first, with the numbers under each."""
    keys = ["original", *pictures]
    lines = -(-len(keys) // _COLUMNS)
    cells = [*keys, *["."] * (lines * _COLUMNS - len(keys))]
    mosaic = [cells[i * _COLUMNS : (i + 1) * _COLUMNS] for i in range(lines)]
    ratio = original.shape[0] / original.shape[1]
    height = lines * (1.12 * ratio + 0.5) + 0.05
    sheet = Sheet(mosaic, height_in=height, small_print=small_print)
    numbers = {str(row.codec): row for row in rows.itertuples()}
    for key, axes in sheet.axes.items():
        picture = pictures.get(key, original)
        axes.imshow(picture, interpolation="none", gid=f"crop|{key}")
        axes.set_anchor("N")  # what is left over lies above the small print
        axes.set_xticks([])
        axes.set_yticks([])
        for spine in axes.spines.values():
            spine.set(linewidth=0.4, color=GREY)
        if key == "original":
            text = f"original\n{heading.replace(', ', chr(10))}"
            axes.set_xlabel(text, fontsize=SMALL_PT, labelpad=2, linespacing=1.1)
            continue
        row = numbers[key]
        axes.set_xlabel(_words(row), fontsize=SMALL_PT, labelpad=2, linespacing=1.1)
    return sheet.finish()


def _words(row: Any) -> str:  # noqa: ANN401 - a row of pandas
    """Return what stands under a crop: codec, rate, by how much it is missed, scores by name."""
    missed = f", {number(row.off_percent, 0, sign=True)} %" if row.off_percent else ""
    similarity = number(row.ms_ssim, 3) or "not defined"
    return "\n".join(
        [
            str(row.label).replace(", ", "\n", 1),
            f"{row.bpp:.3f} bpp{missed}",
            f"PSNR {number(row.psnr_db, 2)} dB",
            f"MS-SSIM {similarity}",
        ]
    )


def table(entry: Entry, data: pd.DataFrame, options: Options) -> Table:
    """Return the numbers under the crops, ours and the paper's."""
    rows = [
        [
            Cell(str(row["label"])),
            Cell(f"{float(row['bpp']):.3f}"),
            Cell(number(float(row["off_percent"]), 1, sign=True) if row["off_percent"] else ""),
            Cell(number(float(row["psnr_db"]), 2)),
            Cell(number(float(row["ms_ssim"]), 3)),
            Cell("" if row["status"] == REPORTED else str(row["setting"])),
            Cell(str(row["status"])),
        ]
        for row in data.to_dict(orient="records")
    ]
    return Table(
        name=entry.id,
        caption=f"{options.image} at {options.bpp:g} bpp; scores of the whole picture.",
        head=("codec", "bpp", "missed by (%)", "PSNR-RGB (dB)", "MS-SSIM", "setting", "status"),
        align="lrrrrll",
        rows=rows,
    )

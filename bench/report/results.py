"""What a report is made from beside the rows of a run: the bytes behind them, words on codecs.

A folder of ``bench all`` has them in its database. Committed results have no database: there the
rows come from ``rows.csv`` and the bytes from encoding again, believed only where they have the
sha256 that the row recorded, and only of codecs that are quick, by the times of the rows.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import sqlite3
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pandas as pd

from bench import metrics as metrics_of
from bench import registry
from bench.codec import Codec
from bench.errors import BenchError, OutputError
from bench.image import Image
from bench.measurement import kept
from bench.measurement.kept import Place
from bench.measurement.results import Results
from bench.measurement.rows import setting_of
from bench.measurement.sqlite import connect_to_read
from bench.metrics.columns import column, metric_columns


def measured_ceilings(
    results: Results, images: Mapping[str, Sequence[str]], original: Callable[[str, str], Image]
) -> pd.DataFrame:
    """Return no-codec ceilings over some images of each dataset, for results that store none.

    A codec or an image that is not available is left out.
    """
    psnr, records = metrics_of.create("psnr"), []
    succeeded = results.rows[results.rows["bpp"].notna()]
    for (dataset, word), curve in succeeded.groupby(["dataset", "codec"], sort=True):
        largest = curve.sort_values("bpp").iloc[-1]
        values: list[float] = []
        for image in images[str(dataset)]:
            with contextlib.suppress(BenchError):
                codec, pixels = codec_of(str(word)), original(str(dataset), image)
                setting = setting_of({str(key): value for key, value in largest.items()})
                best = codec.ceiling(pixels, setting)
                values += [] if best is None else [psnr(pixels, best)]
        if values:
            mean = sum(values) / len(values)
            records.append((dataset, word, largest["label"], mean, len(values)))
    return pd.DataFrame(records, columns=results.ceilings.columns)


def codec_of(column: str) -> Codec:
    """Return the codec of a value of the column ``codec`` (``avif:speed=4`` is of ``avif``).

    Raises
    ------
    BenchError
        If it is unknown or unavailable here.
    """
    if column.startswith("imported/"):
        raise NotStored(f"{column} was imported: there is no decoder of it here")
    name = registry.Spec.parse(column).name
    if name not in registry.discover():
        raise NotStored(
            f"codec {name} is not known here; bench report --codec names it as the run did"
        )
    return registry.create(name)


@dataclass(frozen=True, slots=True)
class About:
    """What a codec says of itself; empty where it is not available here.

    Attributes
    ----------
    title, display, note
        As of ``Codec``: one phrase, what sentences call it, a caveat.
    """

    title: str = ""
    display: str = ""
    note: str = ""


def about_codecs(columns: list[str], record: Mapping[str, Any]) -> dict[str, About]:
    """Return what each codec says of itself; a caveat that the run recorded outranks today's."""
    notes = record.get("notes") or {}
    found = {}
    for word in columns:
        about = About()
        with contextlib.suppress(BenchError):
            codec = codec_of(word)
            about = About(codec.title, codec.display, codec.note())
        said = notes.get(registry.Spec.parse(word).name)
        found[word] = about if said is None else replace(about, note=str(said))
    return found


def definitions(rows: pd.DataFrame) -> dict[str, str]:
    """Return title -> definition of the metrics that were measured."""
    found = {"bpp": "8 * size of the whole file in bytes / (width * height)."}
    return found | {column(m).title: column(m).definition for m in metric_columns(rows)}


_SAME_DB = 1e-9

AGAIN_S = 60.0
"""A codec whose files take longer to encode again, by the times of the rows, is not asked to."""


class NotStored(OutputError):  # noqa: N818 - a verdict, not a fault
    """Files of a codec are not stored, and making them again would take too long."""


def slow_codecs(rows: pd.DataFrame, images: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Return codec -> why its files are not encoded again unasked; a quick one is not in it.

    Parameters
    ----------
    rows
        With ``encode_s`` as it was measured; a codec without any is slow.
    images
        Dataset -> images whose files are needed.
    """
    pairs = zip(rows["dataset"], rows["image"], strict=True)
    shown = [image in images.get(name, ()) for name, image in pairs]
    found = {}
    for codec, curve in rows[shown].groupby("codec", sort=True):
        times = curve["encode_s"] if "encode_s" in curve else pd.Series(dtype=float)
        total_s = len(curve) * float(times.mean())
        if math.isnan(total_s) or total_s > AGAIN_S:
            took = "an unknown time" if math.isnan(total_s) else f"about {total_s / 60:.0f} min"
            found[str(codec)] = (
                f"{codec}: its files are not stored, and encoding {len(curve)} of them again takes "
                f"{took}; --encode-again does it"
            )
    return found


@dataclass(slots=True)
class Bitstreams:
    """The bytes behind rows, each checked against the sha256 of its row.

    Attributes
    ----------
    results
        Whose rows.
    original
        (dataset, image) -> pixels; asked only where the bytes must be made again.
    slow
        Codec -> why none of its files is made again.
    encoded
        How many had to be made again.
    made
        sha256 -> files that were made for the page, so that none is made twice.
    decoded
        sha256 -> what such a file decoded to when it was scored, until that is asked for.
    """

    results: Results
    original: Callable[[str, str], Image]
    slow: Mapping[str, str] = field(default_factory=dict)
    encoded: int = 0
    made: dict[str, bytes] = field(default_factory=dict)
    decoded: dict[str, Image] = field(default_factory=dict)
    _codecs: dict[str, Codec] = field(default_factory=dict)
    _places: dict[str, Place | None] = field(default_factory=dict)
    _counting: threading.Lock = field(default_factory=threading.Lock)

    def codec(self, row: Mapping[str, Any]) -> Codec:
        """Return the codec of a row.

        Raises
        ------
        BenchError
            If it is unavailable here.
        """
        column = str(row["codec"])
        if column not in self._codecs:
            self._codecs[column] = codec_of(column)
        return self._codecs[column]

    def place(self, row: Mapping[str, Any]) -> Place | None:
        """Return where the run kept what the files of a row's codec decoded to, or None.

        Raises
        ------
        BenchError
            If the codec is unavailable here.
        """
        column = str(row["codec"])
        if column not in self._places:
            self._places[column] = kept.place_of(self.codec(row))
        return self._places[column]

    def kept(self, row: Mapping[str, Any], original: Image) -> Image | None:
        """Return the picture that the metrics of a row were computed of, if the run kept it.

        Its file is the one in the database, its decoder the one that is installed, its pixels have
        the hash that was written with them, and their PSNR is the row's to the last digit.

        Raises
        ------
        BenchError
            If the file cannot be had, or the codec is unavailable here.
        """
        place = self.place(row) if self.results.database else None
        found = place and place.get(hashlib.sha256(self.get(row)).hexdigest(), original.shape)
        if not found:
            return None
        measured = float(row.get("psnr_db", math.nan))
        psnr = metrics_of.create("psnr")(original, found.pixels)
        same = math.isnan(measured) or psnr == measured or abs(psnr - measured) < _SAME_DB
        return found.pixels if same else None

    def ledger(self, row: Mapping[str, Any]) -> dict[str, int]:
        """Return what the bytes of a row's file are for, perhaps as the run kept it.

        Raises
        ------
        BenchError
            If the file cannot be had or read.
        """
        data, place = self.get(row), self.place(row)
        found = place and place.ledger(hashlib.sha256(data).hexdigest(), len(data))
        return found or self.codec(row).ledger(data)

    def get(self, row: Mapping[str, Any]) -> bytes:
        """Return the file that a row is about.

        Raises
        ------
        BenchError
            If it is not stored and the codec cannot make the very same one here.
        """
        wanted = str(row["bitstream_sha256"])
        data = self.made.get(wanted) or self._stored(wanted)
        if data is None:
            data = self._again(row)
        found = hashlib.sha256(data).hexdigest()
        if found != wanted:
            raise OutputError(
                f"{row['codec']} now writes another file for {row['image']}: wanted sha256 "
                f"{wanted[:12]}, found {found[:12]}",
                "Its version differs from the one measured; run `bench all` again.",
            )
        if self.results.database is None:
            self.made[wanted] = data  # the ledger and the viewer want the same files
        return data

    def _stored(self, sha256: str) -> bytes | None:
        if self.results.database is None:
            return None
        try:
            with contextlib.closing(connect_to_read(self.results.database, values=False)) as db:
                row = db.execute(
                    "SELECT data FROM bitstreams WHERE sha256 = ?", (sha256,)
                ).fetchone()
        except sqlite3.Error as error:
            raise OutputError(f"cannot read {self.results.database}: {error}") from error
        return row[0] if row and isinstance(row[0], bytes) else None

    def _again(self, row: Mapping[str, Any]) -> bytes:
        if reason := self.slow.get(str(row["codec"])):
            raise NotStored(reason)
        codec = self.codec(row)
        setting = setting_of(row)
        if not str(row["label"]).endswith(f"({codec.version()})"):  # the other words may change
            raise OutputError(f"measured with {row['label']}, available is {codec.version()}")
        with self._counting:
            self.encoded += 1
        return bytes(codec.encode(self.original(str(row["dataset"]), str(row["image"])), setting))
